import io
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from kaggle_dsb.competition.label_files import (
    find_label_files,
    read_label_folder,
    read_labels,
    write_labels,
)
from kaggle_dsb.files import InputError
from tests.cases import draw

LABELS = draw("1.2", "113")
FORMS = "a label image is a PNG, TIFF or .npy file of integers"


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_reading_undoes_writing(tmp_path):
    labels = np.array([[0, 300], [65535, 1]], dtype=np.int32)
    write_labels(tmp_path / "a.png", labels)
    read = read_labels(tmp_path / "a.png")

    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)


def test_labels_are_written_with_16_bits(tmp_path):
    write_labels(tmp_path / "a.png", draw("12"))
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "I;16", (2, 1))


def test_labels_of_8_bits_are_read(tmp_path):
    Image.fromarray(np.array([[0, 7]], dtype=np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), [[0, 7]])


def test_a_label_beyond_16_bits_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.png"
    message = f"{path}: label 65536 is above 65535, the maximum of a 16-bit PNG; relabel first"
    with pytest.raises(InputError, match=exactly(message)):
        write_labels(path, np.array([[0, 65536]]))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(InputError, match=exactly(f"{path}: no such file; {FORMS}")):
        read_labels(path)


def test_a_file_that_is_no_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("no image")
    message = f"{path}: cannot be read as an image; {FORMS}"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


def test_a_truncated_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    write_labels(path, np.arange(10000).reshape(100, 100))
    path.write_bytes(path.read_bytes()[:200])
    message = f"{path}: cannot be read as an image; {FORMS}"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.png", np.uint8),
        ("a.PNG", np.uint16),
        ("a.tif", np.uint8),
        ("a.tif", np.uint16),
        ("a.TIFF", np.int32),
        ("a.tif", np.float32),
    ],
)
def test_labels_of_any_depth_are_read(tmp_path, name, dtype):
    read = read_labels(save(tmp_path / name, LABELS.astype(dtype)))

    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, LABELS)


def test_the_indices_of_a_palette_are_the_labels(tmp_path):
    image = Image.fromarray(LABELS.astype(np.uint8))
    indexed = image.convert("P")
    indexed.putpalette([(17 * value) % 256 for value in range(768)])
    indexed.putdata(LABELS.ravel().tolist())
    indexed.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), LABELS)


def test_a_mask_of_one_bit_is_one_label(tmp_path):
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.png", LABELS > 0)), LABELS > 0)


def test_grey_stored_as_colours_is_read(tmp_path):
    grey = np.repeat(LABELS.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.png", grey)), LABELS)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits_stored_as_colours_is_read(tmp_path, name):
    wide = LABELS.astype(np.uint16) * 300
    assert cv2.imwrite(str(tmp_path / name), np.dstack([wide] * 3))
    np.testing.assert_array_equal(read_labels(tmp_path / name), wide)


def test_colours_of_16_bits_in_separate_planes_are_read(tmp_path):
    planes = np.repeat(LABELS.astype(np.uint16)[np.newaxis] * 300, 3, axis=0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS * 300)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_of_an_inverted_image_are_read_as_stored(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype), photometric="miniswhite")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


def test_negative_labels_of_8_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.int8) - 1)
    with pytest.raises(InputError, match=r"a\.tif: .*-1"):
        read_labels(tmp_path / "a.tif")


def test_more_nuclei_than_16_bits_count_are_not_told_to_relabel(tmp_path):
    with pytest.raises(InputError, match="maximum of a 16-bit PNG; split the image"):
        write_labels(tmp_path / "a.png", np.arange(70000).reshape(700, 100))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3)])
def test_an_array_file_is_read(tmp_path, order, shape):
    np.save(tmp_path / "a.npy", np.asarray(LABELS.reshape(shape), order=order))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy"), LABELS)


def test_the_masks_of_a_cellpose_file_are_read(tmp_path):
    np.save(tmp_path / "a_seg.npy", {"outlines": LABELS, "masks": LABELS, "filename": "a.tif"})
    np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), LABELS)


