import io
import warnings

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from kaggle_dsb.dataset.masks import decode_mask
from kaggle_dsb.dataset.pixels import (
    JPEG,
    PNG,
    TIFF,
    decode_picture,
    decode_rgb,
    to_rgb,
    to_rgb_with_warning,
)
from kaggle_dsb.dataset.stretch import to_8_bit
from kaggle_dsb.files import InputError

RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [0, 255, 1]]], np.uint8)
GREY = RGB[..., 0]


def save(image: Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def save_tiff(image: np.ndarray) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, image)
    return target.getvalue()


def find_warning(data: bytes) -> str | None:
    picture = decode_picture(data)
    return to_rgb_with_warning(picture)[1]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (save(Image.fromarray(RGB), "PNG"), RGB),
        (save(Image.fromarray(RGB).convert("RGBA"), "PNG"), RGB),
        (save(Image.fromarray(RGB), "TIFF"), RGB),
        (save(Image.fromarray(RGB).quantize(), "PNG"), RGB),
        (save(Image.fromarray(GREY), "PNG"), np.dstack([GREY] * 3)),
        (save(Image.fromarray(GREY).convert("LA"), "PNG"), np.dstack([GREY] * 3)),
        (save(Image.fromarray(RGB), "BMP"), RGB),
        (save(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
        (save(Image.fromarray(RGB), "JPEG2000"), RGB),
        (save(Image.fromarray(RGB).quantize(), "GIF"), RGB),
        (save(Image.fromarray(GREY > 40), "PNG"), np.dstack([(GREY > 40) * np.uint8(255)] * 3)),
        (save(Image.fromarray(GREY > 40), "TIFF"), np.dstack([(GREY > 40) * np.uint8(255)] * 3)),
        (save(Image.fromarray(RGB).quantize(), "TIFF"), RGB),
    ],
    ids=[
        *("rgb", "rgba", "tiff", "palette", "grey", "grey with alpha", "bmp", "webp"),
        *("jpeg 2000", "gif", "1 bit", "1-bit tiff", "palette tiff"),
    ],
)
def test_every_8_bit_form_keeps_its_values(data: bytes, expected: np.ndarray) -> None:
    decoded = decode_rgb(data)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


def test_a_jpeg_is_rgb_and_not_bgr() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    decoded = decode_rgb(save(Image.fromarray(red), "JPEG"))
    np.testing.assert_allclose(decoded, red, atol=3)


@pytest.mark.parametrize(
    "make", [save_tiff, lambda image: cv2.imencode(".png", image)[1].tobytes()]
)
def test_a_12_bit_image_in_16_bits_is_stretched_to_the_whole_range(make: object) -> None:
    image = np.linspace(100, 4095, 6, dtype=np.uint16).reshape(2, 3)
    decoded = decode_rgb(make(image))  # type: ignore[operator]
    assert decoded.shape == (2, 3, 3)
    np.testing.assert_array_equal(decoded[..., 0], [[0, 51, 102], [153, 204, 255]])


def test_a_few_hot_pixels_do_not_darken_a_16_bit_image() -> None:
    image = np.random.default_rng(0).integers(100, 200, (300, 300, 3)).astype(np.uint16)
    image[0, :2] = 65535
    assert to_8_bit(image)[1:].mean() > 120


def draw_nuclei(*, level: float, speck: float, speck_share: float) -> np.ndarray:
    """Six nuclei on 2 % of an image of 16 bits, and a bright bar."""
    image = np.random.default_rng(0).normal(300, 20, (300, 300))
    for number in range(6):
        cv2.circle(image, (40 + 45 * number, 150), 9, 300 + level, -1)
    image[10:14, : round(speck_share * 300 * 300 / 4)] = speck
    image[10:100, :100] = speck if speck_share == 0.1 else image[10:100, :100]
    return image.astype(np.uint16)


@pytest.mark.parametrize("share", [0.0005, 0.003, 0.013, 0.1])
@pytest.mark.parametrize("speck", [3000, 40000, 65535])
@pytest.mark.parametrize("level", [250, 1000])
def test_bright_specks_do_not_darken_the_nuclei_of_a_16_bit_image(
    level: float, speck: float, share: float
) -> None:
    image = draw_nuclei(level=level, speck=speck, speck_share=share)
    decoded = decode_rgb(save_tiff(image))[..., 0].astype(int)
    ground, nucleus = decoded[250, 20:280].mean(), decoded[150, 40]
    assert nucleus - ground > 20
    assert decoded[12, 2] == 255
    warned = find_warning(save_tiff(image)) is not None
    assert warned == (level / (speck - 300) < 24 / 255)


