import io
import struct
from typing import get_type_hints

import numpy as np
import pytest
import tifffile
from PIL import Image

from kaggle_dsb.competition.label_files import parse_labels
from kaggle_dsb.dataset.pixels import decode_picture, decode_rgb
from kaggle_dsb.dataset.planes import LARGEST_IMAGE_PX, decode_tiff, orient
from kaggle_dsb.dataset.read_options import ReadKeywords, ReadOptions
from kaggle_dsb.files import InputError

# Two channels of three planes of 4 x 5 pixels; every plane of its own value.
STACK = np.arange(6, dtype=np.uint8).reshape(3, 2, 1, 1) * np.ones((1, 1, 4, 5), np.uint8)


def save_tiff(image: np.ndarray, **options: object) -> bytes:
    target = io.BytesIO()
    tifffile.imwrite(target, image, **options)
    return target.getvalue()


HYPERSTACK = save_tiff(STACK, imagej=True, metadata={"axes": "ZCYX"})
OME = save_tiff(STACK, ome=True, metadata={"axes": "ZCYX"})


@pytest.mark.parametrize("data", [HYPERSTACK, OME], ids=["ImageJ", "OME"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ReadOptions(channel=1, plane=1), 0),
        (ReadOptions(channel=2, plane=1), 1),
        (ReadOptions(channel=1, plane=3), 4),
        (ReadOptions(channel=2, project="max"), 5),
    ],
)
def test_a_channel_and_a_plane_of_a_stack_are_read(
    data: bytes, options: ReadOptions, expected: int
) -> None:
    picture = decode_tiff(data, options)
    np.testing.assert_array_equal(picture, np.full((4, 5), expected))


def test_the_channels_of_an_ome_tiff_are_told_by_their_names() -> None:
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    data = save_tiff(STACK[0], ome=True, metadata=metadata)
    with pytest.raises(InputError) as caught:
        decode_tiff(data, ReadOptions())
    assert str(caught.value) == "has 2 channels (DAPI, GFP); choose with --channel 1 to 2"


@pytest.mark.parametrize("data", [HYPERSTACK, OME], ids=["ImageJ", "OME"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ReadOptions(),
            "has 2 channels and 3 planes; choose with --channel 1 to 2 and --plane 1 to 3 or "
            "--project max",
        ),
        (
            ReadOptions(channel=1),
            "has 2 channels and 3 planes; choose with --plane 1 to 3 or --project max",
        ),
        (ReadOptions(plane=1), "has 2 channels and 3 planes; choose with --channel 1 to 2"),
        (ReadOptions(channel=3, plane=1), "has 2 channels; channel 3 does not exist"),
        (ReadOptions(channel=1, plane=4), "has 3 planes; plane 4 does not exist"),
    ],
)
def test_a_stack_asks_for_what_was_not_chosen(
    data: bytes, options: ReadOptions, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        decode_tiff(data, options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "data",
    [
        save_tiff(STACK[:, 0], photometric="minisblack"),
        save_tiff(STACK[:, 0], photometric="rgb", planarconfig="separate"),
        save_tiff(STACK[:, 0], photometric="minisblack", metadata=None),
    ],
    ids=["pages", "marked as RGB by tifffile", "pages without a shape"],
)
def test_pages_are_planes(data: bytes) -> None:
    with pytest.raises(
        InputError, match=r"^has 3 planes; choose with --plane 1 to 3 or --project max$"
    ):
        decode_tiff(data, ReadOptions())
    assert decode_tiff(data, ReadOptions(plane=2)).max() == 2
    assert decode_tiff(data, ReadOptions(project="max")).max() == 4


def test_five_samples_a_pixel_are_channels() -> None:
    image = np.arange(5, dtype=np.uint16) * np.ones((4, 6, 1), np.uint16)
    data = save_tiff(image, photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match=r"^has 5 channels; choose with --channel 1 to 5$"):
        decode_tiff(data, ReadOptions())
    assert (decode_tiff(data, ReadOptions(channel=4)) == 3).all()


def test_an_option_for_stacks_leaves_single_pictures_alone() -> None:
    data = save_tiff(STACK[2, 1])
    options = ReadOptions(channel=2, plane=3)
    np.testing.assert_array_equal(decode_tiff(data, options), STACK[2, 1])


def test_an_animated_gif_asks_for_a_plane() -> None:
    frames = [Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (10, 200)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(
        InputError, match=r"^has 2 planes; choose with --plane 1 to 2 or --project max$"
    ):
        decode_rgb(target.getvalue())
    assert decode_rgb(target.getvalue(), ReadOptions(plane=2)).max() == 200


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"photometric": "miniswhite"},
    ],
    ids=["zstandard", "lzw", "tiled", "big", "big-endian", "white is zero"],
)
def test_every_kind_of_tiff_is_read(options: dict) -> None:
    image = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    decoded = decode_picture(save_tiff(image, **options))
    if options.get("photometric"):
        decoded = 65535 - decoded
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, np.uint32])
def test_every_depth_is_brought_to_8_bits(dtype: type) -> None:
    image = np.array([[0, 100, 200]], dtype)
    np.testing.assert_allclose(decode_rgb(save_tiff(image))[..., 0], [[0, 128, 255]], atol=1)


