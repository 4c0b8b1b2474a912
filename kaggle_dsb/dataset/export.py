"""Export labels to the formats of other tools: QuPath, ImageJ and Fiji, napari, COCO."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.rle import Runs, labels_to_runs
from kaggle_dsb.dataset.contours import trace_nuclei
from kaggle_dsb.files import replacing

COCO_FILE = "coco.json"


def export_labels(
    folder: Path,
    labels_by_id: Mapping[str, Labels],
    formats: Sequence[str],
    *,
    file_names: Mapping[str, str] | None = None,
) -> list[Path]:
    """Export the nuclei of images to the formats of other tools.

    Parameters
    ----------
    folder : Path
    labels_by_id : id → (H, W) int32
    formats : sequence of str
        ``geojson`` (QuPath), ``roi`` (ImageJ, Fiji) and ``ome`` (napari, Fiji) write one file per
        image, ``coco`` one for all.
    file_names : id → str, optional
        The image files that ``coco`` names; by default ``ID.png``.

    Returns
    -------
    list of Path
        The files written.

    Notes
    -----
    Reading a file back gives the same pixels, except for ``roi``: its regions have no holes, and a
    nucleus of several parts becomes several regions.
    """
    writers = _WRITERS | {"coco": partial(_write_coco, file_names=file_names)}
    return [path for name in formats for path in writers[name](folder, labels_by_id)]


def to_geojson(labels: Labels) -> dict[str, Any]:
    """Return a GeoJSON feature collection, one feature per nucleus, as QuPath imports it."""
    features = []
    for label, polygons in trace_nuclei(labels):
        rings = [[ring.tolist() for ring in polygon] for polygon in polygons]
        geometry = (
            {"type": "Polygon", "coordinates": rings[0]}
            if len(rings) == 1
            else {"type": "MultiPolygon", "coordinates": rings}
        )
        properties = {"objectType": "detection", "name": f"nucleus {label}"}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def to_coco(
    labels_by_id: Mapping[str, Labels], file_names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a COCO document of images and nuclei, with run-length encoded masks."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_number, (image_id, labels) in enumerate(labels_by_id.items(), start=1):
        height, width = labels.shape
        name = file_names[image_id] if file_names else f"{image_id}.png"
        images.append({"id": image_number, "file_name": name, "height": height, "width": width})
        for outline in _describe_nuclei(labels):
            number = len(annotations) + 1
            shared = {"id": number, "image_id": image_number, "category_id": 1, "iscrowd": 0}
            annotations.append(shared | outline)
    categories = [{"id": 1, "name": "nucleus"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _describe_nuclei(labels: Labels) -> Iterator[dict[str, Any]]:
    for runs in labels_to_runs(labels):
        # Background and nucleus alternate; a nucleus that holds the last pixel ends the counts.
        changes = np.stack([runs[:, 0] - 1, runs.sum(axis=1) - 1], axis=1).ravel()
        counts = np.diff(changes, prepend=0, append=labels.size).tolist()
        yield {
            "segmentation": {
                "size": list(labels.shape),
                "counts": counts if counts[-1] else counts[:-1],
            },
            "bbox": _find_box(runs, labels.shape[0]),
            "area": int(runs[:, 1].sum()),
        }


def _find_box(runs: Runs, height: int) -> list[int]:
    """Return left, top, width and height of the box around the runs of a nucleus."""
    first_columns, first_rows = np.divmod(runs[:, 0] - 1, height)
    last_columns, last_rows = np.divmod(runs.sum(axis=1) - 2, height)
    if (first_columns < last_columns).any():  # a run goes on at the top of the next column
        first_rows, last_rows = np.array([0]), np.array([height - 1])
    left, top = int(first_columns.min()), int(first_rows.min())
    return [left, top, int(last_columns.max()) - left + 1, int(last_rows.max()) - top + 1]


def _write_geojson(folder: Path, labels_by_id: Mapping[str, Labels]) -> Iterator[Path]:
    for image_id, labels in labels_by_id.items():
        yield _write_json(folder / f"{image_id}.geojson", to_geojson(labels))


def _write_coco(
    folder: Path, labels_by_id: Mapping[str, Labels], *, file_names: Mapping[str, str] | None
) -> Iterator[Path]:
    yield _write_json(folder / COCO_FILE, to_coco(labels_by_id, file_names))


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return path


def _write_rois(folder: Path, labels_by_id: Mapping[str, Labels]) -> Iterator[Path]:
    import roifile

    for image_id, labels in labels_by_id.items():
        path = folder / f"{image_id}_rois.zip"
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as packed:
            for label, polygons in trace_nuclei(labels):
                for part, polygon in enumerate(polygons):
                    name = f"{label:04d}" + (f"-{part + 1}" if len(polygons) > 1 else "")
                    roi = roifile.ImagejRoi.frompoints(polygon[0][:-1], name=name)
                    packed.writestr(f"{name}.roi", roi.tobytes())
        yield path


def _write_ome(folder: Path, labels_by_id: Mapping[str, Labels]) -> Iterator[Path]:
    for image_id, labels in labels_by_id.items():
        path = folder / f"{image_id}.ome.tif"
        with replacing(path) as temporary:
            tifffile.imwrite(
                temporary,
                labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32),
                ome=True,
                compression="zlib",
                metadata={"axes": "YX", "Name": image_id},
            )
        yield path


_WRITERS: dict[str, Callable[[Path, Mapping[str, Labels]], Iterator[Path]]] = {
    "geojson": _write_geojson,
    "roi": _write_rois,
    "ome": _write_ome,
}
"""By format, but for ``coco``; each writes the nuclei of all images and yields the files."""
