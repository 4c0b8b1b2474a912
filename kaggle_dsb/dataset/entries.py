"""A file of a source, whether in a folder, a zip, or a zip inside a zip."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from kaggle_dsb.competition.table import ZIP_ERRORS
from kaggle_dsb.files import InputError, compose

LARGEST_FILE_BYTES = 2**30


@dataclass(frozen=True)
class Entry:
    """A file of a source.

    Attributes
    ----------
    holder : str
        The zip that contains it, as named in messages; empty in a folder.
    path : PurePosixPath
        Path inside the holder, in composed form.
    open_bytes : callable
        Returns the content; use `read`, which turns every failure into an `InputError`.
    """

    holder: str
    path: PurePosixPath
    open_bytes: Callable[[], bytes]

    def __str__(self) -> str:
        """Return the name used in messages: ``stage1_train.zip/ID/images/ID.png``."""
        return show_name(f"{self.holder}/{self.path}" if self.holder else str(self.path))

    @property
    def stem(self) -> str:
        """The file name without suffix, such as ``cells`` for ``cells.ome.tif``."""
        stem = self.path.stem
        return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem

    @property
    def suffix(self) -> str:
        """The suffix in lower case."""
        return self.path.suffix.lower()

    def read(self) -> bytes:
        """Return the file's content, or raise ``InputError``."""
        try:
            return self.open_bytes()
        except InputError:
            raise
        except (OSError, *ZIP_ERRORS) as error:
            raise InputError(f"cannot be read ({error}); get the file again") from None


def show_name(name: str) -> str:
    r"""Return a name as messages show it: quoted and escaped unless all of it is printable.

    Examples
    --------
    >>> print(show_name("a\xa0b"), show_name("a b"))
    'a\xa0b' a b
    """
    return name if name.isprintable() else repr(name)


def entry_of_file(path: Path, root: Path) -> Entry:
    """Return the entry of a file in a folder."""

    def _read() -> bytes:
        _require_bytes(path.stat().st_size)
        return path.read_bytes()

    return Entry("", PurePosixPath(compose(path.relative_to(root).as_posix())), _read)


def entry_of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Entry:
    """Return the entry of a file in a zip, which messages call ``shown``."""

    def _read() -> bytes:
        # Reading stops at the size stated in the zip, whatever a crafted one unpacks to.
        _require_bytes(info.file_size)
        return opened.read(info)

    return Entry(shown, PurePosixPath(compose(info.filename.replace("\\", "/"))), _read)


def open_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Open a file of a zip; raise ``BadZipFile`` when its offset is before the start of the zip."""
    try:
        return opened.open(info)
    except OSError as error:
        raise zipfile.BadZipFile(f"{info.filename!r} is not inside the zip") from error


def _require_bytes(size: int) -> None:
    if size > LARGEST_FILE_BYTES:
        raise InputError(
            f"is {size >> 20} MiB; files above {LARGEST_FILE_BYTES >> 20} MiB are not read into "
            "memory"
        )
