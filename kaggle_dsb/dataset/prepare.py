"""Validate a data source of any form and convert it to a cache of PNG files."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kaggle_dsb.aliases import Progress
from kaggle_dsb.dataset.archive import ACCEPTED_FORMS, Archive, DataFaults, list_files
from kaggle_dsb.dataset.building import building, remove_old_builds
from kaggle_dsb.dataset.convert import Converted, convert_picture
from kaggle_dsb.dataset.image_files import ImageFiles
from kaggle_dsb.dataset.index import IndexRow, write_index
from kaggle_dsb.dataset.pixels import IMAGE_SUFFIXES
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.dataset.truth import TRUTH_SUFFIXES
from kaggle_dsb.files import InputError, read_json, write_json

FINGERPRINT_FILE = "source.json"

_FORMAT = 8  # increment when the layout or pixels of the cache change, to rebuild older caches
_WORKERS = 2
_SOURCE_SUFFIXES = (*IMAGE_SUFFIXES, *TRUTH_SUFFIXES, ".json", ".csv")


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`.

    Attributes
    ----------
    cache : Path
    images, nuclei : dict of str to int
        Counts by set; a set without annotations has 0 nuclei.
    warnings : tuple of str
        One line each, for irregularities of the source that are not errors.
    is_new : bool
        False if the cache already held this source and nothing was written.
    """

    cache: Path
    images: dict[str, int]
    nuclei: dict[str, int]
    warnings: tuple[str, ...]
    is_new: bool

    def describe(self) -> list[str]:
        """Return a line for each set: its numbers of images and nuclei."""
        return [self._describe_set(name) for name in self.images]

    def is_annotated(self, set_name: str) -> bool:
        """Return whether a set has annotations, be it of no nuclei."""
        return (self.cache / set_name / "labels").is_dir()

    def _describe_set(self, name: str) -> str:
        images, nuclei = self.images[name], self.nuclei[name]
        counted = f"{nuclei} nucle{'us' if nuclei == 1 else 'i'}"
        return (
            f"{name}: {images} image{'s' * (images != 1)}, "
            f"{counted if self.is_annotated(name) else 'no annotations'}"
        )


class Selection(NamedTuple):
    """The images of a source to prepare: of one set, or of all; at most ``limit`` of each."""

    set_name: str | None = None
    limit: int | None = None


ALL = Selection()


@dataclass(frozen=True)
class _Job:
    """What is the same for all images: the output folder and the arguments of `prepare`."""

    build: Path
    options: ReadOptions
    progress: Progress | None
    selection: Selection
    skipped: Collection[Path]


def prepare(
    source: Path,
    cache: Path,
    *,
    progress: Progress | None = None,
    options: ReadOptions = DEFAULT_OPTIONS,
    selection: Selection = ALL,
    skipped: Collection[Path] = (),
) -> Prepared:
    """Check a source and write its images and labels to a cache.

    Parameters
    ----------
    source : Path
        The competition's files in any form, or the user's own images; see
        `kaggle_dsb.dataset.archive.ACCEPTED_FORMS`. Only read.
    cache : Path
        A folder that is empty, nonexistent or an earlier cache. Receives, for each set,
        ``SET/images/ID.png`` (RGB), ``SET/labels/ID.png`` (uint16, if annotated) and
        ``SET/index.csv``, then the CSV files of the source and ``source.json``.
    progress : callable, optional
        Called with the number of images done and the total.
    options : ReadOptions
        How to read stacks and binary masks.
    selection : Selection
        The set, and the number of images of each, the first by id.
    skipped : collection of Path
        Folders inside the source to skip; the cache always is.

    Raises
    ------
    DataFaults
        When the source is unusable or has no such set; all faults are told together and the
        cache is unchanged.
    InputError
        When the cache cannot be created there.

    Notes
    -----
    A second call with an unchanged source (names, sizes and times of its files) and the same
    arguments returns at once. The cache is written under another name and moved into place once
    complete.

    A pixel in several masks belongs to the first mask by name; a mask left without pixels is not
    counted as a nucleus.
    """
    source, cache = source.expanduser(), cache.expanduser().resolve()
    _check_places(source, cache)
    skipped = (cache, *skipped)
    fingerprint = _take_fingerprint(source, skipped, selection, options)
    remove_old_builds(cache.parent)
    known = _read_prepared(cache, fingerprint)
    if known:
        return known
    with building(cache, is_whole=lambda: _read_prepared(cache, fingerprint) is not None) as build:
        job = _Job(build, options, progress, selection, skipped)
        rows, warnings = _build(source, job)
        images = {name: len(set_rows) for name, set_rows in rows.items()}
        nuclei = {name: sum(row.nuclei or 0 for row in set_rows) for name, set_rows in rows.items()}
        prepared = Prepared(cache, images, nuclei, tuple(warnings), is_new=True)
        _write_fingerprint(build, fingerprint, prepared)
    return prepared


def _is_cache(folder: Path) -> bool:
    path = folder / FINGERPRINT_FILE
    try:
        return path.is_file() and "fingerprint" in read_json(path)
    except InputError:
        return True  # a damaged one


