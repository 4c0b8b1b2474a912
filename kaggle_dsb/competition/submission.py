"""Submissions and solutions: tables with one row per nucleus."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import check_pixels
from kaggle_dsb.competition.rle import (
    Runs,
    check_fit,
    decode_labels,
    encode_labels,
    find_pixels,
    have_shared_pixels,
    parse_runs,
)
from kaggle_dsb.competition.table import Line, Table, read_table, shorten
from kaggle_dsb.files import InputError, replacing

__all__ = [
    "HEADER",
    "check_submission",
    "read_solution",
    "read_submission",
    "write_submission",
]

HEADER = ["ImageId", "EncodedPixels"]

_LONGEST_SHOWN_ID = 80
_SIZE = ("Height", "Width")
_SIDE = re.compile(r"[0-9]{1,9}")
_UNWRITABLE = re.compile('[,"\\r\\n\\ud800-\\udfff]')

Sizes = Mapping[str, tuple[int, int]]
"""Height and width of each image, in pixels, by id."""


def write_submission(path: Path, labels_by_id: Mapping[str, ArrayLike]) -> int:
    """Write labels as a submission, with the images in the order of the mapping.

    Parameters
    ----------
    path
        The CSV to write.
    labels_by_id
        Labels (H, W) by image id; an image without nuclei gets one row without runs.

    Returns
    -------
    int
        The number of nuclei.

    Raises
    ------
    InputError
        When the name does not end in ``.csv``, there is no image, or an id or label image is
        invalid.
    """
    if path.suffix != ".csv":
        raise InputError(f"{path}: a submission is written as CSV; choose a name that ends in .csv")
    if not labels_by_id:
        raise InputError(
            f"{path}: no images to write; a submission needs a row for every test image"
        )
    rows = [row for item in labels_by_id.items() for row in _write_rows(*item)]
    lines = [",".join(HEADER), *rows]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return sum(not row.endswith(",") for row in rows)


def require_writable_id(image_id: str) -> None:
    """Raise ``InputError`` for an id that cannot be written into a submission."""
    if not image_id or _UNWRITABLE.search(image_id):
        raise InputError(
            f"image id {shorten(image_id)}; an id must not be empty or contain a comma, quote, "
            "line break or character that UTF-8 lacks"
        )


def _write_rows(image_id: str, labels: ArrayLike) -> list[str]:
    require_writable_id(image_id)
    try:
        return [f"{image_id},{runs}" for runs in encode_labels(labels) or [""]]
    except InputError as error:
        raise InputError(f"image {image_id}: {error}") from None


def check_submission(path: Path, sizes: Sizes) -> list[str]:
    """List everything that would make Kaggle reject or misread a submission.

    Parameters
    ----------
    path
        A CSV, or a zip with exactly one.
    sizes
        Height and width of every required image, by id.

    Returns
    -------
    faults : list of str
        One line each: the file, the line, the value and what is expected. Empty if the submission
        is valid.
    """
    _, deviations, faults = _inspect(path, sizes)
    return deviations + faults


def read_submission(path: Path, sizes: Sizes) -> dict[str, Labels]:
    """Read a submission as labels 1..N by image id, in the order of ``sizes``.

    Raises
    ------
    InputError
        With the first fault, and the number of further ones. Unambiguous deviations that Kaggle
        may reject, such as a byte-order mark, semicolons or a blank line, are accepted.
    """
    rows_by_id, _, faults = _inspect(path, sizes)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    return {
        image_id: decode_labels([row.runs for row in rows_by_id[image_id]], size)
        for image_id, size in sizes.items()
    }


@dataclass(frozen=True)
class _Row:
    """A valid row: its line number, image and runs."""

    number: int
    image_id: str
    runs: Runs

    @property
    def place(self) -> str:
        """The row as named in error messages."""
        return f"line {self.number} {name_image(self.image_id)}:"


def name_image(image_id: str) -> str:
    """Format an image id for messages, ``(image ID)``, quoted unless short and printable."""
    is_plain = image_id.isprintable() and len(image_id) <= _LONGEST_SHOWN_ID
    return f"(image {image_id if is_plain else shorten(image_id)})"


def _inspect(path: Path, sizes: Sizes) -> tuple[dict[str, list[_Row]], list[str], list[str]]:
    """Return the valid rows of each image, the deviations, and the faults (one line each)."""
    try:
        table = read_table(path)
    except InputError as error:
        return {}, [], [str(error)]
    faults = list(_find_header_faults(table.header))
    columns = _find_columns(table.header)
    rows_by_id: dict[str, list[_Row]] = {image_id: [] for image_id in sizes}
    if columns:
        for line in table.rows:
            try:
                row = _read_row(line, table, columns, sizes)
                rows_by_id[row.image_id].append(row)
            except InputError as error:
                faults.append(f"line {line.number} {error}")
        present = {
            field for line in table.rows for field in line.fields[: len(table.header.fields)]
        }
        faults += _find_missing(present, sizes)
    for image_id, rows in rows_by_id.items():
        faults += _find_conflicts(rows, sizes[image_id])
    deviations, faults = (
        [f"{path}: {line}" for line in lines] for lines in (table.deviations, faults)
    )
    return rows_by_id, deviations, faults


def _find_header_faults(header: Line) -> Iterator[str]:
    if header.fields != HEADER:
        has_index = header.fields[0] in ("", "Unnamed: 0")
        hint = "; omit the index column" if has_index else ""
        wanted = repr(",".join(HEADER))
        yield f"line {header.number} is {shorten(header.text)}; it must be {wanted}{hint}"


def _find_columns(header: Line) -> tuple[int, int] | None:
    """Return the indices of the two columns, ignoring case and surrounding spaces."""
    names = [name.strip().casefold() for name in header.fields]
    try:
        image_id, runs = (names.index(name.casefold()) for name in HEADER)
    except ValueError:
        return None
    return image_id, runs


def _read_row(line: Line, table: Table, columns: tuple[int, int], sizes: Sizes) -> _Row:
    """Read a row; raise ``InputError`` with the message that follows the line number."""
    if len(line.fields) != len(table.header.fields):
        raise InputError(table.describe_width(line))
    image_id, text = (line.fields[column] for column in columns)
    try:
        if image_id not in sizes:
            raise InputError(f"not one of the {len(sizes)} expected images")
        if not text and '""' in line.text:
            raise InputError('"" stands for no runs; leave the field empty')
        runs = parse_runs(text)
        check_fit(runs, sizes[image_id])
    except InputError as error:
        raise InputError(f"{name_image(image_id)}: {error}") from None
    return _Row(line.number, image_id, runs)


def _find_missing(present: set[str], sizes: Sizes) -> Iterator[str]:
    for image_id in sizes:
        if image_id not in present:
            yield f"image {image_id} has no row; without nuclei its row must be '{image_id},'"


def _find_conflicts(rows: list[_Row], size: tuple[int, int]) -> Iterator[str]:
    """Yield a message for each conflict between the rows of one image."""
    for row in rows:
        if not row.runs.size and len(rows) > 1:
            yield f"{row.place} no runs, but the image has other rows; remove this one"
    if rows and have_shared_pixels(np.concatenate([row.runs for row in rows])):
        yield from _find_overlaps(rows, size)


def _find_overlaps(rows: list[_Row], size: tuple[int, int]) -> Iterator[str]:
    line_of_pixel = np.zeros(size[0] * size[1], dtype=np.int32)
    for row in rows:
        pixels = find_pixels(row.runs, size)
        others = line_of_pixel[pixels]
        if others.any():
            count, line = np.count_nonzero(others), others[others > 0][0]
            yield (
                f"{row.place} shares {count} px with line {line}; the masks of an image must not "
                "overlap"
            )
        line_of_pixel[pixels] = row.number


def read_solution(path: Path, sizes: Sizes | None = None) -> dict[str, Labels]:
    """Read ground truth, such as a solution or the training labels, as labels by image id.

    Parameters
    ----------
    path
        A CSV, or a zip with exactly one. If present, the columns ``Height`` and ``Width`` give
        the sizes, and rows whose ``Usage`` is ``Ignored`` are skipped.
    sizes
        Height and width of each image, for a table without these columns.

    Returns
    -------
    labels : dict of str to (H, W) int32
        1..N; a pixel shared by several masks, as in a few training images, belongs to the first.

    Raises
    ------
    InputError
        When a column or size is missing, there are no rows, or a row cannot be read.
    """
    table = read_table(path)
    optional = [name for name in ("Usage", *_SIZE) if name in table.header.fields]
    names = [*HEADER, *optional]
    rows = [
        (number, dict(zip(names, values, strict=True))) for number, values in table.select(*names)
    ]
    rows = [(number, row) for number, row in rows if row.get("Usage") != "Ignored"]
    if not rows:
        raise InputError(f"{path}: no scored row; a solution has a row for every image")
    has_sizes = set(_SIZE) <= set(optional)
    if not has_sizes and sizes is None:
        raise InputError(f"{path}: no columns Height and Width; the image sizes are needed")
    size_by_id = {} if has_sizes else dict(sizes or {})
    runs_by_id: dict[str, list[Runs]] = {}
    for number, row in rows:
        try:
            runs = _read_nucleus(row, size_by_id)
        except InputError as error:
            place = f"line {number} {name_image(row['ImageId'])}:"
            raise InputError(f"{path}: {place} {error}") from None
        runs_by_id.setdefault(row["ImageId"], []).append(runs)
    return {
        image_id: decode_labels(runs, size_by_id[image_id], first_wins=True)
        for image_id, runs in runs_by_id.items()
    }


def _read_nucleus(row: Mapping[str, str], size_by_id: dict[str, tuple[int, int]]) -> Runs:
    """Return the runs of a row, and record the size of its image if the row has it."""
    image_id = row["ImageId"]
    if set(_SIZE) <= row.keys():
        size = _parse_size(row["Height"], row["Width"])
        known = size_by_id.setdefault(image_id, size)
        if known != size:
            raise InputError(
                f"{size[0]} x {size[1]} pixels, but {known[0]} x {known[1]} above; all rows of an "
                "image must give the same size"
            )
    elif image_id not in size_by_id:
        raise InputError("the image size is unknown; the sizes of all images are needed")
    return check_fit(parse_runs(row["EncodedPixels"]), size_by_id[image_id])


def _parse_size(height: str, width: str) -> tuple[int, int]:
    if not (_SIDE.fullmatch(height) and _SIDE.fullmatch(width)):
        raise InputError(
            f"Height {shorten(height, 20)}, Width {shorten(width, 20)}; both must be integers"
        )
    return check_pixels((int(height), int(width)))
