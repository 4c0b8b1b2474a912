import gzip
import re
import zipfile
from pathlib import Path

import pytest

from kaggle_dsb.competition import table
from kaggle_dsb.competition.table import read_table
from kaggle_dsb.files import InputError

TEXT = "ImageId,EncodedPixels\n007,1 1\nnan,\n"
ROWS = [(2, ["007", "1 1"]), (3, ["nan", ""])]


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def select(path: Path) -> list[tuple[int, list[str]]]:
    return list(read_table(path).select("ImageId", "EncodedPixels"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


@pytest.fixture
def zipped(tmp_path):
    path = tmp_path / "table.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", TEXT * 100)
    return path


def test_values_are_text(path):
    path.write_text(TEXT)
    assert select(path) == ROWS
    assert read_table(path).deviations == []


def test_columns_are_found_by_name(path):
    path.write_text("x,EncodedPixels,ImageId\n0,1 1,007\n1,,nan\n")
    assert select(path) == ROWS


@pytest.mark.parametrize(
    ("content", "deviations"),
    [
        (
            b"\xef\xbb\xbf" + TEXT.encode(),
            ["starts with a byte-order mark; save it as UTF-8 without one"],
        ),
        (TEXT.encode("utf-16"), ["is UTF-16 text; save it as UTF-8 text"]),
        (
            b"\xfe\xff" + TEXT.encode("utf-16-be"),
            ["is UTF-16 text; save it as UTF-8 text"],
        ),
        (TEXT.encode("utf-16-le"), ["is UTF-16 text; save it as UTF-8 text"]),
        (gzip.compress(TEXT.encode(), mtime=0), []),
        (
            TEXT.replace(",", ";").encode(),
            ["separates fields by semicolons; use commas"],
        ),
        (TEXT.replace(",", "\t").encode(), ["separates fields by tabs; use commas"]),
        (TEXT.replace("\n", "\r\n").encode(), []),
        (TEXT.replace("\n", "\r").encode(), []),
        (TEXT.rstrip("\n").encode(), []),
        (TEXT.encode() + b"\n\n", []),
    ],
)
def test_a_table_is_read_in_whatever_form_is_clear(path, content, deviations):
    path.write_bytes(content)
    assert select(path) == ROWS
    assert read_table(path).deviations == deviations


def test_blank_lines_are_left_out_and_the_others_keep_their_numbers(path):
    path.write_text("\nImageId,EncodedPixels\n007,1 1\n  \nnan,\n")
    assert select(path) == [(3, ["007", "1 1"]), (5, ["nan", ""])]
    assert read_table(path).deviations == [
        "line 1 is blank; remove it",
        "line 4 is blank; remove it",
    ]


def test_a_quoted_field_may_be_of_any_length(path):
    runs = " ".join(f"{start} 1" for start in range(1, 100_000, 2))
    path.write_text(f'ImageId,EncodedPixels\na,"{runs}"\n')
    assert select(path) == [(2, ["a", runs])]


def test_quotes_and_separators_inside_quotes_are_kept(path):
    path.write_text('ImageId,EncodedPixels\n"a""b","1,2"\n')
    assert select(path) == [(2, ['a"b', "1,2"])]


def test_an_open_quote_does_not_swallow_the_lines_below(path):
    path.write_text('ImageId,EncodedPixels\na,"1 2\nb,3 4\n')
    assert select(path) == [(2, ["a", '"1 2']), (3, ["b", "3 4"])]


@pytest.mark.parametrize("name", ["table.csv.gz", "table.CSV.GZ"])
def test_a_compressed_table_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(TEXT.encode()))
    assert select(tmp_path / name) == ROWS


