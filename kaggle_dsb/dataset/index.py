"""The index of a set in the cache: the size of each image and its number of nuclei."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb.dataset.image_files import is_image_id
from kaggle_dsb.files import InputError

_FILE = "index.csv"
_COLUMNS = ("ImageId", "height", "width", "nuclei")


@dataclass(frozen=True)
class IndexRow:
    """An image of a set, as its index describes it.

    Attributes
    ----------
    id : str
    size : (H, W)
    nuclei : int or None
        None if it has no annotations.
    """

    id: str
    size: tuple[int, int]
    nuclei: int | None


def write_index(folder: Path, rows: Iterable[IndexRow]) -> None:
    """Write the index of a set to its folder in the cache."""
    with (folder / _FILE).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((row.id, *row.size, row.nuclei) for row in rows)


def find_sets(cache: Path) -> list[str]:
    """Return the names of the sets in a cache.

    Raises
    ------
    InputError
        When the folder is not a cache.
    """
    names = sorted(index.parent.name for index in cache.glob(f"*/{_FILE}"))
    if not names:
        raise InputError(f"{cache}: contains no prepared data; prepare the data first")
    return names


def read_index(cache: Path, set_name: str) -> list[IndexRow]:
    """Read the index of a set, ordered by id.

    Raises
    ------
    InputError
        When there is no such cache or set, or the index is damaged.
    """
    path = cache / set_name / _FILE
    if not path.is_file():
        known = ", ".join(find_sets(cache))
        raise InputError(f"{cache}: has no set {set_name!r}; it has {known}")
    try:
        return _parse_index(path)
    except InputError:
        raise
    except (ValueError, csv.Error):
        raise InputError(
            f"{path}: is damaged; delete the cache and prepare the data again"
        ) from None


def _parse_index(path: Path) -> list[IndexRow]:
    with path.open(newline="", encoding="utf-8") as handle:
        header, *lines = list(csv.reader(handle)) or [[]]
    if tuple(header) != _COLUMNS:
        raise InputError(f"{path}: has columns {header}, must have {list(_COLUMNS)}")
    if not all(line and is_image_id(line[0]) for line in lines):
        raise ValueError("not a valid image id")
    return [
        IndexRow(image_id, (int(height), int(width)), int(nuclei) if nuclei else None)
        for image_id, height, width, nuclei in lines
    ]
