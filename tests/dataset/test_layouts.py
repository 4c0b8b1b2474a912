"""Labelled data in the layouts that other tools and published sets have."""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image

from kaggle_dsb.competition.submission import read_submission, write_submission
from kaggle_dsb.dataset.archive import ACCEPTED_FORMS, DataFaults
from kaggle_dsb.dataset.export import export_labels
from kaggle_dsb.dataset.pixels import FORMATS
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.read_options import ReadOptions
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.dataset.truth import number_values
from kaggle_dsb.files import InputError

# Three nuclei, of which the first two touch and the third has a hole.
LABELS = np.array(
    [
        [1, 1, 2, 2, 0, 0, 0, 0],
        [1, 1, 2, 2, 0, 3, 3, 3],
        [0, 1, 2, 0, 0, 3, 0, 3],
        [0, 0, 0, 0, 0, 3, 3, 3],
    ],
    np.int32,
)
IMAGE = np.where(LABELS > 0, 200, 10).astype(np.uint8)
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [255, 0, 9]], np.uint8)


def write(path: Path, content: NDArray | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, content, photometric="minisblack")
    else:
        path.write_bytes(cv2.imencode(path.suffix, content)[1].tobytes())


def save_png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def seg_npy() -> bytes:
    target = io.BytesIO()
    content = {"masks": LABELS.astype(np.uint16), "filename": "x.png", "est_diam": 3.5}
    np.save(target, content, allow_pickle=True)  # type: ignore[arg-type]
    return target.getvalue()


def exported(form: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return export_labels(Path(folder), {"x": LABELS}, [form])[0].read_bytes()


def read(source: Path, tmp_path: Path, **options: object) -> tuple[list, tuple[str, ...]]:
    prepared = prepare(source, tmp_path / "cache", options=ReadOptions(**options))  # type: ignore[arg-type]
    samples = [sample for name in prepared.images for sample in load_samples(prepared.cache, name)]
    return samples, prepared.warnings


PALETTE = Image.fromarray(LABELS.astype(np.uint8), "P")
PALETTE.putpalette([68, 1, 84, 10, 10, 10, 10, 10, 10, 9, 9, 9])
ALPHA = np.dstack([np.zeros_like(IMAGE)] * 3 + [(LABELS == 1).astype(np.uint8) * 255])


@pytest.mark.parametrize(
    ("image", "truth", "content"),
    [
        ("images/x.png", "masks/x.png", LABELS.astype(np.uint8)),
        ("images/x.tif", "labels/x.tif", LABELS.astype(np.uint16)),
        ("images/x.tif", "masks/x.tif", LABELS * 70000),
        ("images/x.tif", "masks/x.tif", LABELS.astype(np.float32)),
        ("images/X.PNG", "masks/X.TIF", LABELS.astype(np.uint16)),
        ("images/a b.c.png", "masks/a b.c.png", LABELS.astype(np.uint8)),
        ("images/x.png", "masks/x.png", COLOURS[LABELS][..., ::-1]),
        ("images/x.png", "masks/x.png", save_png(PALETTE)),
        ("images/x.png", "labels/x_mask.png", LABELS.astype(np.uint8)),
        ("images/x.png", "labels/x.npy", LABELS),
        ("images/x.png", "labels/x.geojson", exported("geojson")),
        ("images/x.png", "labels/x.ome.tif", exported("ome")),
        ("train/images/x.png", "train/masks/x.png", LABELS.astype(np.uint8)),
        ("x.tif", "x_masks.tif", LABELS.astype(np.uint16)),
        ("x.tif", "x_cp_masks.png", LABELS.astype(np.uint16)),
        ("x.tif", "x_seg.npy", seg_npy()),
        ("007_img.png", "007_masks.png", LABELS.astype(np.uint16)),
        ("x.png", "x.geojson", exported("geojson")),
        ("x.png", "masks/x.png", LABELS.astype(np.uint8)),
        ("x.png", "coco.json", exported("coco")),
        ("images/x.png", "annotations/instances.json", exported("coco")),
        ("x/images/x.png", "x/masks/x.png", LABELS.astype(np.uint8)),
        ("x/images/x.png", "x/masks/all.tif", LABELS.astype(np.uint16)),
        ("Images/x.png", "Masks/x.png", LABELS.astype(np.uint8)),
        ("rawimages/x.tif", "groundtruth/x.tif", LABELS.astype(np.uint16)),
        ("tissue images/x.png", "label masks/x.tif", LABELS.astype(np.uint16)),
        ("images/train/x.png", "masks/train/x.png", LABELS.astype(np.uint8)),
        ("train_images/x.png", "train_labels/x.png", LABELS.astype(np.uint8)),
        ("train/x.png", "train_masks/x_mask.png", LABELS.astype(np.uint8)),
        ("imagesTr/x_0000.png", "labelsTr/x.png", LABELS.astype(np.uint8)),
        ("images/img_1.png", "masks/mask_1.png", LABELS.astype(np.uint8)),
        ("image.png", "mask.png", LABELS.astype(np.uint8)),
        ("x.png", "x_instances.png", LABELS.astype(np.uint8)),
        ("x.png", "x.json", exported("geojson")),
        ("x.png", "x.png.geojson", exported("geojson")),
        ("x.tif", "x.tif_mask.png", LABELS.astype(np.uint8)),
        ("x.tif", "coco.json", exported("coco")),
        ("images/x.png", "annotations/x.geojson", exported("geojson")),
    ],
)
def test_the_nuclei_are_read_in_every_layout(
    tmp_path: Path, image: str, truth: str, content: NDArray | bytes
) -> None:
    write(tmp_path / "own" / image, IMAGE)
    write(tmp_path / "own" / truth, content)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels > 0, LABELS > 0)
    np.testing.assert_array_equal(
        sample.labels, LABELS if sample.labels[0, 0] == 1 else np.array([0, 2, 1, 3])[LABELS]
    )
    assert warnings == ()
    assert sample.id == Path(image).stem