def test_a_cmyk_tiff_is_read_as_colours() -> None:
    red = np.zeros((4, 5, 4), np.uint8)
    red[..., 1:3] = 255
    decoded = decode_rgb(save_tiff(red, photometric="separated"))
    assert decoded[0, 0].tolist() == [255, 0, 0]


def test_a_cmyk_jpeg_is_read_as_colours() -> None:
    target = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(target, "JPEG")
    np.testing.assert_allclose(decode_rgb(target.getvalue())[0, 0], [255, 0, 0], atol=3)


def turn(image: Image.Image, form: str, orientation: int) -> bytes:
    target = io.BytesIO()
    exif = Image.Exif()
    exif[274] = orientation
    image.save(target, form, exif=exif)
    return target.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_obeyed(form: str, orientation: int) -> None:
    grey = np.full((16, 32), 20, np.uint8)
    grey[:8, :8] = 220
    decoded = decode_rgb(turn(Image.fromarray(grey).convert("RGB"), form, orientation))
    expected = orient(grey, orientation)
    assert decoded.shape[:2] == expected.shape
    assert np.abs(decoded[..., 0].astype(int) - expected).max() < 60


def test_an_image_too_large_is_refused_by_its_size_alone() -> None:
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (30000).to_bytes(4, "big") * 2
    data = header + b"\x08\0\0\0\0" + b"\0" * 4 + b"\0\0\0\0IEND\xaeB`\x82"
    with pytest.raises(InputError) as caught:
        decode_rgb(data)
    assert str(caught.value) == (
        f"is 30000 x 30000 pixels; the maximum is {LARGEST_IMAGE_PX} pixels, such as 16384 x "
        "16384; crop it"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": 0}, "channel 0; the first channel is 1"),
        ({"plane": -1}, "plane -1; the first plane is 1"),
        ({"plane": "2"}, "plane '2'; expected its number, the first plane is 1"),
        ({"project": "mean"}, "projection 'mean'; the only one is 'max'"),
        ({"plane": 1, "project": "max"}, "both a plane and a projection; choose one of them"),
    ],
)
def test_impossible_options_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        ReadOptions(**arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", [np.uint16, np.int64])
def test_a_tiff_whose_pixels_lie_beyond_its_end_is_not_taken_for_a_black_picture(kind):
    whole = save_tiff(np.full((40, 30), 7, kind))
    assert parse_labels(whole, suffix=".tif").max() == 7
    with pytest.raises(InputError):
        parse_labels(whole[:-100], suffix=".tif")
    with pytest.raises(InputError, match="or truncated"):
        decode_tiff(whole[:-100], ReadOptions())


def test_a_tiff_that_claims_many_pixels_and_holds_none_is_refused():
    entries = [(256, 4, 30), (257, 4, 400_000), (258, 3, 16), (259, 3, 3), (273, 4, 78_654_208)]
    header = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    data = header + b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, kind, n in entries)
    with pytest.raises(InputError, match="or truncated"):
        decode_tiff(data + bytes(4), ReadOptions())


def test_an_ome_tiff_that_says_to_hold_a_thousand_million_planes_takes_no_memory_for_them():
    with tifffile.TiffFile(io.BytesIO(OME)) as tiff:
        said = tiff.ome_metadata.replace('SizeZ="3"', 'SizeZ="500000000"')
    data = save_tiff(STACK[:, 0], description=said, metadata=None, photometric="minisblack")
    with pytest.raises(InputError) as caught:
        decode_tiff(data, ReadOptions(plane=1))
    assert str(caught.value) == "declares 1000000000 planes; the maximum is 1000000"


def test_every_option_is_a_keyword() -> None:
    assert get_type_hints(ReadKeywords) == get_type_hints(ReadOptions)


