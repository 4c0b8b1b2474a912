"""Read the annotations of one image from a file in any supported format.

Label images in all image formats, NumPy arrays and Cellpose's ``_seg.npy``, QuPath's GeoJSON, COCO
JSON, and zips of ImageJ regions of interest (ROI).
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.label_files import parse_labels
from kaggle_dsb.competition.labels import number_pixels, relabel
from kaggle_dsb.dataset.contours import fill_polygon
from kaggle_dsb.dataset.masks import has_soft_edges, is_fragmented, is_lossy, threshold_lossy
from kaggle_dsb.dataset.pixels import IMAGE_SUFFIXES, decode_picture, take_values
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.files import InputError

TRUTH_SUFFIXES = (".npy", ".geojson", ".zip")

_ROI_AREAS = {"POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED"}
_ROI_SUFFIX = ".roi"
_LARGEST_ROI_BYTES = 2**24
_LARGEST_NUMBER = 2**53  # up to which float64 holds all integers


class Truth(NamedTuple):
    """The annotated nuclei as labels 1..N, (H, W) int32, and warnings about the file."""

    labels: Labels
    warnings: list[str]


def read_truth(
    path: PurePosixPath,
    data: bytes,
    shape: tuple[int, int],
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Truth:
    """Read the nuclei of an image from an annotation file.

    Parameters
    ----------
    path : PurePosixPath
        The file's name; its suffix determines the format.
    data : bytes
    shape : (H, W)
        Size of the image.
    options : ReadOptions
        ``connected_components`` reads each component of a binary mask as a nucleus.

    Raises
    ------
    InputError
        When the file is damaged, differs in size from the image, or has an unknown format. The
        message does not name the file; the caller adds that.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return _read_label_image(data, shape, options)
    if suffix == ".npy":
        return number_values(_check_shape(parse_labels(data, suffix=suffix), shape), options)
    try:
        if suffix == ".zip":
            return _fill_planes(_read_rois(data), shape, options)
        document = json.loads(data)
        if is_coco(document):
            return _number_all(_read_coco(document, shape), shape)
        return _fill_planes(_read_geojson(document), shape, options)
    except (InputError, ModuleNotFoundError):
        raise
    except Exception as error:  # Malformed documents raise all kinds of errors.
        raise InputError(f"cannot be read ({type(error).__name__}: {error})") from None


def number_values(values: NDArray[Any], options: ReadOptions = DEFAULT_OPTIONS) -> Truth:
    """Number the nuclei of an image that distinguishes them by value or colour.

    Parameters
    ----------
    values : (H, W) of whole numbers, or (H, W, 3) of colours
        0 or black is the background; in a colour image without black, the most common colour.
    options : ReadOptions

    Raises
    ------
    InputError
        When the values are not whole numbers, negative, or too large: above 65535 in a colour.

    Examples
    --------
    >>> number_values(np.array([[0, 7, 7, 9]])).labels.tolist()
    [[0, 1, 1, 2]]
    """
    numbers = _number_colours(values) if values.ndim == 3 else _as_whole_numbers(values)
    labels = relabel(numbers.astype(np.int64))
    if has_soft_edges(numbers):
        labels = (numbers > numbers.max() // 2).astype(np.int32)
    n_labels = int(labels.max(initial=0))
    if not n_labels:
        return Truth(labels, [])
    n_parts, parts = cv2.connectedComponents((labels > 0).astype(np.uint8))
    if n_labels == 1 and options.connected_components:
        return Truth(parts.astype(np.int32), [])
    return Truth(labels, [*_find_likely_mistakes(labels, n_labels, n_parts - 1)])


def _find_likely_mistakes(labels: Labels, n_labels: int, n_parts: int) -> Iterator[str]:
    largest_px = int(np.bincount(labels.ravel())[1:].max())
    if n_labels == 1 and n_parts > 1:
        yield (
            f"is a binary mask with {n_parts} connected parts, read as one nucleus; "
            "--connected-components reads each part as a nucleus"
        )
    elif n_parts > 2 * n_labels:
        yield (
            f"has {n_labels} values in {n_parts} connected parts: are these semantic classes? Each "
            "nucleus needs its own label"
        )
    elif n_labels > 1 and is_fragmented(labels):
        yield (
            f"most of its {n_labels} values have several parts or at most 2 pixels: is it a "
            "picture, or interpolated? Each nucleus needs its own label"
        )
    elif 2 * largest_px > labels.size:
        yield describe_coverage(largest_px, labels.size)


def describe_coverage(nucleus_px: int, image_px: int) -> str:
    """Return the warning that one nucleus covers most of its image."""
    return (
        f"a nucleus covers {nucleus_px / image_px:.0%} of the image; 0 is background: invert "
        "the mask if its nuclei are black"
    )


def is_coco(document: Any) -> bool:
    """Return whether a JSON document is in COCO format."""
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    )