@pytest.mark.parametrize("name", ["x_rois.zip", "RoiSet.zip", "x.zip"])
def test_regions_of_imagej_are_read_without_their_holes(tmp_path: Path, name: str) -> None:
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / name, exported("roi"))
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    filled = LABELS.copy()
    filled[2, 6] = 3
    np.testing.assert_array_equal(sample.labels, filled)
    assert warnings == ()


def test_a_rectangle_of_imagej_covers_its_pixels(tmp_path: Path) -> None:
    roi = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, top=1, left=2, bottom=3, right=6, name="a"
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("a.roi", roi.tobytes())
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x_rois.zip", content.getvalue())
    (sample,), _ = read(tmp_path / "own", tmp_path)
    expected = np.zeros_like(LABELS)
    expected[1:3, 2:6] = 1
    np.testing.assert_array_equal(sample.labels, expected)


def test_a_line_of_imagej_is_no_nucleus(tmp_path: Path) -> None:
    line = roifile.ImagejRoi.frompoints([(1, 1), (5, 1), (5, 3)])
    line.roitype = roifile.ROI_TYPE.POLYLINE
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("length.roi", line.tobytes())
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x_rois.zip", content.getvalue())
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert caught.value.faults == (
        "x_rois.zip: contains 'length.roi', of ImageJ's type 'polyline'; nuclei must be areas: "
        "polygon, freehand, traced, oval or rectangle",
    )


def test_one_folder_of_masks_an_image_is_read(tmp_path: Path) -> None:
    write(tmp_path / "own" / "images" / "x.png", IMAGE)
    for label in (1, 2, 3):
        mask = (label == LABELS).astype(np.uint8)
        write(tmp_path / "own" / "masks" / "x" / f"{label}.png", mask)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == ()


