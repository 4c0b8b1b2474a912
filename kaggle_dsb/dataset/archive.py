"""List the files of a data source, be it a folder, a zip or zips inside a zip."""

import os
import re
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from kaggle_dsb.competition.table import ZIP_ERRORS
from kaggle_dsb.dataset.entries import Entry, entry_of_file, entry_of_zip, open_entry
from kaggle_dsb.dataset.layouts import Contents, arrange
from kaggle_dsb.dataset.pixels import FORMATS, IMAGE_SUFFIXES
from kaggle_dsb.dataset.truth import holds_rois
from kaggle_dsb.dataset.unsupported import UNREAD_SUFFIXES
from kaggle_dsb.files import InputError

ACCEPTED_FORMS = (
    "data-science-bowl-2018.zip, a folder with Kaggle's zips, one of these zips, folders of "
    "ID/images/ID.png and ID/masks/*.png, a folder of images/ and masks/ or labels/, or an image "
    f"or a folder of images ({FORMATS})"
)
LARGEST_ZIP_BYTES = 2**33
SHOWN_FAULTS = 20


class DataFaults(InputError):  # noqa: N818 - it carries many faults
    """A source cannot be used; the first faults found in it are reported at once.

    Attributes
    ----------
    faults : tuple of str
        All of them, one line each: the file, what is wrong with it and what is expected.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(dict.fromkeys(faults))  # one file may annotate many images
        head = [] if len(self.faults) == 1 else [f"{len(self.faults)} errors in the data:"]
        n_more = len(self.faults) - SHOWN_FAULTS
        tail = [f"... and {n_more} more"] if n_more > 0 else []
        super().__init__("\n".join([*head, *self.faults[:SHOWN_FAULTS], *tail]))


class Archive:
    """A source opened for reading: ``with Archive(source, scratch) as archive``.

    Parameters
    ----------
    source : Path
        An image, a zip or a folder, in any of the `ACCEPTED_FORMS`. Only read.
    scratch : Path
        An empty folder for inner zips, see Notes; the caller deletes it.
    skipped : collection of Path
        Folders inside the source to skip (the cache).

    Notes
    -----
    Zips are read in place. Only zips inside a zip are first copied to ``scratch``: every seek in a
    compressed inner zip would decompress it from the start.
    """

    def __init__(self, source: Path, scratch: Path, *, skipped: Collection[Path] = ()) -> None:
        self._source = source
        self._scratch = scratch
        self._skipped = skipped
        self._stack = ExitStack()
        self._faults: list[str] = []

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def find_contents(self) -> Contents:
        """List the images, annotations and tables of the source, with faults and warnings."""
        entries = list(self._walk())
        contents = arrange(entries, self._source.resolve().name)
        contents.faults[:0] = self._faults
        if not contents.pictures and not contents.faults:
            contents.faults.append(
                f"{self._source}: contains no images{_describe_other(entries)}"
                f"{self._describe_skipped()}; expected {ACCEPTED_FORMS}"
            )
        return contents

    def _describe_skipped(self) -> str:
        """Name the skipped folders of the source, which may hold its images after all."""
        source = self._source.resolve()
        folders = {_place_of(folder) for folder in self._skipped if folder.is_dir()}
        outer = sorted(each for each in folders if folders.isdisjoint(each.parents))
        names = [str(each.relative_to(source)) for each in outer if each.is_relative_to(source)]
        return f", besides the package's own {', '.join(names)}" if names else ""

    def _walk(self) -> Iterator[Entry]:
        if self._source.is_file():
            yield from self._walk_file()
            return
        for path in list_files(self._source, skipped=self._skipped):
            yield entry_of_file(path, self._source)
            if path.suffix.lower() == ".zip" and path.parent == self._source:
                yield from self._walk_zip(path, path.name, nested=False)

    def _walk_file(self) -> Iterator[Entry]:
        suffix = self._source.suffix.lower()
        if suffix in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES):
            yield entry_of_file(self._source, self._source.parent)
        elif suffix == ".zip" or zipfile.is_zipfile(self._source):
            yield from self._walk_zip(self._source, self._source.name, nested=False)
        else:
            self._faults.append(
                f"{self._source.name}: is neither a zip nor an image ({FORMATS}); unpack or "
                "convert it, and pass the folder"
            )

    def _walk_zip(self, path: Path, shown: str, *, nested: bool) -> Iterator[Entry]:
        try:
            opened = self._stack.enter_context(zipfile.ZipFile(path))
        except (OSError, *ZIP_ERRORS):
            self._faults.append(f"{shown}: is not a zip or is truncated; get the file again")
            return
        if holds_rois(opened.namelist()):
            return
        for info in opened.infolist():
            parts = [part for part in re.split(r"[\\/]", info.filename) if part != "."]
            fault = _check_place(info, parts)
            if fault:
                self._faults.append(f"{shown}: {fault}")
            if fault or not parts or not parts[-1] or _is_hidden(parts):
                continue
            entry = entry_of_zip(opened, info, shown)
            yield entry
            if entry.suffix == ".zip" and not nested:
                yield from self._walk_nested(opened, info, entry)

    def _walk_nested(
        self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry
    ) -> Iterator[Entry]:
        if info.file_size > LARGEST_ZIP_BYTES:
            self._faults.append(
                f"{entry}: unpacks to {info.file_size / 2**30:.1f} GiB; the maximum for a zip "
                f"within a zip is {LARGEST_ZIP_BYTES >> 30} GiB"
            )
            return
        copy = self._scratch / f"{len(list(self._scratch.iterdir()))}.zip"
        try:
            with open_entry(outer, info) as packed, copy.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        except ZIP_ERRORS:
            self._faults.append(f"{entry}: is damaged; get {outer.filename} again")
            return
        yield from self._walk_zip(copy, str(entry), nested=True)


def list_files(source: Path, *, skipped: Collection[Path] = ()) -> Iterator[Path]:
    """Yield the files below a folder in order of name, without hidden ones and ``__MACOSX``.

    Raises
    ------
    InputError
        When a subfolder cannot be read.
    """
    left_out = {_place_of(folder) for folder in skipped}
    for folder, folders, files in os.walk(source, followlinks=True, onerror=_refuse_folder):
        here, place = Path(folder), Path(folder).resolve()
        folders[:] = sorted(
            name
            for name in folders
            if not _is_hidden([name])
            and place / name not in left_out
            and not _leads_back(here / name)
        )
        yield from (here / name for name in sorted(files) if not _is_hidden([name]))


def _refuse_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a missing source is reported by its reader
        raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})")


def _describe_other(entries: Iterable[Entry]) -> str:
    """Describe the files of a source without images: `` (found 12 .nrrd)``."""
    suffixes = Counter(ascii(entry.suffix)[1:-1] or "without an extension" for entry in entries)
    if not suffixes:
        return ""
    found = ", ".join(f"{count} {name}" for name, count in suffixes.most_common(3))
    return f" (found {found})"


def _leads_back(folder: Path) -> bool:
    """Return whether a folder is a symlink to one of its parents."""
    return folder.is_symlink() and folder.resolve() in {each.resolve() for each in folder.parents}


def _place_of(folder: Path) -> Path:
    """Return the absolute path of a folder or of a symlink to one: the link's, not its target's."""
    return folder.parent.resolve() / folder.name


def _is_hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _check_place(info: zipfile.ZipInfo, parts: list[str]) -> str | None:
    """Return a fault for a path that leads out of the zip, or a symlink, which may do so."""
    if ".." in parts or re.match(r"[\\/]|[A-Za-z]:", info.filename):
        return (
            f"{info.filename!r} points outside the zip; names in a zip must be relative, "
            "without '..'"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"{info.filename!r} is a symbolic link; a zip must contain the file itself"
    return None
