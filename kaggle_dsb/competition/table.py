"""Tables in Kaggle's format: a CSV, plain or compressed."""

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

from kaggle_dsb.files import InputError, compose

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
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What Python's zip and gzip readers raise, besides OSError, on damaged, encrypted or unsupported
contents."""


@dataclass(frozen=True)
class Line:
    """A line of a table: its number in the file (from 1), its text and its fields."""

    number: int
    text: str
    fields: list[str]


@dataclass(frozen=True)
class Table:
    """A table as read from a file.

    Attributes
    ----------
    path : Path
    header : Line
    rows : list of Line
        Without blank lines. A row may have more or fewer fields than the header.
    deviations : list of str
        Deviations from a standard CSV that are accepted here but that Kaggle may reject, one line
        each.
    """

    path: Path
    header: Line
    rows: list[Line]
    deviations: list[str]

    def select(self, *names: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number of each row, and its values in the named columns.

        Raises
        ------
        InputError
            When a column is missing, or a row has more or fewer fields than the header.
        """
        for name in names:
            if name not in self.header.fields:
                raise InputError(
                    f"{self.path}: line {self.header.number} is {shorten(self.header.text)}; it "
                    f"must have {name}"
                )
        columns = [self.header.fields.index(name) for name in names]
        for row in self.rows:
            if len(row.fields) != len(self.header.fields):
                raise InputError(f"{self.path}: line {row.number} {self.describe_width(row)}")
            yield row.number, [row.fields[column] for column in columns]

    def describe_width(self, row: Line) -> str:
        """Return the error message for a row with more or fewer fields than the header."""
        return (
            f"has {len(row.fields)} fields, but the header has {len(self.header.fields)}; "
            "separate fields by commas and run lengths by spaces"
        )


def read_table(path: Path) -> Table:
    """Read a CSV, or a zip or gzip of one, with every value as text.

    Parameters
    ----------
    path
        ``.csv``, ``.zip`` with exactly one CSV, or ``.gz``. UTF-8 or UTF-16, with fields separated
        by commas, semicolons or tabs, and any line endings.

    Raises
    ------
    InputError
        When the file is missing, damaged, empty, too large or not text.

    Notes
    -----
    Each line is parsed separately: tables of runs have no line breaks inside fields, and a
    malformed line can then be reported by number without affecting the following ones.
    """
    content, deviations = _read_bytes(path)
    text = compose(_decode(path, content, deviations))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
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
    """Quote a string, with control characters escaped, truncated after ``length`` characters."""
    return repr(text if len(text) <= length else text[:length] + "...")


def _find_separator(header: str, deviations: list[str]) -> str:
    separator = next((sign for sign in _SEPARATORS if sign in header), ",")
    if separator != ",":
        deviations.append(f"separates fields by {_SEPARATORS[separator]}; use commas")
    return separator


def _split_fields(line: str, separator: str) -> list[str]:
    # An unbalanced quote stays in its field, where it cannot be parsed as a number.
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
    """Return the bytes of a table, decompressed, and deviations such as stray files in a zip."""
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
        except (OSError, *ZIP_ERRORS) as error:
            reason = shorten(str(error))[1:-1]
            raise InputError(
                f"{path}: not a valid {form} ({reason}); {form} the CSV again"
            ) from None
    if len(content) > most:
        raise InputError(f"{path}: the table is larger than {LARGEST_TABLE_MIB} MiB, the maximum")
    return content, stray


def _find_form(path: Path) -> Literal["zip", "gz"] | None:
    """Detect the compression of a table from its name or first bytes.

    Raises
    ------
    InputError
        When the file is not a table.
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
    # macOS adds its own ._submission.csv in a folder __MACOSX.
    return name.lower().endswith(".csv") and "__MACOSX" not in name.split("/")