def test_folders_of_two_sets_are_two_sets(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write(tmp_path / "own" / name / "images" / "x.png", IMAGE)
        write(tmp_path / "own" / name / "masks" / "x.png", LABELS.astype(np.uint8))
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.images == {"test": 1, "train": 1}
    assert prepared.nuclei == {"test": 3, "train": 3}


@pytest.mark.parametrize("truth", ["x_masks.tif", "x_seg.npy", "x.geojson"])
def test_images_and_nuclei_side_by_side_below_train_and_test_are_two_sets(
    tmp_path: Path, truth: str
) -> None:
    contents = {".tif": LABELS.astype(np.uint16), ".npy": LABELS, "json": exported("geojson")}
    for name in ("train", "test"):
        write(tmp_path / "own" / name / "x.png", IMAGE)
        write(tmp_path / "own" / name / truth, contents[truth[-4:]])
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.nuclei == {"test": 3, "train": 3}
    assert [sample.id for sample in load_samples(prepared.cache, "test")] == ["x"]


def test_images_alone_in_a_folder_beside_a_labelled_one_are_a_set(tmp_path: Path) -> None:
    write(tmp_path / "own" / "train" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "train" / "masks" / "x.png", LABELS.astype(np.uint8))
    write(tmp_path / "own" / "test" / "y.png", IMAGE)
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.nuclei == {"test": 0, "train": 3}
    assert prepared.warnings == ()


def test_each_coco_file_tells_of_the_folder_that_its_name_tells(tmp_path: Path) -> None:
    for name in ("train2017", "val2017"):
        write(tmp_path / "own" / name / "x.png", IMAGE)
        write(tmp_path / "own" / "annotations" / f"instances_{name}.json", exported("coco"))
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.nuclei == {"train2017": 3, "val2017": 3}
    assert prepared.warnings == ()


def test_several_label_images_of_one_image_are_read_by_their_values(tmp_path: Path) -> None:
    write(tmp_path / "own" / "x" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "x" / "masks" / "a.png", np.where(LABELS < 3, LABELS, 0))
    write(tmp_path / "own" / "x" / "masks" / "b.png", np.where(LABELS == 3, LABELS, 0))
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == ()


def write_masks_of_parts(folder: Path) -> None:
    """Write two masks, of three nuclei apart each."""
    mask = np.zeros((5, 12), np.uint8)
    mask[1:3, [1, 5, 9]] = 255
    write(folder / "x" / "images" / "x.png", np.zeros_like(mask))
    write(folder / "x" / "masks" / "a.png", mask)
    write(folder / "x" / "masks" / "b.png", np.roll(mask, 2, axis=1))


def test_masks_of_several_nuclei_each_are_warned_of(tmp_path: Path) -> None:
    write_masks_of_parts(tmp_path / "own")
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.labels.max() == 2
    assert warnings == (
        "images/x: 2 masks with 6 connected parts in total, each mask read as one nucleus; "
        "--connected-components reads each part as a nucleus",
    )


def test_connected_components_reads_the_parts_of_every_mask(tmp_path: Path) -> None:
    write_masks_of_parts(tmp_path / "own")
    (sample,), warnings = read(tmp_path / "own", tmp_path, connected_components=True)
    assert sample.labels.max() == 6
    assert warnings == ()


def test_masks_saved_as_jpeg_keep_their_outlines(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    cv2.circle(mask, (12, 20), 7, 255, -1)
    write(tmp_path / "own" / "x" / "images" / "x.png", mask)
    write(tmp_path / "own" / "x" / "masks" / "a.jpg", mask)
    write(tmp_path / "own" / "x" / "masks" / "b.jpg", mask[:, ::-1])
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels == 1, mask > 0)
    assert warnings == ()


def test_a_binary_mask_of_all_nuclei_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "own" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "masks" / "x.png", (LABELS > 0).astype(np.uint8) * 255)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.labels.max() == 1
    assert warnings == (
        "masks/x.png: is a binary mask with 2 connected parts, read as one nucleus; "
        "--connected-components reads each part as a nucleus",
    )


@pytest.mark.parametrize("high", [1, 255])
def test_connected_components_reads_the_parts_of_a_binary_mask(tmp_path: Path, high: int) -> None:
    write(tmp_path / "own" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "masks" / "x.png", ((LABELS > 0) * high).astype(np.uint8))
    (sample,), warnings = read(tmp_path / "own", tmp_path, connected_components=True)
    np.testing.assert_array_equal(sample.labels, np.array([0, 1, 1, 2])[LABELS])
    assert warnings == ()


def test_a_mask_with_grey_edges_is_one_nucleus_and_not_many(tmp_path: Path) -> None:
    mask = cv2.circle(np.zeros((40, 40), np.uint8), (20, 20), 12, 255, -1)
    write(tmp_path / "own" / "images" / "x.png", mask)
    write(tmp_path / "own" / "masks" / "x.png", cv2.GaussianBlur(mask, (0, 0), 0.8))
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.labels.max() == 1
    assert np.count_nonzero((sample.labels > 0) != (mask > 0)) < 20
    assert warnings == ()


@pytest.mark.parametrize("folder", ["x/masks/1.png", "masks/x.png"])
def test_a_mask_in_the_alpha_channel_is_read(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "own" / folder.replace("masks", "images").replace("1.", "x."), IMAGE)
    write(tmp_path / "own" / folder, ALPHA)
    (sample,), _ = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS == 1)


def test_a_truth_without_its_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "own" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "masks" / "y.png", LABELS.astype(np.uint8))
    write(tmp_path / "own" / "images" / "z.png", IMAGE)
    _, warnings = read(tmp_path / "own", tmp_path)
    assert warnings == ("masks/y.png: matches no image by name; ignored",)


def test_what_cellpose_writes_beside_its_masks_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x_cp_masks.png", LABELS.astype(np.uint16))
    for name in ("x_cp_output.png", "x_flows.tif", "x_outlines_cp_masks.png"):
        write(tmp_path / "own" / name, IMAGE)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == ("x_cp_output.png and 2 more: by-products of Cellpose, not images; ignored",)


def test_folders_of_images_in_folders_of_any_name_are_all_images(tmp_path: Path) -> None:
    for name in ("raw/x.png", "raw/y.png", "other/z.png"):
        write(tmp_path / "own" / name, IMAGE)
    samples, warnings = read(tmp_path / "own", tmp_path)
    assert [sample.id for sample in samples] == ["other_z", "raw_x", "raw_y"]
    assert warnings == ()


