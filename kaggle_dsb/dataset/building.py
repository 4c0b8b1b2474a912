"""Build a folder under a temporary name and move it into place once complete."""

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kaggle_dsb.files import is_leftover

_LEFTOVERS = (".*-building-*", ".demo-*")  # the latter of versions before 0.2
_WRITTEN = ("*", "*/*", "*/*/*")  # down to the folders SET/images, but not their files
_MOST_ATTEMPTS = 10


@contextmanager
def building(folder: Path, *, is_whole: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Yield a new folder that replaces ``folder`` once the block has succeeded.

    Parameters
    ----------
    folder : Path
        Replaced by renaming, so it is never seen half-written.
    is_whole : callable, optional
        Returns whether ``folder`` already is what the block builds. If another process finished
        first, its folder is kept and this one is discarded.

    Notes
    -----
    Leftovers of killed processes beside ``folder`` are removed once nothing has been written to
    them for an hour; others may belong to a running process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_old_builds(folder.parent)
    outer = Path(tempfile.mkdtemp(prefix=f".{folder.name}-building-", dir=folder.parent))
    try:
        build = outer / "new"
        build.mkdir()
        yield build
        _take_place(build, folder, is_whole)
    except OSError as error:
        # A failed write, e.g. on a full disk, does not name its file.
        error.filename = error.filename or str(folder)
        raise
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def remove_old_builds(parent: Path) -> None:
    """Remove unfinished builds from a folder, once unchanged for an hour."""
    for pattern in _LEFTOVERS:
        for leftover in parent.glob(pattern):
            if _is_abandoned(leftover):
                shutil.rmtree(leftover, ignore_errors=True)


def _is_abandoned(build: Path) -> bool:
    written = (path for pattern in _WRITTEN for path in build.glob(pattern))
    return is_leftover(build) and all(is_leftover(path) for path in written)


def _take_place(build: Path, folder: Path, is_whole: Callable[[], bool]) -> None:
    for attempt in range(_MOST_ATTEMPTS):
        if is_whole():
            return
        with suppress(FileNotFoundError):  # it does not exist, or another process moved it
            folder.rename(build.parent / f"old{attempt}")
        try:
            build.rename(folder)
            return
        except OSError as error:
            # Another process created the folder between the two renames.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt + 1 == _MOST_ATTEMPTS:
                raise