# Two time points of two planes; every plane of its own value.
MOVIE = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1) * np.ones((1, 1, 4, 5), np.uint8)
MOVIES = {
    "ImageJ": save_tiff(MOVIE, imagej=True, metadata={"axes": "TZYX"}),
    "OME": save_tiff(MOVIE, ome=True, metadata={"axes": "TZYX"}),
    "OME, planes first": save_tiff(MOVIE.swapaxes(0, 1), ome=True, metadata={"axes": "ZTYX"}),
}


@pytest.mark.parametrize("data", MOVIES.values(), ids=MOVIES)
def test_time_points_are_told_from_planes_and_never_merged(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        decode_tiff(data, ReadOptions())
    assert str(caught.value) == (
        "has 2 time points of 2 planes; choose with --plane 1 to 4 (those of the first time point "
        "come first)"
    )
    with pytest.raises(InputError) as caught:
        decode_tiff(data, ReadOptions(project="max"))
    assert str(caught.value) == (
        "has 2 time points of 2 planes, which --project would merge; choose with --plane 1 to 4"
    )
    chosen = [decode_tiff(data, ReadOptions(plane=plane)).max() for plane in (1, 2, 3, 4)]
    assert chosen == [0, 1, 2, 3]


def test_time_points_of_one_plane_each_are_counted_alone() -> None:
    with pytest.raises(InputError, match=r"^has 2 time points; choose with --plane 1 to 2$"):
        decode_tiff(save_tiff(MOVIE[0], ome=True, metadata={"axes": "TYX"}), ReadOptions())


@pytest.mark.parametrize(
    "data", [HYPERSTACK, OME, save_tiff(STACK[:, 0], photometric="minisblack")]
)
def test_a_stack_whose_last_pages_are_missing_is_not_taken_for_one_image(data):
    padding_bytes = 16
    for n_bytes in range(len(data) // 2, len(data) - padding_bytes, 7):
        with pytest.raises(InputError, match="truncated"):
            decode_tiff(data[:n_bytes], ReadOptions(channel=1, plane=1))


def test_images_of_different_size_cannot_be_projected():
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as tiff:
        for side in (4, 8):
            tiff.write(np.full((side, side), side, np.uint8), photometric="minisblack")
    message = "has 2 separate images; choose with --plane 1 to 2"
    for options in (ReadOptions(), ReadOptions(project="max")):
        with pytest.raises(InputError, match=f"^{message}$"):
            decode_tiff(target.getvalue(), options)
    assert decode_tiff(target.getvalue(), ReadOptions(plane=2)).shape == (8, 8)


def test_a_fourth_sample_that_is_not_alpha_does_not_hide_pixels():
    colours = np.dstack([np.arange(64, dtype=np.uint8).reshape(8, 8)] * 3)
    samples = np.dstack([colours, np.zeros((8, 8), np.uint8)])
    samples[4:, :, 3] = 9
    data = save_tiff(samples, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(decode_rgb(data), colours)


def test_a_palette_of_8_bit_colours_is_not_black():
    palette = np.zeros((3, 256), np.uint16)
    palette[:, 1] = (10, 20, 255)
    data = save_tiff(np.ones((2, 2), np.uint8), photometric="palette", colormap=palette)
    assert decode_rgb(data)[0, 0].tolist() == [10, 20, 255]


def test_a_side_too_long_for_a_png_is_refused():
    data = save_tiff(np.zeros((1, 1_000_001), np.uint8), photometric="minisblack")
    with pytest.raises(
        InputError, match=r"^is 1 x 1000001 pixels; the maximum of a side is 1000000"
    ):
        decode_rgb(data)


def test_planes_of_other_files_are_not_black():
    planes = "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1"><UUID FileName="c{n}.ome.tif">'
        f"urn:uuid:{n:08}-0000-0000-0000-000000000000</UUID></TiffData>"
        for n in (0, 1)
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000001-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels '
        'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="2" '
        f'SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    target = io.BytesIO()
    tifffile.imwrite(target, np.full((4, 4), 7, np.uint8), description=xml, metadata=None)
    for options in (ReadOptions(), ReadOptions(channel=1), ReadOptions(channel=2)):
        assert (decode_picture(target.getvalue(), options) == 7).all()


def test_an_uncompressed_ycbcr_image_is_converted():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    target = io.BytesIO()
    Image.fromarray(red).convert("YCbCr").save(target, "TIFF")
    assert np.abs(decode_rgb(target.getvalue()).astype(int) - red).max() <= 2
