"""Tables as Kaggle exchanges them: a CSV, by itself or compressed."""

import codecs
import csv
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaggle_dsb.files import InputError

LARGEST_TABLE_MIB = 256
LARGEST_TABLE_LINES = 1_000_000

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers")
_NO_TABLES = {
    b"\x89PNG": "an image; pass the folder of label images instead",
    b"II*\0": "an image; pass the folder of label images instead",
    b"BZh": "compressed with bzip2; unpack it, or compress it as .zip or .gz",
    b"\xfd7zXZ": "compressed with xz; unpack it, or compress it as .zip or .gz",
    b"7z\xbc\xaf": "compressed with 7-Zip; unpack it, or compress it as .zip or .gz",
}
# What Python's readers of zip and gzip raise on damaged, encrypted or unknown contents.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Line:
    """A line of a table: its number in the file, from 1, its text and its fields."""

    number: int
    text: str
    fields: list[str]


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Attributes
    ----------
    path : Path
    header : Line
    rows : list of Line
        Without blank lines. A row may have more or fewer fields than the header.
    deviations : list of str
        What differs from a standard CSV and does not keep it from being read here, a line each;
        Kaggle may refuse it.
    """

    path: Path
    header: Line
    rows: list[Line]
    deviations: list[str]

    def select(self, *names: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of each row, and its values in the columns of these names.

        Raises
        ------
        InputError
            When a column is missing, or a row has more or fewer fields than the header.
        """
        for name in names:
            if name not in self.header.fields:
                raise InputError(
                    f"{self.path}: line 1 is {shorten(self.header.text)}; it must have {name}"
                )
        columns = [self.header.fields.index(name) for name in names]
        for row in self.rows:
            if len(row.fields) != len(self.header.fields):
                raise InputError(f"{self.path}: line {row.number} {self.describe_width(row)}")
            yield row.number, [row.fields[column] for column in columns]

    def describe_width(self, row: Line) -> str:
        """Say what is wrong with a row that has more or fewer fields than the header."""
        return (
            f"has {len(row.fields)} fields, but the header has {len(self.header.fields)}; "
            "separate fields by commas and run lengths by spaces"
        )


def read_table(path: Path) -> Table:
    """Read a CSV, or a zip or gzip of one, with every value as text.

    Parameters
    ----------
    path
        ``.csv``, ``.zip`` with exactly one CSV, or ``.gz``. Of UTF-8 or UTF-16, with fields parted
        by commas, semicolons or tabs, and any line endings.

    Raises
    ------
    InputError
        When the file is missing, damaged, empty, too large or not text.

    Notes
    -----
    Every line is parsed by itself: tables of runs have no line break inside a field, and so a
    broken line is named by its number and does not swallow those below it.
    """
    content, deviations = _read_bytes(path)
    text = _decode(path, content, deviations).replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") > LARGEST_TABLE_LINES:
        raise InputError(f"{path}: has more than {LARGEST_TABLE_LINES:,} lines, the maximum")
    lines: list[Line] = []
    separator = ","
    for number, line in enumerate(text.rstrip("\n").split("\n"), start=1):
        if not line.strip():
            deviations.append(f"line {number} is blank; remove it")
            continue
        separator = separator if lines else _find_separator(line, deviations)
        lines.append(Line(number, line, _split_fields(line, separator)))
    if not lines:
        raise InputError(f"{path}: the file is empty; its first line must be a header")
    return Table(path, lines[0], lines[1:], deviations)


def shorten(text: str, length: int = 80) -> str:
    """Quote a text, with control characters escaped and its end cut off where it is long."""
    return repr(text if len(text) <= length else text[:length] + "...")


def _find_separator(header: str, deviations: list[str]) -> str:
    separator = next((sign for sign in _SEPARATORS if sign in header), ",")
    if separator != ",":
        deviations.append(f"separates fields by {_SEPARATORS[separator]}; use commas")
    return separator


def _split_fields(line: str, separator: str) -> list[str]:
    # An open quote is left in its field, where it cannot be read as a number.
    if line.count('"') % 2 or '"' not in line:
        return line.split(separator)
    csv.field_size_limit(max(csv.field_size_limit(), len(line)))
    return next(csv.reader([line], delimiter=separator))


def _decode(path: Path, content: bytes, deviations: list[str]) -> str:
    encoding = "utf-8"
    if content.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
        deviations.append("starts with a byte-order mark; save it as UTF-8 without one")
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content[:1] != b"\0" and content[1:4:2] == b"\0\0":
        encoding = "utf-16-le"
    if encoding.startswith("utf-16"):
        deviations.append("is UTF-16 text; save it as UTF-8 text")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = "not UTF-16" if encoding.startswith("utf-16") else "not UTF-8"
        raise InputError(
            f"{path}: byte {error.start} is 0x{error.object[error.start]:02x}, which is {wrong}; "
            "save it as UTF-8 text"
        ) from None


def _read_bytes(path: Path) -> tuple[bytes, list[str]]:
    """Read a file, or the CSV compressed in it, and say what a zip holds beside that."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a CSV or a zip of one")
    most = LARGEST_TABLE_MIB * 2**20
    form = _find_form(path)
    stray: list[str] = []
    if form is None:
        with path.open("rb") as file:
            content = file.read(most + 1)
    else:
        try:
            content, stray = (_unzip if form == "zip" else _gunzip)(path, most + 1)
        except InputError:
            raise
        except _DAMAGES as error:
            reason = shorten(str(error))[1:-1]
            raise InputError(
                f"{path}: not a valid {form} ({reason}); {form} the CSV again"
            ) from None
    if len(content) > most:
        raise InputError(f"{path}: the table is larger than {LARGEST_TABLE_MIB} MiB, the maximum")
    return content, stray


def _find_form(path: Path) -> Literal["zip", "gz"] | None:
    """Tell by its name or its first bytes how a table is compressed.

    Raises
    ------
    InputError
        When it is no table.
    """
    suffix = path.suffix.lower()
    if suffix in _WORKBOOKS:
        raise InputError(f"{path}: is a spreadsheet; save it as CSV")
    with path.open("rb") as file:
        first = file.read(8)
    for magic, what in _NO_TABLES.items():
        if first.startswith(magic):
            raise InputError(f"{path}: is {what}")
    if suffix == ".zip" or first.startswith(_ZIP):
        return "zip"
    return "gz" if suffix == ".gz" or first.startswith(_GZIP) else None


def _unzip(path: Path, most: int) -> tuple[bytes, list[str]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name and name[-1] != "/"]
        tables = [name for name in names if _is_table(name)]
        if len(tables) != 1:
            raise InputError(
                f"{path}: contains {len(tables)} CSV files ({', '.join(tables[:5]) or 'none'}); a "
                "zip must contain exactly one"
            )
        stray = [name for name in names if not _is_table(name)]
        with archive.open(tables[0]) as file:
            content = file.read(most)
    if stray:
        listed = ", ".join(stray[:5]) + (", ..." if len(stray) > 5 else "")
        return content, [f"contains {listed} besides the CSV; the zip must contain nothing else"]
    return content, []


def _gunzip(path: Path, most: int) -> tuple[bytes, list[str]]:
    with gzip.open(path) as file:
        return file.read(most), []


def _is_table(name: str) -> bool:
    # macOS puts a ._submission.csv of its own into a folder __MACOSX beside the real one.
    return name.lower().endswith(".csv") and "__MACOSX" not in name.split("/")
