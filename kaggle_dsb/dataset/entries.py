"""A file of a source, wherever it lies: in a folder, a zip, or a zip in a zip."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kaggle_dsb.files import InputError

LARGEST_FILE_BYTES = 2**30
DAMAGE_ERRORS = (
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Entry:
    """A file of a source.

    Attributes
    ----------
    holder : str
        The folder or zip that holds it, as a message names it.
    path : PurePosixPath
        Where it lies in its holder.
    open_bytes : callable
        Returns its content; use `read`, which turns every failure into an `InputError`.
    """

    holder: str
    path: PurePosixPath
    open_bytes: Callable[[], bytes]

    def __str__(self) -> str:
        """Name the file as a message does: ``stage1_train.zip/ID/images/ID.png``."""
        shown = f"{self.holder}/{self.path}" if self.holder else str(self.path)
        return shown if shown.isprintable() else repr(shown)

    @property
    def stem(self) -> str:
        """The name without its suffix, as in ``cells`` of ``cells.ome.tif``."""
        stem = self.path.stem
        return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem

    @property
    def suffix(self) -> str:
        """The suffix in small letters."""
        return self.path.suffix.lower()

    def read(self) -> bytes:
        """Return the file's content, or raise ``InputError``."""
        try:
            return self.open_bytes()
        except InputError:
            raise
        except (OSError, *DAMAGE_ERRORS) as error:
            raise InputError(f"cannot be read ({error}); get the file again") from None


def entry_of_file(path: Path, root: Path) -> Entry:
    """Return the entry of a file of a folder."""

    def _read() -> bytes:
        _require_bytes(path.stat().st_size)
        return path.read_bytes()

    return Entry("", PurePosixPath(path.relative_to(root).as_posix()), _read)


def entry_of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Entry:
    """Return the entry of a file of a zip, which messages call ``shown``."""

    def _read() -> bytes:
        # Reading ends at the size that the zip states, whatever a crafted one unpacks to.
        _require_bytes(info.file_size)
        return opened.read(info)

    return Entry(shown, PurePosixPath(info.filename.replace("\\", "/")), _read)


def _require_bytes(size: int) -> None:
    if size > LARGEST_FILE_BYTES:
        raise InputError(
            f"is {size >> 20} MiB; files above {LARGEST_FILE_BYTES >> 20} MiB are not read into "
            "memory"
        )