def test_images_without_nuclei_beside_a_labelled_set_are_a_set(tmp_path: Path) -> None:
    for name in ("train_images/x.png", "test_images/x.png"):
        write(tmp_path / "own" / name, IMAGE)
    write(tmp_path / "own" / "train_masks" / "x.png", LABELS.astype(np.uint8))
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.nuclei == {"test": 0, "train": 3}


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (
            np.pad(np.zeros((2, 2), np.uint8), 2, constant_values=255),
            "a nucleus covers 89% of the image; 0 is background: invert the mask if its nuclei "
            "are black",
        ),
        (
            np.array([[1, 0, 1, 0, 1], [0] * 5, [2, 0, 2, 0, 2]], np.uint8),
            "has 2 values in 6 connected parts: are these semantic classes? Each nucleus needs "
            "its own label",
        ),
    ],
)
def test_what_is_probably_no_label_image_is_pointed_out(
    tmp_path: Path, values: NDArray, warning: str
) -> None:
    write(tmp_path / "own" / "images" / "x.png", np.zeros_like(values))
    write(tmp_path / "own" / "masks" / "x.png", values)
    assert read(tmp_path / "own", tmp_path)[1] == (f"masks/x.png: {warning}",)


def test_an_inverted_mask_of_one_nucleus_is_pointed_out(tmp_path: Path) -> None:
    write(tmp_path / "own" / "x" / "images" / "x.png", IMAGE)
    for label in (1, 2):
        mask = np.where(label == LABELS, 0, 255).astype(np.uint8)
        write(tmp_path / "own" / "x" / "masks" / f"{label}.png", mask)
    assert read(tmp_path / "own", tmp_path)[1][0] == (
        "x/masks/1.png and 1 more: a nucleus covers 84% of the image; 0 is background: invert the "
        "mask if its nuclei are black"
    )


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        (
            "x.mat",
            "x.mat: .mat is not supported; save images as PNG or TIFF, and annotations as label "
            "images, .npy arrays, GeoJSON, COCO or zips of ImageJ ROIs",
        ),
        (
            "x/0001.roi",
            "x/0001.roi: .roi is not supported; save images as PNG or TIFF, and annotations as "
            "label images, .npy arrays, GeoJSON, COCO or zips of ImageJ ROIs",
        ),
        ("x.json", "x.json: is neither GeoJSON nor COCO; ignored"),
        ("notes.txt", None),
        ("meta.json", None),
    ],
)
def test_nuclei_in_a_form_that_is_not_read_are_told_of(
    tmp_path: Path, name: str, warning: str | None
) -> None:
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / name, b"{}")
    assert read(tmp_path / "own", tmp_path)[1] == ((warning,) if warning else ())


def test_a_coco_file_tells_of_the_images_beside_it(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        write(tmp_path / "own" / name / "x.png", IMAGE)
        write(tmp_path / "own" / name / "_annotations.coco.json", exported("coco"))
    samples, warnings = read(tmp_path / "own", tmp_path)
    assert [int(sample.labels.max()) for sample in samples] == [3, 3]
    assert warnings == ()


def test_boxes_alone_tell_no_nuclei(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    del document["annotations"][0]["segmentation"]
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "boxes.json", json.dumps(document).encode())
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == "boxes.json: contains boxes without outlines ('segmentation')"


def test_boxes_with_empty_outlines_tell_no_nuclei(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    for annotation in document["annotations"]:
        annotation["segmentation"] = []
    for name in ("x.png", "y.png"):
        write(tmp_path / "own" / name, IMAGE)
    document["images"].append({**document["images"][0], "id": 2, "file_name": "y.png"})
    document["annotations"].append({**document["annotations"][0], "image_id": 2})
    write(tmp_path / "own" / "boxes.json", json.dumps(document).encode())
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == "boxes.json: contains boxes without outlines ('segmentation')"


@pytest.mark.parametrize("name", ["z.geojson", "z.npy"])
def test_outlines_that_belong_to_no_image_beside_them_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / name, b"{}")
    assert read(tmp_path / "own", tmp_path)[1] == (f"{name}: matches no image by name; ignored",)


def test_two_truths_of_an_image_are_named(tmp_path: Path) -> None:
    write(tmp_path / "own" / "x.tif", IMAGE)
    write(tmp_path / "own" / "x_masks.tif", LABELS.astype(np.uint16))
    write(tmp_path / "own" / "x_seg.npy", seg_npy())
    _, warnings = read(tmp_path / "own", tmp_path)
    assert warnings == (
        "images/x: x_masks.tif and x_seg.npy annotate this image; using x_masks.tif",
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.png", np.ones((3, 3), np.uint8), "is 3 x 3 pixels; its image is 4 x 8"),
        ("x.npy", np.full(LABELS.shape, -1), "labels contain -1; a label is 0 (background) or a"),
        ("x.tif", LABELS + np.float32(0.5), "contains non-integer values; labels are integers"),
        ("x.geojson", b"{", "cannot be read (JSONDecodeError"),
        (
            "x.geojson",
            b'{"geometry": {"type": "Point"}}',
            "contains a 'Point'; nuclei must be of type",
        ),
        (
            "x.geojson",
            b'{"geometry": {"type": "Polygon", "coordinates": [[[NaN, 1], [2, 3], [1, 1]]]}}',
            "has coordinates that are not numbers below 1e+09",
        ),
        ("x.geojson", b"[[1]]", "cannot be read (AttributeError"),
        ("x.zip", b"PK", "cannot be read (BadZipFile"),
    ],
)
def test_a_truth_that_cannot_be_read_is_a_fault(
    tmp_path: Path, name: str, content: NDArray | bytes, message: str
) -> None:
    write(tmp_path / "own" / "images" / "x.png", IMAGE)
    write(tmp_path / "own" / "masks" / name, content)
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert caught.value.faults[0].startswith(f"masks/{name}: {message}")


