"""Download the competition's files: resume interrupted transfers, verify and record the files.

``downloads.json`` in the folder records the origin, size and SHA-256 of each file.
"""

import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kaggle_dsb.aliases import Progress
from kaggle_dsb.competition.table import ZIP_ERRORS
from kaggle_dsb.dataset.entries import open_entry
from kaggle_dsb.files import InputError, digest_of, read_json, write_json

BROAD_URL = "https://data.broadinstitute.org/bbbc/BBBC038"
BROAD_FILES = (
    "stage1_train.zip",
    "stage1_train_labels.csv",
    "stage1_test.zip",
    "stage1_solution.csv",
    "stage2_test_final.zip",
    "stage2_solution_final.csv",
)
# The run-length encoded training masks are left out: they duplicate the mask images.
KAGGLE_FILES = (
    "stage1_train.zip",
    "stage1_test.zip",
    "stage1_sample_submission.csv.zip",
    "stage1_solution.csv.zip",
    "stage2_test_final.zip",
    "stage2_sample_submission_final.csv.zip",
)
DOWNLOADS_FILE = "downloads.json"
_RECORDED = {"from", "bytes", "sha256"}

DOWNLOAD_TRIES = 5
DOWNLOAD_BACKOFF_S = 2.0
DOWNLOAD_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20

Opener = Callable[[str], Any]
"""Takes a file name and returns a context manager that yields a `Progress`."""


class DownloadError(InputError):
    """A file could not be downloaded; the message says why and what to do."""


@dataclass(frozen=True)
class _Part:
    """A partial download, stored beside its target."""

    path: Path

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".version")

    def size(self) -> int:
        """Return the number of bytes received; 0 if their version is unknown."""
        return self.path.stat().st_size if self.path.exists() and self._mark.exists() else 0

    def version(self) -> str:
        """Return the version of the file that the bytes belong to; empty if unknown."""
        return self._mark.read_text() if self._mark.exists() else ""

    def begin(self, version: str) -> None:
        """Discard the bytes received so far, and store the version of those to come."""
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        if version:
            self._mark.write_text(version)

    def finish(self, target: Path) -> None:
        """Move the complete file into place."""
        self.path.replace(target)
        self._mark.unlink(missing_ok=True)


def download_broad(
    folder: Path, *, base_url: str, show: Opener, names: Iterable[str] = BROAD_FILES
) -> list[str]:
    """Download the competition's files from the Broad Institute, which requires no account.

    Parameters
    ----------
    folder : Path
        Destination; files already there and intact are not downloaded again.
    base_url : str
        `BROAD_URL`.
    show : callable
        Opens a progress bar, in bytes, for a file name.
    names : iterable of str

    Returns
    -------
    list of str
        Names of the downloaded files.

    Raises
    ------
    DownloadError
        When there is no network, no such file or too little disk space, the connection keeps
        breaking off, or a file differs from its first download.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = find_missing(folder, names)
    for name in missing:
        url = f"{base_url}/{name}"
        arrived = folder / f".{name}.new"
        with show(name) as progress:
            fetch_file(url, arrived, progress=progress)
        _keep(arrived, folder / name, origin=base_url)
    return missing


def find_missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names of the files that are missing or damaged.

    Notes
    -----
    A recorded file must match its recorded hash. Of those added by hand, a zip must pass its own
    checksums, and a table must begin with its header.
    """
    record = _read_downloads(folder)
    return [name for name in names if not _is_whole(folder / name, record.get(name))]


def fetch_file(url: str, path: Path, *, progress: Progress) -> None:
    """Download one file, resuming an interrupted transfer.

    Parameters
    ----------
    url : str
    path : Path
        Destination of the complete file. Until then ``<path>.part`` holds the bytes received; the
        transfer is resumed only if the file on the server has not changed.
    progress : callable
        Called with the number of bytes received and the total.

    Raises
    ------
    DownloadError
    """
    part = _Part(path.with_name(f"{path.name}.part"))
    for attempt in range(1, DOWNLOAD_TRIES + 1):
        try:
            expected = _fetch_rest(url, part, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in (416, 429):
                raise DownloadError(f"{url}: HTTP {error.code} {error.reason}") from None
            fault = f"HTTP {error.code} {error.reason}"
            if error.code == 416:
                if error.headers.get("Content-Range") == f"bytes */{part.size()}":
                    part.finish(path)  # interrupted after the last byte
                    return
                part.begin("")
        except urllib.error.URLError as error:
            raise DownloadError(
                f"{url}: no network connection ({error.reason}); check the connection, or download "
                "the files elsewhere and put them in the data folder"
            ) from None
        except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
            fault = f"{type(error).__name__}"
        else:
            if part.path.stat().st_size == expected:
                part.finish(path)
                return
            fault = f"{part.path.stat().st_size} of {expected} bytes"
        if attempt < DOWNLOAD_TRIES:
            time.sleep(DOWNLOAD_BACKOFF_S * 2 ** (attempt - 1))
    raise DownloadError(
        f"{url}: the download failed {DOWNLOAD_TRIES} times ({fault}); the partial file is kept, "
        "run the same command again to resume"
    )


def _fetch_rest(url: str, part: _Part, progress: Progress) -> int:
    """Download the missing bytes, and return the size of the complete file."""
    request = urllib.request.Request(url)
    if part.size():
        request.add_header("Range", f"bytes={part.size()}-")
        request.add_header("If-Range", part.version())
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_S) as reply:
        if reply.status != http.HTTPStatus.PARTIAL_CONTENT:
            part.begin(reply.headers.get("ETag") or reply.headers.get("Last-Modified") or "")
        length = reply.headers.get("Content-Length")
        if length is None:
            raise DownloadError(f"{url}: the server does not report the size of the file")
        there = part.size()
        expected = there + int(length)
        require_space(part.path.parent, int(length))
        with part.path.open("ab") as file:
            while chunk := reply.read(_CHUNK_BYTES):
                file.write(chunk)
                there += len(chunk)
                progress(there, expected)
    return expected


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise ``DownloadError`` unless a folder's disk has ``needed_bytes`` free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise DownloadError(
            f"{folder}: not enough disk space: {needed_bytes / 1e6:.0f} MB needed, "
            f"{free_bytes / 1e6:.0f} MB free; free some space or choose another folder"
        )