class Harmful:
    """Would create a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (eval, (f"open({str(self.path)!r}, 'x')",))


def test_no_code_is_run_that_a_file_names(tmp_path):
    path = tmp_path / "a_seg.npy"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    path.write_bytes(header.getvalue() + pickle.dumps(Harmful(tmp_path / "harm")))
    message = f"{path}: contains a pickled builtins.eval, which could execute code; not loaded"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0.5, 1]]), "contains non-integer values; labels are integers"),
        (np.array([[np.nan, 1]]), "contains non-integer values; labels are integers"),
        (np.array([[0, 2**31]]), "label 2147483648 is above the maximum 2147483647"),
        (np.array([[0, 2.0**31]]), "label 2147483648 is above the maximum 2147483647"),
        (
            np.zeros((2, 3, 4), dtype=int),
            "labels of shape (2, 3, 4) and type int64; expected integers of shape (H, W)",
        ),
        (
            np.array([["a"]]),
            "labels of shape (1, 1) and type <U1; expected integers of shape (H, W)",
        ),
        (np.array({"a": 1}), "contains neither an array nor Cellpose's 'masks'"),
    ],
)
def test_an_array_of_anything_else_is_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=exactly(f"{tmp_path / 'a.npy'}: {message}")):
        read_labels(tmp_path / "a.npy")


def test_an_array_above_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kaggle_dsb.competition.labels.LARGEST_LABELS_PX", LABELS.size - 1)
    np.save(tmp_path / "a.npy", LABELS)
    with pytest.raises(InputError, match=f"pixels; the maximum is {LABELS.size - 1} pixels"):
        read_labels(tmp_path / "a.npy")


@pytest.mark.parametrize("size", [0, 5, 90, 140])
def test_a_truncated_array_is_named(tmp_path, size):
    path = tmp_path / "a.npy"
    np.save(path, LABELS)
    path.write_bytes(path.read_bytes()[:size])
    message = f"{path}: cannot be read as an array; save it with numpy.save"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


def test_a_colour_image_is_no_labels(tmp_path):
    path = save(tmp_path / "a.png", np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    message = f"{path}: is a colour image; a label image has one channel of integers"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


def test_an_image_of_several_pages_is_no_labels(tmp_path):
    path = tmp_path / "a.tif"
    page = Image.fromarray(LABELS.astype(np.uint8))
    page.save(path, save_all=True, append_images=[page, page])
    message = f"{path}: has 3 pages; a label image has one"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


def test_an_image_that_is_too_large_is_refused_before_its_pixels_are_read(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (25_000, 25_000)).save(path)
    message = f"{path}: image of 25000 x 25000 pixels; the maximum is 400,000,000 pixels"
    with pytest.raises(InputError, match=exactly(message)):
        read_labels(path)


@pytest.mark.slow
def test_the_labels_of_a_large_slide_are_read(tmp_path):
    Image.new("L", (14_000, 14_000), 1).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").sum() == 14_000**2


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
def test_a_tiff_of_64_bits_is_read(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


def test_a_tiff_of_64_bits_and_several_pages_is_no_labels(tmp_path):
    path = tmp_path / "a.tif"
    pages = np.stack([LABELS, LABELS]).astype(np.int64)
    tifffile.imwrite(path, pages, photometric="minisblack")
    with pytest.raises(InputError, match=exactly(f"{path}: has 2 pages; a label image has one")):
        read_labels(path)


@pytest.mark.parametrize("name", ["a.bmp", "a.gif"])
def test_labels_of_other_lossless_formats_are_read(tmp_path, name):
    save(tmp_path / name, LABELS.astype(np.uint8))
    np.testing.assert_array_equal(read_label_folder(tmp_path)["a"], LABELS)


@pytest.mark.parametrize(
    "name",
    [
        "a.PNG",
        "a.ome.tif",
        "a_masks.ome.tif",
        "a_masks.tif",
        "a_cp_masks.png",
        "a_seg.npy",
        "a-mask.png",
    ],
)
def test_the_image_id_is_the_name_without_the_ending_of_other_tools(tmp_path, name):
    (tmp_path / name).touch()
    assert find_label_files(tmp_path) == {"a": tmp_path / name}


def test_pictures_beside_their_masks_are_no_labels(tmp_path):
    for name in ("a.tif", "a_masks.tif", "b.tif", "b_masks.tif", "notes.txt"):
        (tmp_path / name).touch()
    assert list(find_label_files(tmp_path)) == ["a", "b"]
    assert find_label_files(tmp_path)["a"].name == "a_masks.tif"


def test_a_name_that_is_only_an_ending_is_an_id(tmp_path):
    (tmp_path / "_masks.png").touch()
    assert list(find_label_files(tmp_path)) == ["_masks"]


def test_two_label_images_of_one_image_are_refused(tmp_path):
    for name in ("a.png", "a.tif"):
        (tmp_path / name).touch()
    message = f"{tmp_path / 'a.tif'}: a.png is for the same image; remove one of them"
    with pytest.raises(InputError, match=exactly(message)):
        find_label_files(tmp_path)


def test_a_folder_is_read_by_image_id(tmp_path):
    write_labels(tmp_path / "a.png", LABELS)
    labels = read_label_folder(tmp_path)
    assert list(labels) == ["a"]
    np.testing.assert_array_equal(labels["a"], LABELS)


def test_a_folder_without_label_images_is_refused(tmp_path):
    needed = "expected ID.png, ID.tif or ID.npy for each image"
    with pytest.raises(
        InputError, match=exactly(f"{tmp_path}: contains no label images; {needed}")
    ):
        read_label_folder(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "labels").mkdir()
    message = f"{tmp_path}: contains no label images (found 2 .jpg, labels/); {needed}"
    with pytest.raises(InputError, match=exactly(message)):
        read_label_folder(tmp_path)


def test_a_hidden_file_is_no_label_image(tmp_path):
    for name in ("a.png", ".a-writing-1.png"):
        (tmp_path / name).touch()
    assert find_label_files(tmp_path) == {"a": tmp_path / "a.png"}


def test_a_damaged_tiff_is_refused_without_a_word_of_the_library(tmp_path, caplog):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + (8).to_bytes(4, "little") + bytes(64))
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read as an image"):
        read_labels(path)
    assert caplog.records == []


def test_the_name_of_what_is_pickled_is_told_in_printable_letters(tmp_path):
    path = tmp_path / "a_seg.npy"
    header = io.BytesIO()
    np.save(header, {"masks": 1}, allow_pickle=True)
    sound = header.getvalue()
    magic = sound[: sound.index(b"\n") + 1]
    path.write_bytes(magic + b"\x80\x04\x8c\x02o\x00\x8c\x03foo\x93.")
    with pytest.raises(InputError) as raised:
        read_labels(path)
    assert str(raised.value) == (
        f"{path}: contains a pickled o\\x00.foo, which could execute code; not loaded"
    )


def test_a_single_name_that_ends_like_a_mask_hides_no_other_labels(tmp_path):
    for name in ("a.png", "b_seg.png"):
        (tmp_path / name).touch()
    assert list(find_label_files(tmp_path)) == ["a", "b"]


def test_a_folder_named_like_an_image_is_no_label_image(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert find_label_files(tmp_path) == {}
