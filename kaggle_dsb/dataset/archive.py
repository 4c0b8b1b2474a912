"""What a user holds of the competition (zips, zips in a zip, folders), as one list of files."""

import os
import re
import shutil
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType

from kaggle_dsb.dataset.pixels import IMAGE_SUFFIXES
from kaggle_dsb.files import InputError

KAGGLE_SETS = ("stage1_train", "stage1_test", "stage2_test_final")
OWN_SET = "images"
ACCEPTED_FORMS = (
    "data-science-bowl-2018.zip, a folder with Kaggle's zips, one of these zips, folders of "
    "ID/images/ID.png and ID/masks/*.png, or a folder of PNG, TIFF or JPEG images"
)

_DEEPEST_FOLDER = 6
_CSV_NAME = re.compile(r"stage[12]_\w+\.csv")
_DAMAGE_ERRORS = (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_READ_ERRORS = (OSError, *_DAMAGE_ERRORS)


class DataFaults(InputError):  # noqa: N818 - it carries many faults
    """A source cannot be used; every fault found in it is told at once.

    Attributes
    ----------
    faults : tuple of str
        A line each: the file, what is wrong with it and what would be right.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        head = [] if len(faults) == 1 else [f"{len(faults)} faults in the data:"]
        super().__init__("\n".join(head + faults))


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
        Gives its content; use `read`, which turns every failure into an `InputError`.
    """

    holder: str
    path: PurePosixPath
    open_bytes: Callable[[], bytes]

    def __str__(self) -> str:
        """Name the file as a message does: ``stage1_train.zip/ID/images/ID.png``."""
        return f"{self.holder}/{self.path}" if self.holder else str(self.path)

    def read(self) -> bytes:
        """Give the file's content, or raise ``InputError``."""
        try:
            return self.open_bytes()
        except _READ_ERRORS as error:
            raise InputError(f"cannot be read ({error}); get the file again") from None


@dataclass
class Picture:
    """An image of a set and the masks of its nuclei, as files of a source."""

    set_name: str
    id: str
    images: list[Entry] = field(default_factory=list)
    masks: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Contents:
    """What a source turned out to hold.

    Attributes
    ----------
    pictures : list of Picture
        Ordered by set and id.
    tables : dict
        The competition's CSV files by name.
    faults, warnings : list of str
        A line each; a fault makes the source unusable.
    """

    pictures: list[Picture]
    tables: dict[str, Entry]
    faults: list[str]
    warnings: list[str]


class Archive:
    """A source opened for reading: ``with Archive(source, scratch) as archive``.

    Parameters
    ----------
    source : Path
        A zip or a folder, in any of the forms of `ACCEPTED_FORMS`. Nothing is written to it.
    scratch : Path
        An empty folder for inner zips, see Notes; the caller deletes it.
    skipped : Path, optional
        A folder inside the source that is none of it (the cache).

    Notes
    -----
    Zips are read in place. Only zips inside a zip are first copied to ``scratch``, their own files
    still packed: reading one inside a compressed zip would unpack it from the start at every jump.
    """

    def __init__(self, source: Path, scratch: Path, *, skipped: Path | None = None) -> None:
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
        """List the images, masks and tables of the source, and what is wrong with their places."""
        entries = list(self._walk())
        contents = _sort_entries(entries, self._source)
        contents.faults[:0] = self._faults
        if not contents.pictures and not contents.faults:
            contents.faults.append(
                f"{self._source}: holds no images; accepted are {ACCEPTED_FORMS}"
            )
        return contents

    def _walk(self) -> Iterator[Entry]:
        if self._source.is_file():
            yield from self._walk_zip(self._source, self._source.name, nested=False)
            return
        for path in list_files(self._source, skipped=self._skipped):
            inside = PurePosixPath(path.relative_to(self._source).as_posix())
            yield Entry("", inside, path.read_bytes)
            if path.suffix.lower() == ".zip" and path.parent == self._source:
                yield from self._walk_zip(path, path.name, nested=False)

    def _walk_zip(self, path: Path, shown: str, *, nested: bool) -> Iterator[Entry]:
        try:
            opened = self._stack.enter_context(zipfile.ZipFile(path))
        except _READ_ERRORS:
            self._faults.append(f"{shown}: is no zip or was cut short; get the file again")
            return
        for info in opened.infolist():
            parts = re.split(r"[\\/]", info.filename)
            if ".." in parts or parts[0] == "" or ":" in parts[0]:
                self._faults.append(
                    f"{shown}: {info.filename!r} lies outside the zip's own folder; "
                    "names in a zip are relative and hold no '..'"
                )
            elif not info.is_dir() and not _is_hidden(parts):
                entry = _entry_of_zip(opened, info, shown)
                yield entry
                if entry.path.suffix.lower() == ".zip" and not nested:
                    yield from self._walk_nested(opened, info, entry)

    def _walk_nested(
        self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, entry: Entry
    ) -> Iterator[Entry]:
        copy = self._scratch / f"{len(list(self._scratch.iterdir()))}.zip"
        try:
            with outer.open(info) as packed, copy.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        except _DAMAGE_ERRORS:
            self._faults.append(f"{entry}: is damaged; get {outer.filename} again")
            return
        yield from self._walk_zip(copy, str(entry), nested=True)


def list_files(source: Path, *, skipped: Path | None = None) -> Iterator[Path]:
    """Give every file of a folder in order of name, less what systems leave (``__MACOSX`` …)."""
    for folder, folders, files in os.walk(source, followlinks=True):
        here = Path(folder)
        depth = len(here.relative_to(source).parts)
        folders[:] = sorted(
            name
            for name in folders
            if depth < _DEEPEST_FOLDER
            and not _is_hidden([name])
            and (here / name).resolve() != skipped
        )
        yield from (here / name for name in sorted(files) if not _is_hidden([name]))


def _is_hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _entry_of_zip(opened: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Entry:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    return Entry(shown, path, lambda: opened.read(info))


def _sort_entries(entries: list[Entry], source: Path) -> Contents:
    pictures: dict[tuple[str, str, str], Picture] = {}
    flat: dict[tuple[str, str, str], Picture] = {}
    tables: dict[str, Entry] = {}
    for entry in entries:
        if _CSV_NAME.fullmatch(entry.path.name):
            tables.setdefault(entry.path.name, entry)
        elif entry.path.suffix.lower() in IMAGE_SUFFIXES:
            _place(entry, source, pictures, flat)
    # Loose pictures beside Kaggle's folders are screenshots, not data.
    chosen, warnings = _choose_holders(pictures or flat)
    faults = [fault for picture in chosen for fault in _check_picture(picture)]
    return Contents(chosen, tables, faults, warnings)


def _place(
    entry: Entry,
    source: Path,
    pictures: dict[tuple[str, str, str], Picture],
    flat: dict[tuple[str, str, str], Picture],
) -> None:
    parts = entry.path.parts
    in_id_folder = len(parts) > 2 and parts[-2] in ("images", "masks")
    if not in_id_folder and (len(parts) > (2 if entry.holder else 1) or parts[0] == "masks"):
        return
    outside = [PurePosixPath(entry.holder).stem if entry.holder else source.resolve().name]
    set_name = _name_set(outside + list(parts[:-3] if in_id_folder else ()))
    image_id = parts[-3] if in_id_folder else entry.path.stem
    found = (pictures if in_id_folder else flat).setdefault(
        (set_name, entry.holder, image_id), Picture(set_name, image_id)
    )
    (found.masks if in_id_folder and parts[-2] == "masks" else found.images).append(entry)


def _name_set(folders: list[str]) -> str:
    return next((name for name in reversed(folders) if name in KAGGLE_SETS), OWN_SET)


def _choose_holders(
    pictures: dict[tuple[str, str, str], Picture],
) -> tuple[list[Picture], list[str]]:
    """Take each set from one holder: an unpacked folder stands before the zip it came from."""
    holders: dict[str, dict[str, None]] = defaultdict(dict)
    for set_name, holder, _ in pictures:
        holders[set_name].setdefault(holder)
    first = {set_name: min(names) for set_name, names in holders.items()}
    warnings = [
        f"{set_name}: found in {' and '.join(name or 'a folder' for name in sorted(names))}; "
        f"{first[set_name] or 'the folder'} is used"
        for set_name, names in sorted(holders.items())
        if len(names) > 1
    ]
    chosen = [picture for key, picture in sorted(pictures.items()) if key[1] == first[key[0]]]
    return chosen, warnings


def _check_picture(picture: Picture) -> Iterator[str]:
    if not picture.images:
        yield (
            f"{picture.set_name}/{picture.id}: has masks but no image; "
            f"{picture.id}/images/{picture.id}.png should be beside them"
        )
    if len(picture.images) > 1:
        names = " and ".join(str(entry) for entry in picture.images)
        yield f"{picture.set_name}/{picture.id}: the id stands twice, for {names}; keep one"
    names_seen: set[PurePosixPath] = set()
    for mask in picture.masks:
        if mask.path in names_seen:
            yield f"{mask}: stands twice in its zip; keep one"
        names_seen.add(mask.path)