def is_geojson(document: Any) -> bool:
    """Return whether a JSON document is GeoJSON."""
    first = document[0] if isinstance(document, list) and document else document
    return isinstance(first, dict) and first.get("type") in ("FeatureCollection", "Feature")


def holds_rois(names: Iterable[str]) -> bool:
    """Return whether a zip with these file names holds ImageJ regions of interest."""
    suffixes = {PurePosixPath(name).suffix.lower() for name in names if not _is_aside(name)}
    return suffixes == {_ROI_SUFFIX}


def _is_aside(name: str) -> bool:
    """Return whether a name in a zip is that of a folder or of what macOS adds."""
    parts = PurePosixPath(name).parts
    return name.endswith("/") or parts[-1].startswith(".") or "__MACOSX" in parts


def _read_label_image(data: bytes, shape: tuple[int, int], options: ReadOptions) -> Truth:
    decoded = decode_picture(data, options, content="labels")
    values = take_values(decoded) if decoded.ndim == 3 else decoded
    _check_shape(values, shape)
    if is_lossy(data):
        values = threshold_lossy(values)
    return number_values(values, options)


def _check_shape(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    if values.shape[:2] != shape or values.ndim > 3:
        size = " x ".join(map(str, values.shape[:2])) if values.ndim > 1 else str(values.shape)
        raise InputError(f"is {size} pixels; its image is {shape[0]} x {shape[1]}")
    return values


def _as_whole_numbers(values: NDArray[Any]) -> NDArray[Any]:
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise InputError(f"contains values of type {values.dtype}; labels are integers")
    if np.issubdtype(values.dtype, np.inexact):
        if not (np.isfinite(values).all() and (values == np.rint(values.real)).all()):
            raise InputError("contains non-integer values; labels are integers, 0 for background")
        _require_at_most(values.real, _LARGEST_NUMBER)
        values = values.real.astype(np.int64)
    if values.size and values.min() < 0:
        raise InputError(
            f"contains {values.min()}; a label is 0 (background) or a positive integer"
        )
    _require_at_most(values, _LARGEST_NUMBER)
    return values


def _require_at_most(values: NDArray[Any], largest: int) -> None:
    if values.max(initial=0) > largest:
        raise InputError(f"contains {values.max():.15g}; the maximum is {largest}")


def _number_colours(values: NDArray[Any]) -> NDArray[np.int64]:
    numbers = _as_whole_numbers(values)
    _require_at_most(numbers, np.iinfo(np.uint16).max)
    first, second, third = (numbers[..., channel].astype(np.int64) for channel in range(3))
    codes = (first << 32) | (second << 16) | third
    if codes.all():
        colours, counts = np.unique(codes, return_counts=True)
        codes[codes == colours[counts.argmax()]] = 0
    return codes


class _Outline(NamedTuple):
    """The rings of a nucleus, and its plane, counted from 1; 0 if it is on all planes."""

    plane: int
    rings: list[Any]


def _fill_planes(
    outlines: Iterable[_Outline], shape: tuple[int, int], options: ReadOptions
) -> Truth:
    """Number the nuclei of the chosen plane; warn if those of several planes are read together."""
    every = list(outlines)
    planes = {outline.plane for outline in every} - {0}
    wanted = {0, options.plane} if options.plane else {0, *planes}
    found = [outline for outline in every if outline.plane in wanted]
    truth = _number_all((fill_polygon(outline.rings, shape) for outline in found), shape)
    if every and not found:
        truth.warnings.append(f"none of its {len(every)} outlines is on plane {options.plane}")
    if len(planes) > 1 and not (options.plane or options.project):
        truth.warnings.append(
            f"outlines of {len(planes)} planes are read together; choose with --plane"
        )
    return truth


def _number_all(pixels: Iterable[NDArray[np.intp]], shape: tuple[int, int]) -> Truth:
    sizes: list[int] = []

    def _counted() -> Iterator[NDArray[np.intp]]:
        for flat in pixels:
            sizes.append(flat.size)
            yield flat

    labels = number_pixels(_counted(), shape)
    warnings = []
    overlap_px = sum(sizes) - int(np.count_nonzero(labels))
    if overlap_px:
        warnings.append(f"outlines overlap in {overlap_px} px; the first in the file keeps them")
    n_lost = len(sizes) - int(labels.max(initial=0))
    if n_lost:
        warnings.append(
            f"{n_lost} of {len(sizes)} outlines cover no pixel of their own within the image and "
            "are ignored"
        )
    return Truth(labels, warnings)


def _read_rois(data: bytes) -> Iterator[_Outline]:
    import roifile

    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        for info in packed.infolist():
            if info.filename.lower().endswith(_ROI_SUFFIX) and not _is_aside(info.filename):
                if info.file_size > _LARGEST_ROI_BYTES:
                    raise InputError(f"contains {info.filename!r} of {info.file_size} bytes")
                roi = roifile.ImagejRoi.frombytes(packed.read(info))
                kind = roi.roitype.name
                if kind not in _ROI_AREAS:
                    raise InputError(
                        f"contains {info.filename!r}, of ImageJ's type {kind.lower()!r}; nuclei "
                        "must be areas: polygon, freehand, traced, oval or rectangle"
                    )
                # In a hyperstack the position counts channels too, but is then 0.
                plane = int(roi.position or roi.z_position)
                yield _Outline(plane, list(roi.coordinates(multi=True)))


def _read_geojson(document: Any) -> Iterator[_Outline]:
    features = document.get("features", [document]) if isinstance(document, dict) else document
    kinds = [(feature.get("properties") or {}).get("objectType") for feature in features]
    for feature, kind in zip(features, kinds, strict=True):
        # With detections, QuPath's annotations are the regions in which nuclei were detected.
        if kind == "annotation" and {"detection", "cell"} & set(kinds):
            continue
        geometry = feature.get("nucleusGeometry") or feature.get("geometry")
        if not geometry:
            raise InputError("contains a feature without 'geometry'")
        # QuPath counts planes from 0, and has none in images of one plane.
        plane = geometry["plane"].get("z", 0) + 1 if geometry.get("plane") else 0
        if geometry["type"] == "Polygon":
            yield _Outline(plane, _drop_heights(geometry["coordinates"]))
        elif geometry["type"] == "MultiPolygon":
            yield _Outline(plane, _drop_heights(chain.from_iterable(geometry["coordinates"])))
        else:
            raise InputError(
                f"contains a {geometry['type']!r}; nuclei must be of type 'Polygon' or "
                "'MultiPolygon'"
            )


def _drop_heights(rings: Iterable[Iterable[Sequence[float]]]) -> list[Any]:
    """Return the rings of a GeoJSON polygon, whose positions may have a third coordinate."""
    return [[position[:2] for position in ring] for ring in rings]


def _read_coco(document: dict[str, Any], shape: tuple[int, int]) -> Iterator[NDArray[np.intp]]:
    outlines = [annotation.get("segmentation") for annotation in document["annotations"]]
    if None in outlines or (outlines and not any(outlines)):
        raise InputError("contains boxes without outlines ('segmentation')")
    for record in document["images"]:
        size = (record.get("height", shape[0]), record.get("width", shape[1]))
        if size != shape:
            raise InputError(
                f"annotates {size[0]} x {size[1]} pixels; its image is {shape[0]} x {shape[1]}"
            )
    for outline in outlines:
        if isinstance(outline, list):
            parts = [fill_polygon([part], shape) for part in outline]
            yield np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.intp)
        else:
            yield _decode_coco_runs(outline, shape)


def _decode_coco_runs(outline: dict[str, Any], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Decode COCO's column-major run lengths, alternating between background and nucleus."""
    height, width = shape
    if tuple(outline["size"]) != shape:
        size = " x ".join(map(str, outline["size"]))
        raise InputError(f"has a mask of {size} pixels; its image is {height} x {width}")
    counts = outline["counts"]
    runs = np.array(_unpack_counts(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise InputError(
            f"has runs of {runs.sum()} pixels in total; its image has {height * width}"
        )
    ends = np.cumsum(runs)[1::2]
    lengths = runs[1::2]
    by_column = np.arange(lengths.sum()) + np.repeat(ends - np.cumsum(lengths), lengths)
    columns, rows = np.divmod(by_column, height)
    return np.asarray(np.sort(rows * width + columns), np.intp)


def _unpack_counts(text: str) -> list[int]:
    """Decode COCO's compressed counts: 5 bits per character, delta-encoded to the last but one."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts
