"""File utilities for all stages: atomic writing, locking, JSON, and the error for bad input."""

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

LEFTOVER_AGE_S = 3600
TABLE_SUFFIXES = (".csv",)
CHART_SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
_LOCK_FILE = ".lock"
_TIDIED: set[Path] = set()


class InputError(ValueError):
    """Invalid user input.

    The message is one line that names the file, the value and what is expected; the command line
    prints it without a traceback.
    """


def require_folder(path: Path, wanted: str) -> Path:
    """Return a path; raise ``InputError`` unless it is a folder.

    Parameters
    ----------
    path : Path
    wanted : str
        What is expected, as the end of the message.

    Raises
    ------
    InputError
        When it is missing, or a file.
    """
    if not path.is_dir():
        raise InputError(f"{path}: {'is a file' if path.exists() else 'no such folder'}; {wanted}")
    return path


def require_suffix(path: Path, suffixes: Sequence[str]) -> Path:
    """Return a path to write; raise ``InputError`` unless it ends in one of the suffixes.

    Examples
    --------
    >>> require_suffix(Path("curves"), CHART_SUFFIXES)
    Traceback (most recent call last):
    kaggle_dsb.files.InputError: curves: must end in .png, .jpg, .pdf or .svg
    """
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"{path}: must end in {wanted}")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it once the block has succeeded.

    If the block fails (an error, a full disk, Ctrl+C), the old file is unchanged and the temporary
    one is removed. Leftovers of killed processes have hidden names; they are removed once they are
    an hour old, by the next process that writes to the folder.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "score.json"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("{}")
    >>> target.read_text()
    '{}'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    prefix = f".{path.stem[:50]}-writing-"
    try:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        # A failed write, e.g. on a full disk, does not name its file, or names the temporary one.
        if not error.filename or Path(str(error.filename)).name.startswith(prefix):
            error.filename = str(path)
        raise


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tidy(folder: Path) -> None:
    """Remove old leftovers, once per process and folder, since this lists the folder."""
    if folder not in _TIDIED:
        _TIDIED.add(folder)
        remove_leftovers(folder)


def remove_leftovers(folder: Path, *, age_s: float = LEFTOVER_AGE_S) -> None:
    """Remove the temporary files of killed processes from a folder.

    Parameters
    ----------
    folder : Path
    age_s : float
        Minimum age of the files; 0 if no other process can be writing to the folder.
    """
    for leftover in folder.glob(".*-writing-*"):
        if is_leftover(leftover, age_s=age_s):
            leftover.unlink(missing_ok=True)


def is_leftover(path: Path, *, age_s: float = LEFTOVER_AGE_S) -> bool:
    """Return whether a temporary file or folder is too old to belong to a running process."""
    try:
        return time.time() - path.stat().st_mtime >= age_s
    except FileNotFoundError:
        return False  # another process removed it


@contextmanager
def locking(folder: Path, *, activity: str) -> Iterator[None]:
    """Lock a folder against other processes; a killed process releases its lock.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    activity : str
        What the lock is for, as in ``training this fold``.

    Raises
    ------
    InputError
        When another process holds the lock.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: another process is {activity}; wait until it finishes"
        ) from None
    try:
        yield
    finally:
        lock.release()


def compose(name: str) -> str:
    """Return a name in Unicode's composed form (NFC); macOS writes letter and accent separately.

    Examples
    --------
    >>> compose("Zo" + "e" + chr(0x308)) == "Zo" + chr(0xEB)
    True
    """
    return unicodedata.normalize("NFC", name)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises
    ------
    InputError
        When it cannot be read or contains anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: contains a {type(content).__name__}, expected an object")
    return content


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def user_cache(name: str) -> Path:
    """Return a folder in the user's cache, ``$XDG_CACHE_HOME/kaggle_dsb/NAME``.

    If it cannot be made, a temporary one is returned, which is removed when the process ends.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "kaggle_dsb" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _make_temporary(name)
    return folder


@cache
def _make_temporary(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"kaggle_dsb-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
