import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile

from kaggle_dsb.dataset.export import export_labels, to_coco
from kaggle_dsb.dataset.export_formats import EXPORT_FORMATS, TABLE_FORMAT, parse_formats
from kaggle_dsb.files import InputError

# A square, and a ring around a nucleus of one pixel.
LABELS = np.array(
    [
        [1, 1, 0, 2, 2, 2],
        [1, 1, 0, 2, 3, 2],
        [0, 0, 0, 2, 2, 2],
    ],
    np.int32,
)


def test_each_format_writes_its_files(tmp_path: Path) -> None:
    labels = {"a": LABELS, "b": np.zeros_like(LABELS)}
    formats = [name for name in EXPORT_FORMATS if name != TABLE_FORMAT]
    written = export_labels(tmp_path, labels, formats)
    names = [path.name for path in written]
    assert names == [
        *("a.geojson", "b.geojson", "coco.json"),
        *("a_rois.zip", "b_rois.zip", "a.ome.tif", "b.ome.tif"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_polygon_lies_around_its_pixels_with_the_hole_behind_the_exterior(
    tmp_path: Path,
) -> None:
    (path,) = export_labels(tmp_path, {"a": LABELS}, ["geojson"])
    square, ring, dot = json.loads(path.read_text())["features"]
    assert square["geometry"]["type"] == "Polygon"
    assert square["properties"] == {"objectType": "detection", "name": "nucleus 1"}
    (exterior,) = square["geometry"]["coordinates"]
    assert exterior[0] == exterior[-1]
    assert np.min(exterior, axis=0).tolist() == [0, 0]
    assert np.max(exterior, axis=0).tolist() == [2, 2]
    outer, hole = ring["geometry"]["coordinates"]
    assert np.ptp(outer, axis=0).tolist() == [3, 3]
    assert np.ptp(hole, axis=0).tolist() == [1, 1]
    assert np.mean(dot["geometry"]["coordinates"][0][:-1], axis=0).tolist() == [4.5, 1.5]


def test_a_nucleus_in_two_parts_is_one_feature_and_two_regions(tmp_path: Path) -> None:
    labels = np.array([[1, 0, 1]], np.int32)
    geojson, rois = export_labels(tmp_path, {"a": labels}, ["geojson", "roi"])
    (feature,) = json.loads(geojson.read_text())["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    with zipfile.ZipFile(rois) as packed:
        assert packed.namelist() == ["0001-1.roi", "0001-2.roi"]


def test_regions_hold_the_outline_in_imagejs_coordinates(tmp_path: Path) -> None:
    (path,) = export_labels(tmp_path, {"a": LABELS[:, :2]}, ["roi"])
    roi = roifile.roiread(path)
    coordinates = (roi[0] if isinstance(roi, list) else roi).coordinates()
    assert np.min(coordinates, axis=0).tolist() == [0, 0]
    assert np.max(coordinates, axis=0).tolist() == [2, 2]


def test_coco_counts_down_columns_from_the_background(tmp_path: Path) -> None:
    (path,) = export_labels(tmp_path, {"a": LABELS[:, :2]}, ["coco"])
    document = json.loads(path.read_text())
    assert document["images"] == [{"id": 1, "file_name": "a.png", "height": 3, "width": 2}]
    (annotation,) = document["annotations"]
    assert annotation["segmentation"] == {"size": [3, 2], "counts": [0, 2, 1, 2, 1]}
    assert annotation["bbox"] == [0, 0, 2, 2]
    assert annotation["area"] == 4


def test_coco_names_the_files_of_the_images(tmp_path: Path) -> None:
    names = {"a": "images/a.tif"}
    (path,) = export_labels(tmp_path, {"a": LABELS}, ["coco"], file_names=names)
    (image,) = json.loads(path.read_text())["images"]
    assert image["file_name"] == "images/a.tif"


@pytest.mark.parametrize("seed", range(20))
def test_coco_describes_each_nucleus_as_looking_at_it_alone_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rng.integers(1, 7, 2)).astype(np.int32)
    annotations = to_coco({"a": labels})["annotations"]
    for label, annotation in zip(np.unique(labels[labels > 0]), annotations, strict=True):
        mask = labels == label
        rows, columns = np.nonzero(mask)
        left, top = int(columns.min()), int(rows.min())
        box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
        edges = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False))
        assert annotation["segmentation"] == {
            "size": list(mask.shape),
            "counts": np.diff([0, *edges, mask.size]).tolist(),
        }
        assert (annotation["bbox"], annotation["area"]) == (box, rows.size)


def test_the_time_of_coco_does_not_grow_with_nuclei_times_pixels() -> None:
    labels = np.zeros((2000, 2000), np.int32)
    labels[::40, ::40] = np.arange(1, 2501).reshape(50, 50)
    started_s = time.process_time()
    assert len(to_coco({"a": labels})["annotations"]) == 2500
    assert time.process_time() - started_s < 10  # looking at every pixel for each takes 30


def test_ome_keeps_the_labels_and_the_axes(tmp_path: Path) -> None:
    (path,) = export_labels(tmp_path, {"a": LABELS}, ["ome"])
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "YX"
        np.testing.assert_array_equal(tiff.asarray(), LABELS)


def test_formats_are_named_with_commas() -> None:
    assert parse_formats(" geojson,ROI ") == ["geojson", "roi"]
    assert parse_formats("") == []
    with pytest.raises(InputError) as caught:
        parse_formats("svg")
    assert str(caught.value) == (
        "unknown export format 'svg'; choose from geojson, coco, roi, ome, csv"
    )


def test_a_table_needs_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_formats("csv") == ["csv"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert parse_formats("roi") == ["roi"]
    with pytest.raises(InputError) as caught:
        parse_formats("roi,csv")
    assert str(caught.value) == (
        "export format 'csv': scikit-image is not installed; install it with pip install "
        "scikit-image"
    )


def test_ome_keeps_more_labels_than_16_bits_count(tmp_path: Path) -> None:
    labels = np.arange(70_000, dtype=np.int32).reshape(100, 700)
    (path,) = export_labels(tmp_path, {"x": labels}, ["ome"])
    np.testing.assert_array_equal(tifffile.imread(path), labels)