def _check_places(source: Path, cache: Path) -> None:
    if not source.exists():
        raise DataFaults([f"{source}: no such file or folder; expected {ACCEPTED_FORMS}"])
    if source.resolve().is_relative_to(cache):
        raise InputError(
            f"{cache}: the cache would overwrite its source {source}; choose another folder"
        )
    if cache.is_file():
        raise InputError(f"{cache}: is a file; the cache must be a folder")
    if cache.is_dir() and any(cache.iterdir()) and not _is_cache(cache):
        raise InputError(
            f"{cache}: contains files that are not a cache; choose a new or empty folder"
        )


def _take_fingerprint(
    source: Path, skipped: Collection[Path], selection: Selection, options: ReadOptions
) -> dict[str, Any]:
    paths = [source] if source.is_file() else list_files(source, skipped=skipped)
    digest, n_files, n_bytes = hashlib.sha256(), 0, 0
    for path in paths:
        if path.suffix.lower() in _SOURCE_SUFFIXES or path == source:
            try:
                status = path.stat()
            except OSError as error:  # such as a broken link
                raise InputError(f"{path}: cannot be read ({error.strerror})") from None
            name = path.relative_to(source.parent).as_posix()
            line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
            n_files, n_bytes = n_files + 1, n_bytes + status.st_size
    named = {"set_name": selection.set_name} if selection.set_name is not None else {}
    return named | {
        "format": _FORMAT,
        "limit": selection.limit,
        "options": asdict(options),
        "files": n_files,
        "bytes": n_bytes,
        "names_sizes_times_sha256": digest.hexdigest(),
    }


def _read_prepared(cache: Path, fingerprint: dict[str, Any]) -> Prepared | None:
    try:
        stored = read_json(cache / FINGERPRINT_FILE)
        if stored["fingerprint"] != fingerprint:
            return None
        warnings = tuple(stored["warnings"])
        return Prepared(cache, stored["images"], stored["nuclei"], warnings, is_new=False)
    except (InputError, KeyError, TypeError):
        return None


def _write_fingerprint(build: Path, fingerprint: dict[str, Any], prepared: Prepared) -> None:
    counts = asdict(prepared)
    stored = {"fingerprint": fingerprint} | {
        key: counts[key] for key in ("images", "nuclei", "warnings")
    }
    write_json(build / FINGERPRINT_FILE, stored)


def _build(source: Path, job: _Job) -> tuple[dict[str, list[IndexRow]], list[str]]:
    scratch = job.build.parent / "scratch"
    scratch.mkdir()
    rows: dict[str, list[IndexRow]] = defaultdict(list)
    with Archive(source, scratch, skipped=job.skipped) as archive:
        contents = archive.find_contents()
        faults, warnings = contents.faults, contents.warnings
        sets = sorted({picture.set_name for picture in contents.pictures})
        named = job.selection.set_name
        if named is not None and sets and named not in sets:
            faults.append(f"{source}: has no set {named!r}; it has {', '.join(sets)}")
        pictures = _select(contents.pictures, job.selection)
        outcomes = _convert_all(pictures, job)
        for picture, outcome in zip(pictures, outcomes, strict=True):
            faults += outcome.faults
            warnings += outcome.warnings
            if outcome.row:
                rows[picture.set_name].append(outcome.row)
        for name, entry in contents.tables.items():
            try:
                (job.build / name).write_bytes(entry.read())
            except InputError as error:
                faults.append(f"{entry}: {error}")
    if faults:
        raise DataFaults(faults)
    for name, set_rows in rows.items():
        write_index(job.build / name, set_rows)
    return rows, warnings


def _select(pictures: list[ImageFiles], selection: Selection) -> list[ImageFiles]:
    taken: Counter[str] = Counter()
    kept = []
    for picture in pictures:
        taken[picture.set_name] += 1
        is_of_set = selection.set_name in (None, picture.set_name)
        if is_of_set and (selection.limit is None or taken[picture.set_name] <= selection.limit):
            kept.append(picture)
    return kept


def _convert_all(pictures: list[ImageFiles], job: _Job) -> Iterator[Converted]:
    sets_with_masks = {picture.set_name for picture in pictures if picture.has_nuclei}
    for name in {picture.set_name for picture in pictures}:
        (job.build / name / "images").mkdir(parents=True)
        if name in sets_with_masks:
            (job.build / name / "labels").mkdir()
    # Threads suffice: decompression, decoding and encoding release the GIL.
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        outcomes = pool.map(
            lambda picture: convert_picture(picture, job.build / picture.set_name, job.options),
            pictures,
        )
        for done, (picture, outcome) in enumerate(zip(pictures, outcomes, strict=True), start=1):
            if not picture.has_nuclei and picture.set_name in sets_with_masks:
                outcome.warnings.append(
                    f"{picture.set_name}/{picture.id}: has no masks, unlike other images of its "
                    "set; it gets no labels"
                )
            if job.progress:
                job.progress(done, len(pictures))
            yield outcome
    finally:
        pool.shutdown(cancel_futures=True)