def test_a_bright_speck_does_not_darken_the_nuclei_of_a_colour_image() -> None:
    grey = draw_nuclei(level=1000, speck=65535, speck_share=0.003)
    image = np.zeros((*grey.shape, 3), np.uint16)
    image[..., 2] = grey
    image[..., 1] = grey // 2
    decoded = decode_rgb(save_tiff(image)).astype(int)
    assert decoded[150, 40, 2] - decoded[250, 20, 2] > 20
    assert (decoded[..., 0] == 0).all()
    assert abs(decoded[150, 40, 1] - decoded[150, 40, 2] / 2) < 4


@pytest.mark.parametrize("gap_px", [5, 2])
def test_a_bright_speck_does_not_darken_nuclei_that_cover_most_of_the_image(gap_px: int) -> None:
    image = np.random.default_rng(0).normal(300, 20, (300, 300))
    inside = np.arange(300) % 30 >= gap_px
    image[np.ix_(inside, inside)] += 1000
    image[2:18, 2:22] = 65535
    decoded = decode_rgb(save_tiff(image.astype(np.uint16)))[..., 0].astype(int)
    assert decoded[45, 45] - decoded[30, 45] > 20


def test_an_image_whose_pixels_share_few_levels_is_told_of() -> None:
    image = draw_nuclei(level=250, speck=300, speck_share=0.003).astype(np.uint16)
    specks = np.random.default_rng(0).integers(0, 290, (60, 2))
    for row, column in specks:
        image[row : row + 6, column : column + 6] = 65535
    assert find_warning(save_tiff(image)) == (
        "99.9 % of the pixels share 8 of 256 grey levels because a few are far brighter: mask or "
        "crop out those, such as debris, if the rest contains nuclei"
    )


def test_bright_tissue_with_brighter_gaps_is_not_compressed() -> None:
    image = np.random.default_rng(0).normal(50000, 300, (300, 300, 3))
    cv2.circle(image, (150, 150), 40, (20000, 10000, 30000), -1)
    cv2.circle(image, (50, 50), 9, (54000, 54000, 54000), -1)
    assert find_warning(save_tiff(np.clip(image, 0, 65535).astype(np.uint16))) is None


def test_bright_nuclei_among_dim_cell_bodies_are_not_compressed() -> None:
    image = np.random.default_rng(0).normal(300, 10, (300, 300))
    for number in range(6):
        cv2.circle(image, (40 + 45 * number, 150), 18, 700, -1)
        cv2.circle(image, (40 + 45 * number, 150), 9, 9000, -1)
    decoded = to_8_bit(image.astype(np.uint16))
    assert decoded[150, 40] == 255
    assert decoded[150, 55] < 15


def test_compressed_highlights_are_told_of() -> None:
    image = draw_nuclei(level=250, speck=65535, speck_share=0.003)
    assert find_warning(save_tiff(image)) == (
        "most objects are less than a tenth as bright as the brightest parts, such as dead cells "
        "or debris; the bright range is compressed to keep them visible"
    )
    in_8_bits = Image.fromarray((image // 256).astype(np.uint8))
    assert find_warning(save(in_8_bits, "PNG")) is None


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        to_8_bit(np.ones((3, 3), np.complex64))
    assert str(caught.value) == "contains complex numbers; save their magnitude"


def test_dense_16_bit_images_keep_their_whole_range() -> None:
    image = np.random.default_rng(0).integers(100, 4000, (200, 200)).astype(np.uint16)
    decoded = to_8_bit(image)
    assert decoded.min() == 0
    assert np.unique(decoded).size == 256


def test_hidden_pixels_take_the_colour_of_the_ground() -> None:
    image = np.full((4, 6, 4), (9, 9, 9, 255), np.uint8)
    image[0, 0, :3] = 200
    image[3] = (255, 255, 255, 0)
    decoded = decode_rgb(save(Image.fromarray(image), "PNG"))
    assert decoded[3].tolist() == [[9, 9, 9]] * 6
    assert decoded[0, 0].tolist() == [200, 200, 200]


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1)])
def test_images_of_one_row_or_column_are_read(shape: tuple[int, int]) -> None:
    image = np.full(shape, 77, np.uint8)
    for data in (save(Image.fromarray(image), "PNG"), save_tiff(image)):
        np.testing.assert_array_equal(decode_rgb(data), np.dstack([image] * 3))


def test_a_mask_with_holes_and_two_parts_keeps_them() -> None:
    mask = np.array([[255, 255, 255, 0, 1], [255, 0, 255, 0, 1], [255, 255, 255, 0, 0]], np.uint8)
    np.testing.assert_array_equal(decode_mask(save(Image.fromarray(mask), "PNG")), mask > 0)


def test_a_mask_that_only_the_alpha_channel_tells_is_read() -> None:
    mask = np.zeros((3, 5, 4), np.uint8)
    mask[1, 2:4, 3] = 255
    np.testing.assert_array_equal(decode_mask(save(Image.fromarray(mask), "PNG")), mask[..., 3] > 0)