def unpack_competition(packed: Path, folder: Path) -> list[str]:
    """Extract the required files from the zip that Kaggle serves.

    Parameters
    ----------
    packed : Path
        ``data-science-bowl-2018.zip``.
    folder : Path
        Destination.

    Returns
    -------
    list of str
        Names of the extracted files.

    Raises
    ------
    DownloadError
        When the zip is damaged or lacks an expected file.
    """
    try:
        with zipfile.ZipFile(packed) as outer:
            entries = {PurePosixPath(info.filename).name: info for info in outer.infolist()}
            lacking = [name for name in KAGGLE_FILES[:2] if name not in entries]
            if lacking:
                raise DownloadError(
                    f"{packed}: contains no {lacking[0]}; it contains "
                    f"{', '.join(sorted(entries)[:5])}"
                )
            names = [name for name in KAGGLE_FILES if name in entries]
            for name in names:
                scratch = folder / f".{name}.new"
                with open_entry(outer, entries[name]) as inner, scratch.open("wb") as unpacked:
                    shutil.copyfileobj(inner, unpacked, _CHUNK_BYTES)
                _keep(scratch, folder / name, origin=packed.name)
    except InputError:
        raise
    except ZIP_ERRORS as error:
        packed.unlink()
        raise DownloadError(
            f"{packed.name}: was corrupted in transfer ({error}) and deleted; run the same command "
            "again"
        ) from None
    return names


def _keep(arrived: Path, target: Path, *, origin: str) -> None:
    """Move a file into place unless it is damaged or differs from its first download."""
    if not _passes_checks(arrived, target.suffix):
        with arrived.open("rb") as file:
            start = file.read(20)
        arrived.unlink()
        kind = "zip" if target.suffix == ".zip" else "table of run lengths"
        raise DownloadError(
            f"{target.name}: {origin} did not send a complete {kind} (it starts with {start!r}); "
            "the file was deleted, try again later"
        )
    record = _read_downloads(target.parent)
    digest = digest_of(arrived)
    entry = {"from": origin, "bytes": arrived.stat().st_size, "sha256": digest}
    first = record.get(target.name)
    if first and first["from"] == origin and first["sha256"] != digest:
        arrived.unlink()
        raise DownloadError(
            f"{target.name}: differs from its first download from {origin} (SHA-256 "
            f"{digest[:12]}…, not {first['sha256'][:12]}…); if the new file is correct, remove its "
            f"entry from {target.parent / DOWNLOADS_FILE}"
        )
    arrived.replace(target)
    write_json(target.parent / DOWNLOADS_FILE, record | {target.name: entry})


def _read_downloads(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / DOWNLOADS_FILE
    record = read_json(path) if path.exists() else {}
    for name, entry in record.items():
        if not (isinstance(entry, dict) and entry.keys() >= _RECORDED):
            raise InputError(
                f"{path}: the entry of {name} lacks {', '.join(sorted(_RECORDED))}; remove it"
            )
    return record


def _is_whole(path: Path, entry: dict[str, Any] | None) -> bool:
    if not path.exists():
        return False
    if entry:
        return bool(path.stat().st_size == entry["bytes"] and digest_of(path) == entry["sha256"])
    return _passes_checks(path, path.suffix)


def _passes_checks(path: Path, suffix: str) -> bool:
    if suffix != ".zip":
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf").startswith(b"ImageId,")
    try:
        with zipfile.ZipFile(path) as packed:
            return packed.testzip() is None
    except (OSError, *ZIP_ERRORS):
        return False