def test_a_missing_library_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x_rois.zip", exported("roi"))
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(ModuleNotFoundError):
        prepare(tmp_path / "own", tmp_path / "cache")


def test_coco_names_images_that_are_missing(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    document["images"].append({"id": 7, "file_name": "far/y.png", "height": 4, "width": 8})
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    _, warnings = read(tmp_path / "own", tmp_path)
    assert warnings == ("coco.json: annotates images that are missing: far/y.png",)


def test_coco_tells_of_outlines_of_no_image(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    document["annotations"][0]["image_id"] = 99
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.labels is not None
    assert sample.labels.max() == 2
    assert warnings == ("coco.json: annotations of no image in it (image_id): 1; ignored",)


def test_packed_run_lengths_of_coco_are_read(tmp_path: Path) -> None:
    # As pycocotools packs the counts 5, 2, 25 of a mask of 4 x 8 pixels.
    outline = {"size": [4, 8], "counts": "52i0"}
    document = {
        "images": [{"id": 1, "file_name": "x.png", "height": 4, "width": 8}],
        "annotations": [{"image_id": 1, "segmentation": outline}],
    }
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    (sample,), _ = read(tmp_path / "own", tmp_path)
    expected = np.zeros_like(LABELS)
    expected[1:3, 1] = 1
    np.testing.assert_array_equal(sample.labels, expected)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".CZI", "Zeiss CZI"), (".nd2", "Nikon ND2"), (".svs", "whole-slide (Aperio)")],
)
def test_a_format_that_is_not_read_says_what_to_do(tmp_path: Path, suffix: str, name: str) -> None:
    write(tmp_path / "own" / f"x{suffix}", b"1")
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        f"x{suffix}: {name} is not supported; save it, or regions of it, as OME-TIFF with Fiji, "
        f"QuPath or Bio-Formats' bfconvert (bfconvert x{suffix} x.ome.tif)"
    )


def test_images_of_a_format_that_is_not_read_are_told_in_a_line_a_format(tmp_path: Path) -> None:
    for name in ("a.czi", "b.czi", "c.heic"):
        write(tmp_path / "own" / name, b"1")
    write(tmp_path / "own" / "x.png", IMAGE)
    assert read(tmp_path / "own", tmp_path)[1] == (
        "a.czi and 1 more: Zeiss CZI is not supported; save it, or regions of it, as OME-TIFF "
        "with Fiji, QuPath or Bio-Formats' bfconvert (bfconvert a.czi a.ome.tif)",
        "c.heic: HEIC is not supported; save it as PNG or TIFF",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "one.czi",
            "one.czi: Zeiss CZI is not supported; save it, or regions of it, as OME-TIFF with "
            "Fiji, QuPath or Bio-Formats' bfconvert (bfconvert one.czi one.ome.tif)",
        ),
        (
            "one.tar.gz",
            f"one.tar.gz: is neither a zip nor an image ({FORMATS}); unpack or convert it, and "
            "pass the folder",
        ),
        ("one.zip", "one.zip: is not a zip or is truncated; get the file again"),
    ],
)
def test_one_file_that_cannot_be_read_is_told_what_would_do(
    tmp_path: Path, name: str, message: str
) -> None:
    write(tmp_path / name, b"1")
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / name, tmp_path / "cache")
    assert str(caught.value) == message


def test_a_folder_without_images_is_told_what_it_holds_instead(tmp_path: Path) -> None:
    for name in ("a.rar", "b.rar", "README"):
        write(tmp_path / "own" / name, b"1")
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        f"{tmp_path / 'own'}: contains no images (found 2 .rar, 1 without an extension); expected "
        f"{ACCEPTED_FORMS}"
    )


@pytest.mark.parametrize("name", ["x.jfif", "x.jpe"])
def test_a_jpeg_by_another_suffix_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / "own" / name, cv2.imencode(".jpg", IMAGE)[1].tobytes())
    (sample,), _ = read(tmp_path / "own", tmp_path)
    assert sample.image.shape == (*IMAGE.shape, 3)


