"""Tables as Kaggle exchanges them: a CSV, or a zip that holds one."""

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kaggle_dsb.files import InputError


@dataclass(frozen=True)
class Line:
    """A line of a table: its number in the file, from 1, its text and its fields."""

    number: int
    text: str
    fields: list[str]


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV, or a zip that holds exactly one, with every value as text.

    Returns
    -------
    table : DataFrame of str
        A column for each name in the header; an empty field is ``""``. Row k of the index is
        line k + 2 of the file.

    Raises
    ------
    InputError
        When the file is missing, empty, not UTF-8, or a line has more or fewer fields than the
        header.
    """
    header, *lines = read_lines(path)
    for line in lines:
        if len(line.fields) != len(header.fields):
            raise InputError(f"{path}: line {line.number} {describe_fields(line, header)}")
    return pd.DataFrame([line.fields for line in lines], columns=header.fields, dtype="str")


def read_lines(path: Path) -> list[Line]:
    """Read the lines of a CSV, or of a zip that holds exactly one, the header first.

    Raises
    ------
    InputError
        When the file is missing, empty or not UTF-8.

    Notes
    -----
    Every line is parsed by itself: tables of runs have no line break inside a field, and so a
    broken line is named by its number and does not swallow those below it.
    """
    try:
        text = _read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is 0x{error.object[error.start]:02x}, which is not UTF-8; "
            "save it as UTF-8 text"
        ) from None
    rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if rows == [""]:
        raise InputError(f"{path}: the file is empty; its first line must be a header")
    return [Line(number, row, _split_fields(row)) for number, row in enumerate(rows, start=1)]


def describe_fields(line: Line, header: Line) -> str:
    """Say what is wrong with a line that has more or fewer fields than the header."""
    if not line.text:
        return "is blank; leave it out"
    return (
        f"has {len(line.fields)} fields, but the header has {len(header.fields)}; "
        "fields are parted by commas, and the numbers of a run by blanks"
    )


def find_stray_files(path: Path) -> list[str]:
    """List the files of a zip beside its CSV; a CSV by itself has none."""
    if path.suffix != ".zip":
        return []
    with zipfile.ZipFile(path) as archive:
        return [name for name in _list_files(archive) if not _is_table(name)]


def _split_fields(row: str) -> list[str]:
    # The csv module holds at most 131,072 characters a field, so only quotes send a line there.
    return next(csv.reader([row])) if '"' in row else row.split(",")


def _read_bytes(path: Path) -> bytes:
    """Read a file, or the one CSV in it when it is a zip."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a CSV or a zip of one is needed")
    if path.suffix != ".zip":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            tables = [name for name in _list_files(archive) if _is_table(name)]
            if len(tables) != 1:
                raise InputError(
                    f"{path}: holds {len(tables)} CSV files ({', '.join(tables) or 'none'}); "
                    "a zip must hold exactly one"
                )
            return archive.read(tables[0])
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a sound zip ({error}); zip the CSV again") from None


def _list_files(archive: zipfile.ZipFile) -> list[str]:
    return [entry.filename for entry in archive.infolist() if not entry.is_dir()]


def _is_table(name: str) -> bool:
    # macOS puts a ._submission.csv of its own into a folder __MACOSX beside the real one.
    return name.endswith(".csv") and "__MACOSX" not in name.split("/")