def test_colours_keep_their_proportions_when_stretched() -> None:
    image = np.zeros((1, 2, 3), np.uint16)
    image[0, 1] = (1000, 500, 250)
    np.testing.assert_array_equal(to_8_bit(image)[0, 1], [255, 128, 64])


def test_a_constant_16_bit_image_is_black() -> None:
    assert not to_8_bit(np.full((2, 2, 3), 700, np.uint16)).any()


def test_values_that_are_not_finite_are_refused() -> None:
    message = "^contains NaN, infinite or too large values; the maximum is 3.4e38$"
    with pytest.raises(InputError, match=message):
        decode_rgb(save_tiff(np.array([[np.nan, 1.0]], np.float32)))


@given(arrays(np.uint16, (3, 4, 1), elements=st.integers(0, 65535)))
def test_stretching_never_turns_the_order_of_two_pixels(image: np.ndarray) -> None:
    order = np.argsort(image.ravel(), kind="stable")
    assert (np.diff(to_8_bit(image).ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_a_mask_of_any_mode_is_its_pixels_that_are_not_black(mode: str) -> None:
    mask = np.array([[0, 255, 0], [255, 0, 0]], np.uint8)
    data = save(Image.fromarray(mask).convert(mode), "PNG")
    np.testing.assert_array_equal(decode_mask(data), mask > 0)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_file_cut_short_is_refused(form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = save(Image.fromarray(noise), form)
    with pytest.raises(InputError, match=r"^is truncated; get the file again$"):
        decode_rgb(data[: len(data) // 2])


@given(st.binary(max_size=200), st.sampled_from([*TIFF, PNG, JPEG, b"GIF89a", b"BM", b"RIFF"]))
def test_bytes_that_only_begin_like_an_image_are_refused(content: bytes, first: bytes) -> None:
    with pytest.raises(InputError):
        decode_rgb(first + content)


def test_what_is_no_image_is_refused() -> None:
    message = (
        "^cannot be read as an image; expected a complete PNG, TIFF, JPEG, BMP, GIF, WebP "
        "or JPEG 2000 file$"
    )
    with pytest.raises(InputError, match=message):
        decode_rgb(b"not an image")


def test_a_tiff_cut_short_is_refused() -> None:
    message = "^is truncated; get the file again$"
    with pytest.raises(InputError, match=message):
        decode_rgb(save(Image.fromarray(RGB), "TIFF")[:-20])


def test_an_empty_file_is_refused() -> None:
    message = (
        r"^is empty \(0 bytes\); expected a PNG, TIFF, JPEG, BMP, GIF, WebP or JPEG 2000 image$"
    )
    with pytest.raises(InputError, match=message):
        decode_mask(b"")


def test_damaged_exif_does_not_keep_a_picture_from_being_read():
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(
        stream, format="JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    )
    with warnings.catch_warnings(record=True) as caught:
        assert decode_rgb(stream.getvalue()).shape == (8, 8, 3)
    assert caught == []


def test_of_a_phones_photograph_with_a_preview_the_photograph_is_read() -> None:
    photo, preview = Image.new("RGB", (32, 24), (200, 0, 0)), Image.new("RGB", (8, 6))
    data = save(photo, "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(data)).n_frames == 2  # type: ignore[attr-defined]
    assert decode_rgb(data).shape == (24, 32, 3)


def test_a_jpeg_may_have_data_behind_its_end() -> None:
    data = save(Image.fromarray(np.full((24, 32), 90, np.uint8)), "JPEG")
    np.testing.assert_array_equal(decode_rgb(data + bytes(5000)), decode_rgb(data))
    with pytest.raises(InputError, match="truncated"):
        decode_rgb(data[:-2])


def test_grey_and_the_same_values_as_colours_differ_by_at_most_one_level() -> None:
    grey = np.random.default_rng(0).integers(300, 4000, (50, 60)).astype(np.uint16)
    as_grey, as_colour = to_rgb(grey), to_rgb(np.dstack([grey] * 3))
    assert as_grey.shape == as_colour.shape
    assert np.abs(as_grey.astype(int) - as_colour).max() <= 1


def test_negative_values_are_no_nuclei() -> None:
    mask = np.full((4, 4), -5, np.int16)
    mask[1, 1] = 3
    with pytest.raises(InputError, match=r"^contains -5; the background is 0"):
        decode_mask(save_tiff(mask))


def test_values_beyond_single_precision_are_refused() -> None:
    with pytest.raises(InputError, match="too large values"):
        to_8_bit(np.full((2, 2, 1), 1e300))


def test_small_differences_of_large_values_are_kept() -> None:
    image = (10**9 + np.arange(60)).astype(np.int32).reshape(1, 60, 1)
    assert np.unique(to_8_bit(image)).size == 60