@pytest.mark.parametrize("name", ["a,b", "a\nb", 'a"b', "a\x1bb", "a\x85b", "a\u2028b"])
def test_a_name_that_is_no_image_id_is_refused_early(
    tmp_path: Path, name: str, write_set: Callable
) -> None:
    write(tmp_path / "own" / f"{name}.png", IMAGE)
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        f"{name!r}: the file name becomes the ImageId, which must not contain a comma, quote, line "
        "break or other control character; rename it"
    )


@pytest.mark.parametrize("name", ["Screenshot 1.23\u202fPM", "\xa0a\xa0", "ä", "a\u200db"])
def test_a_name_with_unusual_spaces_or_letters_is_an_image_id(tmp_path: Path, name: str) -> None:
    write(tmp_path / "own" / f"{name}.png", IMAGE)
    (sample,), _ = read(tmp_path / "own", tmp_path)
    assert sample.id == name
    labels = np.array([[1, 0]])
    write_submission(tmp_path / "own.csv", {sample.id: labels})
    read_back = read_submission(tmp_path / "own.csv", {name: labels.shape})
    np.testing.assert_array_equal(read_back[name], labels)


def test_a_name_too_long_for_the_files_written_later_is_refused_early(tmp_path: Path) -> None:
    write(tmp_path / "own" / f"{'n' * 246}.png", IMAGE)
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        f"{'n' * 246}.png: the name has 246 bytes, the maximum is 200; rename it"
    )


def test_one_image_is_a_source(tmp_path: Path) -> None:
    write(tmp_path / "one.tif", IMAGE)
    (sample,), warnings = read(tmp_path / "one.tif", tmp_path)
    assert (sample.id, sample.labels, warnings) == ("one", None, ())


def draw_discs(n_columns: int = 6) -> NDArray[np.uint8]:
    """Draw a label image of 4 rows of discs; each second one touches its left neighbour."""
    labels = np.zeros((160, 40 * n_columns), np.uint8)
    for number in range(4 * n_columns):
        row, column = divmod(number, n_columns)
        centre = (20 + 40 * column - 5 * (column % 2), 20 + 40 * row)
        cv2.circle(labels, centre, 17, number + 1, -1)
    return labels


def draw_photo() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, (160, 240))
    blurred = cv2.GaussianBlur(draw_discs(), (0, 0), 3).astype(float)
    return (20 + 6 * blurred + noise).clip(1, 255).astype(np.uint8)


def cut_one_in_two() -> NDArray[np.uint8]:
    labels = draw_discs()
    labels[20, :30] = 0
    return labels


@pytest.mark.parametrize(
    "values",
    [
        draw_photo(),
        cv2.resize(draw_discs(), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
        draw_photo().astype(np.uint16) * 200 + np.arange(240, dtype=np.uint16),
        np.random.default_rng(0).integers(1, 255, (40, 40, 3), dtype=np.uint8),
    ],
    ids=["photo", "interpolated labels", "photo of 16 bits", "colours"],
)
def test_a_picture_in_place_of_labels_is_pointed_out(tmp_path: Path, values: NDArray) -> None:
    write(tmp_path / "own" / "images" / "x.png", np.zeros(values.shape[:2], np.uint8))
    write(tmp_path / "own" / "masks" / "x.png", values)
    (sample,), (warning,) = read(tmp_path / "own", tmp_path)
    assert warning == (
        f"masks/x.png: most of its {sample.labels.max()} values have several parts or at most 2 "
        "pixels: is it a picture, or interpolated? Each nucleus needs its own label"
    )


@pytest.mark.parametrize(
    "labels",
    [
        draw_discs(),
        cut_one_in_two(),
        cv2.resize(draw_discs(), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_NEAREST),
    ],
    ids=["touching nuclei", "a nucleus in two parts", "small nuclei"],
)
def test_label_images_are_not_taken_for_pictures(tmp_path: Path, labels: NDArray) -> None:
    write(tmp_path / "own" / "images" / "x.png", np.zeros_like(labels))
    write(tmp_path / "own" / "masks" / "x.png", labels)
    assert read(tmp_path / "own", tmp_path)[1] == ()


@pytest.mark.parametrize("folder", ["masks", "x/masks"])
@pytest.mark.parametrize(
    "values",
    [draw_discs(), draw_discs() * 10, np.dstack([draw_discs() % 2 * 255] * 2 + [draw_discs() * 0])],
    ids=["dark values", "grey values", "colours"],
)
def test_a_jpeg_of_several_values_or_colours_is_refused(
    tmp_path: Path, folder: str, values: NDArray
) -> None:
    image = tmp_path / "own" / folder.replace("masks", "images") / "x.png"
    write(image, np.zeros(values.shape[:2], np.uint8))
    write(tmp_path / "own" / folder / "x.jpg", values)
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        f"{folder}/x.jpg: is a lossy image of several grey values or colours, which its "
        "compression changes; save labels as PNG or TIFF"
    )


