"""Measure nuclei: position, size, shape and intensity, as a table with a row for each nucleus.

scikit-image is imported only when needed, since its import is slow.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.files import replacing

MEASUREMENTS_FILE = "measurements.csv"

_SHAPE = {
    "centroid-0": "centroid_row",
    "centroid-1": "centroid_column",
    "area": "area_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}
"""The columns by the names that scikit-image gives them."""
_PROPERTIES = ("centroid", *(name for name in _SHAPE if not name.startswith("centroid")))
_GREY_INTENSITY = {"intensity_mean": "mean_intensity"}
_COLOUR_INTENSITIES = {
    f"intensity_mean-{channel}": f"mean_intensity_{name}"
    for channel, name in enumerate(("red", "green", "blue"))
}
MEASUREMENT_COLUMNS = ("image", "label", *_SHAPE.values(), *_COLOUR_INTENSITIES.values())
"""The columns of a table of several images."""


class MeasuredImage(NamedTuple):
    """An image (H, W, 3) of any type, its id and its labels (H, W)."""

    id: str
    image: NDArray[Any]
    labels: NDArray[np.integer]


def measure_nuclei(
    image: NDArray[Any], labels: NDArray[np.integer]
) -> dict[str, NDArray[np.integer | np.floating]]:
    """Measure the nuclei of an image.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), of any numeric type
    labels : (H, W) of integers
        May have gaps.

    Returns
    -------
    dict of str to (n,)
        The columns by name: those of `MEASUREMENT_COLUMNS` from ``label`` on, in this order; for
        a grey image ``mean_intensity`` in place of the colours.
    """
    from skimage.measure import regionprops_table

    if image.dtype in (np.bool_, np.float16):  # of which means would be imprecise
        image = image.astype(np.float32)
    intensity = _GREY_INTENSITY if image.ndim == 2 else _COLOUR_INTENSITIES
    properties = (*_PROPERTIES, "intensity_mean")
    table = regionprops_table(relabel(labels), image, properties=properties)
    columns = {name: table[key] for key, name in (_SHAPE | intensity).items()}
    columns["area_px"] = columns["area_px"].astype(np.int64)
    return {"label": np.unique(labels[labels > 0]), **columns}


def write_measurements(path: Path, images: Iterable[MeasuredImage]) -> Iterator[str]:
    """Write a table of the nuclei of images as CSV, and yield the id of each image.

    Images are consumed lazily; the file is complete once all ids were taken.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(MEASUREMENT_COLUMNS)
        for id_, image, labels in images:
            columns = measure_nuclei(image, labels).values()
            rows = zip(*(map(_write_number, column) for column in columns), strict=True)
            writer.writerows((id_, *row) for row in rows)
            yield id_


def _write_number(number: np.integer | np.floating) -> str:
    return f"{number:.7g}" if isinstance(number, np.floating) else str(number)
