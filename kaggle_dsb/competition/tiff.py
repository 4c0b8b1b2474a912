"""Checks of a TIFF file before and after a library reads it."""

import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from kaggle_dsb.files import InputError

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_SUB_DIRECTORIES = 330
# `struct` format of a value of each TIFF field type; floats as integers of the same size.
_KINDS = dict(enumerate(("B", "B", "H", "I", "II", "B", "B", "H", "I", "II", "I", "Q", "I"), 1))
_KINDS |= {16: "Q", 17: "Q", 18: "Q"}
# How often the tags may reference the file's bytes in total, and the allowance of any file.
_MOST_READINGS = 4
_ALWAYS_BYTES = 2**16


class _Directory(NamedTuple):
    """A directory (IFD): offset of the next one, its sub-directories, and the bytes to read."""

    next: int
    below: list[int]
    n_bytes: int


class _Directories:
    """The directories (IFDs) of a TIFF by offset."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data.startswith(b"II") else ">"
        is_big = data[2:4] in (b"+\0", b"\0+")
        forms = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
        self._place, self._count, self._tag = (struct.Struct(self._order + form) for form in forms)
        self.first = self._read(self._place, 8 if is_big else 4)

    def read(self, offset: int) -> _Directory:
        """Read the directory at an offset."""
        start = offset + self._count.size
        end = start + self._read(self._count, offset) * self._tag.size
        self.require_bytes(end + self._place.size)
        below: list[int] = []
        n_bytes = end + self._place.size - offset
        for at in range(start, end, self._tag.size):
            code, kind, count, place = self._tag.unpack_from(self._data, at)
            size = count * struct.calcsize(f"={_KINDS.get(kind, '')}")
            if size <= self._place.size:
                place = at + self._tag.size - self._place.size
            else:
                self.require_bytes(place + size)
                n_bytes += size
            if code == _SUB_DIRECTORIES:
                below += self._read_numbers(kind, place, size)
        return _Directory(self._read(self._place, end), below, n_bytes)

    def require_bytes(self, end: int) -> None:
        """Raise ``InputError`` if the file has fewer bytes."""
        if end > len(self._data):
            raise InputError("is truncated; get the file again")

    def _read(self, form: struct.Struct, offset: int) -> int:
        is_there = offset + form.size <= len(self._data)
        return int(form.unpack_from(self._data, offset)[0]) if is_there else 0

    def _read_numbers(self, kind: int, offset: int, size: int) -> list[int]:
        form = struct.Struct(self._order + _KINDS.get(kind, "B")[:1])
        content = self._data[offset : offset + size]
        whole = content[: len(content) // form.size * form.size]
        return [number for (number,) in form.iter_unpack(whole)]


def require_end(data: bytes) -> None:
    """Check that a TIFF has all its pages, and that reading them terminates in reasonable time.

    Raises
    ------
    InputError
        When a page or tag lies beyond the end of the file, a page links back to an earlier one, or
        the tags reference far more bytes than the file has.

    Notes
    -----
    tifffile and Pillow read every tag of every page, up to the first page that is missing. In a
    valid file tags do not share values, except for a few that all pages repeat; a crafted file of
    some hundred bytes may reference the same bytes over and over and take hours to read. Other
    structural errors are left to these libraries.
    """
    directories = _Directories(data)
    left_bytes = _MOST_READINGS * len(data) + _ALWAYS_BYTES
    pages: dict[int, int] = {}
    offset = directories.first
    while 0 < offset < len(data):
        if offset in pages:
            raise InputError(
                f"page {len(pages)} links back to page {pages[offset]}; the file is damaged: get "
                "it again"
            )
        pages[offset] = len(pages) + 1
        page = directories.read(offset)
        below = (directories.read(place).n_bytes for place in page.below)
        for n_bytes in chain([page.n_bytes], below):
            left_bytes -= n_bytes
            if left_bytes < 0:
                raise InputError(
                    f"its tags declare far more data than its {len(data)} bytes; the file is "
                    "damaged: get it again"
                )
        offset = page.next
    directories.require_bytes(offset + 1)


def require_data(page: "TiffPage | TiffFrame", *, n_bytes: int) -> None:
    """Check that the pixels of a page lie within the file; tifffile fills missing ones with black.

    Raises
    ------
    ValueError
        When they extend beyond the end of the file, which has ``n_bytes``.
    """
    segments = zip(page.dataoffsets, page.databytecounts, strict=False)
    end = max((start + max(size, 0) for start, size in segments), default=0)
    if not 0 < end <= n_bytes:
        raise ValueError(f"pixel data ends at byte {end}, beyond its {n_bytes} bytes")


@contextmanager
def silence_tifffile() -> Iterator[None]:
    """Suppress tifffile's log messages, which repeat what the error says, in this thread."""
    thread = threading.get_ident()

    def _is_of_another(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(_is_of_another)
    try:
        yield
    finally:
        logger.removeFilter(_is_of_another)