def test_a_jpeg_of_one_black_and_white_mask_with_soft_edges_is_read(tmp_path: Path) -> None:
    mask = (draw_discs() > 0).astype(np.uint8) * 255
    soft = cv2.GaussianBlur(mask, (0, 0), 1)
    write(tmp_path / "own" / "images" / "x.png", mask)
    write(tmp_path / "own" / "masks" / "x.jpg", soft)
    (sample,), _ = read(tmp_path / "own", tmp_path)
    assert np.mean((sample.labels > 0) != (mask > 0)) < 0.01


def test_a_jpeg_of_a_small_nucleus_with_soft_edges_is_a_mask(tmp_path: Path) -> None:
    small = np.zeros((64, 64), np.uint8)
    cv2.circle(small, (30, 33), 2, 255, cv2.FILLED)
    write(tmp_path / "own" / "x" / "images" / "x.png", small)
    write(tmp_path / "own" / "x" / "masks" / "a.jpg", cv2.GaussianBlur(small, (0, 0), 1))
    (sample,), _ = read(tmp_path / "own", tmp_path)
    assert np.count_nonzero(sample.labels) == 9


def test_a_geojson_without_properties_is_read(tmp_path: Path) -> None:
    document = json.loads(exported("geojson"))
    features = document["features"] if isinstance(document, dict) else document
    for feature in features:
        feature["properties"] = None
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x.geojson", json.dumps(document).encode())
    (sample,), _ = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)


def test_an_outline_without_points_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    document["annotations"].append({"id": 9, "image_id": 1, "segmentation": [[]]})
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == (
        "coco.json: 1 of 4 outlines cover no pixel of their own within the image and are ignored",
    )


def test_a_16_bit_mask_with_soft_edges_is_one_nucleus(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), np.uint16)
    mask[8:24, 8:24] = 20_000
    mask[9:23, 9:23] = 65_535
    write(tmp_path / "own" / "images" / "x.png", (mask >> 8).astype(np.uint8))
    write(tmp_path / "own" / "masks" / "x.tif", mask)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert np.unique(sample.labels).tolist() == [0, 1]
    assert warnings == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.dstack([[[0.3, 0.9]]] * 3), "contains non-integer values"),
        (np.dstack([[[0, 65_536]]] * 3), "contains 65536; the maximum is 65535"),
        (np.array([[0, 1e30]]), "contains 1e+30; the maximum is 9007199254740992"),
        (np.array([[0, 2**63]], np.uint64), "contains 9.22337203685478e+18; the maximum is"),
    ],
)
def test_labels_that_would_be_confused_are_refused(values: NDArray, message: str) -> None:
    with pytest.raises(InputError) as caught:
        number_values(values)
    assert str(caught.value).startswith(message)


def test_an_image_that_occurs_twice_in_kaggles_layout_is_refused(tmp_path: Path) -> None:
    for patient, image in (("patient1", "img1"), ("patient1", "img2"), ("patient2", "img1")):
        for folder in ("images", "masks"):
            write(tmp_path / "own" / patient / image / folder / f"{image}.png", IMAGE)
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    assert str(caught.value) == (
        "images/img1: the id occurs twice, for patient1/img1/images/img1.png and "
        "patient2/img1/images/img1.png; keep one"
    )


def test_splits_in_kaggles_layout_are_sets_of_their_own(tmp_path: Path) -> None:
    for split, image in (("train", "a"), ("val", "b")):
        write(tmp_path / "own" / split / image / "images" / f"{image}.png", IMAGE)
        write(tmp_path / "own" / split / image / "masks" / "1.png", (LABELS == 1).astype(np.uint8))
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    assert prepared.images == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "masks"), ("Images", "Masks"), ("images", "label"), ("imgs", "Ground_Truth")],
)
def test_folders_of_one_mask_a_nucleus_may_have_any_known_name(
    tmp_path: Path, images: str, masks: str
) -> None:
    write(tmp_path / "own" / images / "a.png", IMAGE)
    for label in (1, 2):
        mask = (label == LABELS).astype(np.uint8) * 255
        write(tmp_path / "own" / masks / "a" / f"{label}.png", mask)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS * (LABELS < 3))
    assert warnings == ()


def test_splits_are_named_alike_in_either_case(tmp_path: Path) -> None:
    write(tmp_path / "own" / "Train_images" / "a.png", IMAGE)
    write(tmp_path / "own" / "train_masks" / "a.png", LABELS.astype(np.uint8))
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == ()


def test_a_folder_that_sounds_like_annotations_is_not_silently_read_as_images(
    tmp_path: Path,
) -> None:
    for folder in ("img", "nuclei_masks", "unlabelled"):
        write(tmp_path / "own" / folder / f"{folder}.png", IMAGE)
    samples, warnings = read(tmp_path / "own", tmp_path)
    assert len(samples) == 3
    assert warnings == (
        "nuclei_masks/nuclei_masks.png: read as an image, as are all in nuclei_masks; if they are "
        "annotations, name their folder masks, beside that of the images",
    )