def test_capitals_in_the_names_of_a_zip_change_nothing(tmp_path):
    path = tmp_path / "TABLE.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("TABLE.CSV", TEXT)
    assert select(path) == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; its first line must be a header"),
        (b"\n \n", "the file is empty; its first line must be a header"),
        (b"a,b\n\xe4,1\n", "byte 4 is 0xe4, which is not UTF-8; save it as UTF-8 text"),
        (b"\xff\xfea", "byte 2 is 0x61, which is not UTF-16; save it as UTF-8 text"),
        (
            b"ImageId,EncodedPixels\na,1 1\nb,1,1\n",
            "line 3 has 3 fields, but the header has 2; separate fields by commas and run lengths "
            "by spaces",
        ),
        (b"a,EncodedPixels\n", "line 1 is 'a,EncodedPixels'; it must have ImageId"),
        (
            b"\x89PNG\r\n\x1a\n",
            "is an image; pass the folder of label images instead",
        ),
        (b"BZh91AY", "is compressed with bzip2; unpack it, or compress it as .zip or .gz"),
        (b"a\x1b[2J\n", "line 1 is 'a\\x1b[2J'; it must have ImageId"),
        (b"a" * 1000, f"line 1 is {'a' * 80 + '...'!r}; it must have ImageId"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(InputError, match=exactly(f"{path}: {message}")):
        select(path)


def test_a_spreadsheet_is_refused(tmp_path):
    path = tmp_path / "table.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=exactly(f"{path}: is a spreadsheet; save it as CSV")):
        read_table(path)


def test_a_missing_file_is_named(path):
    message = f"{path}: no such file; expected a CSV or a zip of one"
    with pytest.raises(InputError, match=exactly(message)):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "compression", "reason"),
    [
        ("deflate", zipfile.ZIP_DEFLATED, "Error -3 while decompressing data: .*"),
        ("lzma", zipfile.ZIP_LZMA, "Invalid or unsupported options"),
        ("bzip2", zipfile.ZIP_BZIP2, "Invalid data stream"),
    ],
)
def test_a_damaged_zip_is_refused(tmp_path, name, compression, reason):
    path = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("table.csv", TEXT * 100)
    content = bytearray(path.read_bytes())
    start = 30 + len("table.csv") + (4 if name == "lzma" else 0)
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(
        InputError,
        match=rf"^{re.escape(str(path))}: not a valid zip \((?:{reason})\); zip the CSV again$",
    ):
        read_table(path)


def test_an_entry_without_a_name_is_passed_over(tmp_path):
    path, unnamed = tmp_path / "table.zip", zipfile.ZipInfo("x")
    unnamed.filename = ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(unnamed, "")
        archive.writestr("table.csv", TEXT)
    assert read_table(path).deviations == []


def test_a_zip_of_an_unknown_compression_is_refused(zipped):
    content = zipped.read_bytes()
    method = zipfile.ZIP_DEFLATED.to_bytes(2, "little")
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.index(signature) + place
        assert content[start : start + 2] == method
        content = content[:start] + b"\x5f\x00" + content[start + 2 :]
    zipped.write_bytes(content)
    message = f"{zipped}: not a valid zip (That compression method is not supported); "
    with pytest.raises(InputError, match=exactly(message + "zip the CSV again")):
        read_table(zipped)


def test_an_encrypted_zip_is_refused(zipped):
    content = bytearray(zipped.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    zipped.write_bytes(content)
    message = (
        f"{zipped}: not a valid zip (File 'table.csv' is encrypted, password required for "
        "extraction); zip the CSV again"
    )
    with pytest.raises(InputError, match=exactly(message)):
        read_table(zipped)


def test_a_truncated_gzip_is_refused(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-10])
    message = (
        f"{path}: not a valid gz (Compressed file ended before the end-of-stream marker was "
        "reached); gz the CSV again"
    )
    with pytest.raises(InputError, match=exactly(message)):
        read_table(path)


@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_table_beyond_the_stated_size_is_refused(tmp_path, monkeypatch, is_zipped):
    monkeypatch.setattr(table, "LARGEST_TABLE_MIB", 1)
    path = tmp_path / ("table.zip" if is_zipped else "table.csv")
    content = bytes(2**20 + 1)
    if is_zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("table.csv", content)
    else:
        path.write_bytes(content)
    message = f"{path}: the table is larger than 1 MiB, the maximum"
    with pytest.raises(InputError, match=exactly(message)):
        read_table(path)


def test_a_table_of_too_many_lines_is_refused(path, monkeypatch):
    monkeypatch.setattr(table, "LARGEST_TABLE_LINES", 1000)
    path.write_text("\n" * 1001)
    message = f"{path}: has more than 1,000 lines, the maximum"
    with pytest.raises(InputError, match=exactly(message)):
        read_table(path)