def test_masks_of_no_image_are_told(tmp_path: Path) -> None:
    for image in ("a", "b"):
        write(tmp_path / "own" / "masks" / image / "1.png", (LABELS == 1).astype(np.uint8))
    write(tmp_path / "own" / "images" / "a.png", IMAGE)
    _, warnings = read(tmp_path / "own", tmp_path)
    assert warnings == ("masks/b/1.png: matches no image by folder; ignored",)


def test_positions_of_geojson_may_have_a_height(tmp_path: Path) -> None:
    document = json.loads(exported("geojson"))
    for feature in document["features"]:
        rings = feature["geometry"]["coordinates"]
        feature["geometry"]["coordinates"] = [[[*point, 0] for point in ring] for ring in rings]
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "x.geojson", json.dumps(document).encode())
    (sample,), _ = read(tmp_path / "own", tmp_path)
    np.testing.assert_array_equal(sample.labels, LABELS)


def test_coco_outlines_of_an_image_of_another_size_are_refused(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    for annotation in document["annotations"]:
        annotation["segmentation"] = [[1, 1, 3, 1, 3, 3, 1, 3]]
    write(tmp_path / "own" / "x.png", np.kron(IMAGE, np.ones((2, 2), np.uint8)))
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    with pytest.raises(DataFaults, match="annotates 4 x 8 pixels; its image is 8 x 16"):
        prepare(tmp_path / "own", tmp_path / "cache")


def test_several_categories_of_coco_are_told(tmp_path: Path) -> None:
    document = json.loads(exported("coco"))
    document["categories"].append({"id": 7, "name": "tissue"})
    document["annotations"][0]["category_id"] = 7
    write(tmp_path / "own" / "x.png", IMAGE)
    write(tmp_path / "own" / "coco.json", json.dumps(document).encode())
    _, warnings = read(tmp_path / "own", tmp_path)
    assert warnings == (
        "coco.json: annotations of all categories (nucleus, tissue) are read as nuclei; remove "
        "those that are not",
    )


def write_outlines_of_planes(folder: Path, form: str) -> None:
    squares = [np.array([(x, 0), (x + 2, 0), (x + 2, 2), (x, 2)], float) for x in (0, 4)]
    folder.mkdir(parents=True)
    write(folder / "x.tif", np.stack([IMAGE, IMAGE, IMAGE]))
    if form == "roi":
        with zipfile.ZipFile(folder / "x_rois.zip", "w") as packed:
            for plane, square in enumerate(squares, start=1):
                roi = roifile.ImagejRoi.frompoints(square)
                roi.position = plane
                packed.writestr(f"{plane}.roi", roi.tobytes())
                packed.writestr(f"__MACOSX/._{plane}.roi", b"of macOS")
            packed.writestr(".DS_Store", b"of macOS")
        return
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[*square.tolist(), square[0].tolist()]],
                "plane": {"c": -1, "z": number, "t": 0},
            },
        }
        for number, square in enumerate(squares)
    ]
    document = {"type": "FeatureCollection", "features": features}
    write(folder / "x.geojson", json.dumps(document).encode())


@pytest.mark.parametrize("form", ["roi", "geojson"])
def test_outlines_of_the_chosen_plane_are_read(tmp_path: Path, form: str) -> None:
    write_outlines_of_planes(tmp_path / "own", form)
    (sample,), warnings = read(tmp_path / "own", tmp_path, plane=2)
    assert np.flatnonzero(sample.labels[0]).tolist() == [4, 5]
    assert warnings == ()
    _, warnings = read(tmp_path / "own", tmp_path / "third", plane=3)
    name = "x_rois.zip" if form == "roi" else "x.geojson"
    assert f"{name}: none of its 2 outlines is on plane 3" in warnings
    (sample,), warnings = read(tmp_path / "own", tmp_path, project="max")
    assert np.flatnonzero(sample.labels[0]).tolist() == [0, 1, 4, 5]


def test_outlines_of_all_planes_of_a_single_image_are_told(tmp_path: Path) -> None:
    write_outlines_of_planes(tmp_path / "own", "roi")
    write(tmp_path / "own" / "x.tif", IMAGE)
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.labels.max() == 2
    assert warnings == ("x_rois.zip: outlines of 2 planes are read together; choose with --plane",)


def test_names_match_however_their_accents_are_stored(tmp_path: Path) -> None:
    composed, decomposed = "zellk\u00f6rper", "zellko\u0308rper"
    write(tmp_path / "own" / "images" / f"{decomposed}.png", IMAGE)
    write(tmp_path / "own" / "masks" / f"{composed}.png", LABELS.astype(np.uint8))
    (sample,), warnings = read(tmp_path / "own", tmp_path)
    assert sample.id == composed
    np.testing.assert_array_equal(sample.labels, LABELS)
    assert warnings == ()
