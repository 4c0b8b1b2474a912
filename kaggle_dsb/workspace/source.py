"""The data of a command: the user's own, else the demo set."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kaggle_dsb import __version__
from kaggle_dsb.aliases import Labels, Progress
from kaggle_dsb.competition.label_files import read_labels
from kaggle_dsb.competition.submission import read_solution
from kaggle_dsb.competition.table import read_table
from kaggle_dsb.dataset import TEST_SETS, TRAIN_SET
from kaggle_dsb.dataset.archive import list_files
from kaggle_dsb.dataset.demo import ensure_demo
from kaggle_dsb.dataset.groups import GROUPS_FILE, read_groups
from kaggle_dsb.dataset.prepare import Prepared, Selection, prepare
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.dataset.samples import (
    COMPETITION_SOURCE,
    Sample,
    list_sets,
    load_samples,
    sizes,
)
from kaggle_dsb.dataset.types import IMAGE_TYPES
from kaggle_dsb.files import InputError
from kaggle_dsb.workspace import RESULTS

DEFAULT_DATA = Path("data")
NAMES_IN_TABLES = {*IMAGE_TYPES, "all", "disturbance", "generalisation"}
_OWN_TRAIN_SET = re.compile(r"(?:.*_)?train(?:ing)?", re.IGNORECASE)
_OWN_TEST_SET = re.compile(r"(?:.*_)?test(?:ing)?", re.IGNORECASE)
SOLUTION_FILES = {
    TEST_SETS[0]: "stage1_solution.csv",
    TEST_SETS[1]: "stage2_solution_final.csv",
}
SAMPLE_SUBMISSION_FILES = {
    TEST_SETS[0]: "stage1_sample_submission.csv",
    TEST_SETS[1]: "stage2_sample_submission_final.csv",
}


@dataclass(frozen=True)
class Source:
    """Prepared data and their origin.

    Attributes
    ----------
    origin : Path
        The folder or file that was read.
    cache : Path
        As written by `kaggle_dsb.dataset.prepare.prepare`.
    is_demo : bool
        True for the package's own synthetic images.
    prepared : Prepared
        Counts and warnings.
    limit : int or None
        Maximum number of images used of each set.
    options : ReadOptions
        How stacks and binary masks were read.
    skipped : tuple of Path
        Folders of the package's own files, not read even if they are inside the origin.
    """

    origin: Path
    cache: Path
    is_demo: bool
    prepared: Prepared
    limit: int | None = None
    options: ReadOptions = DEFAULT_OPTIONS
    skipped: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The recorded location of the data: ``demo``, or the relative path if there is one."""
        try:
            return "demo" if self.is_demo else os.path.relpath(self.origin)
        except ValueError:  # on another drive of Windows
            return str(self.origin.resolve())

    @property
    def dataset_name(self) -> str:
        """The name in fold tables: ``dsb2018`` for the competition's data, else the file name."""
        if TRAIN_SET in self.prepared.images:
            return COMPETITION_SOURCE
        origin = self.origin.resolve()
        return origin.name if origin.is_dir() else origin.stem

    @property
    def shown_name(self) -> str:
        """The name in tables of scores: ``source NAME`` if a row or column has that name."""
        name = self.dataset_name
        return f"source {name}" if name in NAMES_IN_TABLES else name

    def solution_file(self, set_name: str) -> Path | None:
        """Return the path of a test set's solution; None if the data hold none."""
        return self._table(SOLUTION_FILES, set_name)

    def sample_submission_file(self, set_name: str) -> Path | None:
        """Return the path of a test set's sample submission; None if the data hold none."""
        return self._table(SAMPLE_SUBMISSION_FILES, set_name)

    def _table(self, names: dict[str, str], set_name: str) -> Path | None:
        path = self.cache / names[set_name] if set_name in names else None
        return path if path and path.exists() else None

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return (H, W) of the images of all sets by id, but for ids of which sizes differ."""
        of_id: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for set_name in self.prepared.images:
            for id_, size in sizes(self.cache, set_name).items():
                of_id[id_].add(size)
        return {id_: size for id_, (size, *others) in of_id.items() if not others}


def open_source(
    data: Path | None,
    *,
    work: Path,
    limit: int | None = None,
    demo: bool = False,
    progress: Progress | None = None,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Source:
    """Prepare the data of a command.

    Parameters
    ----------
    data : Path or None
        A source in any accepted form. None stands for the folder ``data`` if it holds a file, other
        than hidden ones, else for the demo set.
    work : Path
        Folder of the caches and the demo set.
    limit : int, optional
        Use only this many images of each set.
    demo : bool
        If ``data`` is None, use the demo set even if there is a folder ``data``.
    progress : callable, optional
        Called with the number of images prepared and the total.
    options : ReadOptions
        How to read stacks and binary masks.

    Raises
    ------
    InputError
        When the data cannot be used.
    """
    if data is None and not demo and any(list_files(DEFAULT_DATA)):
        data = DEFAULT_DATA
    return open_set(data, None, work=work, limit=limit, progress=progress, options=options)


def open_set(
    data: Path | None,
    set_name: str | None,
    *,
    work: Path,
    limit: int | None = None,
    progress: Progress | None = None,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Source:
    """Prepare one set of the data, or all if it is None; without data, of the demo set.

    The other parameters are those of `open_source`.
    """
    # Unlike Path.expanduser, this leaves the name of an unknown user as it is.
    origin = Path(os.path.expanduser(data)) if data else _draw_demo(work)  # noqa: PTH111
    caches = work / "cache"
    skipped = (*RESULTS, work, caches)  # the caches too, since the work folder may be the origin
    prepared = prepare(
        origin,
        caches / _name_cache(origin, limit, options, set_name),
        progress=progress,
        options=options,
        selection=Selection(set_name, limit),
        skipped=skipped,
    )
    return Source(origin, prepared.cache, data is None, prepared, limit, options, skipped)


def _name_cache(origin: Path, limit: int | None, options: ReadOptions, set_name: str | None) -> str:
    changed = [] if options == DEFAULT_OPTIONS else [str(options)]
    key = "\n".join([str(origin.resolve()), *changed, *([set_name] if set_name else [])])
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{origin.name}-{digest}" + (f"-{limit}" if limit else "")


def _draw_demo(work: Path) -> Path:
    folder = work / f"demo-{__version__}"
    ensure_demo(folder)
    return folder


def choose_test_set(source: Source, name: str | None) -> str:
    """Return the set to predict: the named one, else a test set, else the only set.

    Raises
    ------
    InputError
        When there is no set of that name, or the set to predict is ambiguous.
    """
    sets = list_sets(source.cache)
    if name:
        if name not in sets:
            get = "; `kaggle-dsb download` gets it" if name in TEST_SETS else ""
            raise InputError(f"{source.origin}: has no set {name!r}; it has {', '.join(sets)}{get}")
        return name
    own = [name for name in sets if _OWN_TEST_SET.fullmatch(name)]
    for candidate in (*TEST_SETS, *own):
        if candidate in sets:
            return candidate
    if len(sets) == 1:
        return next(iter(sets))
    raise InputError(
        f"{source.origin}: choose the set to predict with --set-name: {', '.join(sets)}"
    )


def require_distinct_names(sources: Sequence[Source]) -> None:
    """Raise ``InputError`` if two sources have the same name, which identifies them in tables."""
    names = [source.dataset_name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two sources are named {name}: rename the folder of one of them")


def require_train_set(source: Source) -> str:
    """Return the name of the annotated set to train on.

    Raises
    ------
    InputError
        When no set is annotated, or none with a nucleus, or several might be meant.
    """
    candidates = list_train_sets(source)
    if len(candidates) > 1:
        raise InputError(
            f"{source.origin}: has several annotated sets ({', '.join(candidates)}); name the "
            "folder of one, and train on further ones with --extra"
        )
    if not candidates:
        sets = ", ".join(source.prepared.images)
        if any(source.prepared.is_annotated(name) for name in source.prepared.images):
            raise InputError(f"{source.origin}: its annotations contain no nuclei ({sets})")
        raise InputError(
            f"{source.origin}: has no annotated set (only {sets}); expected {TRAIN_SET}, or a "
            "folder images/ with a label image of each image in labels/ "
            "(docs/your-own-images.md lists all layouts)"
        )
    return candidates[0]


def list_train_sets(source: Source) -> list[str]:
    """Return the annotated sets that may be meant for training, of which there should be one."""
    with_masks = [name for name, nuclei in source.prepared.nuclei.items() if nuclei]
    if TRAIN_SET in with_masks:
        return [TRAIN_SET]
    own = [name for name in with_masks if _OWN_TRAIN_SET.fullmatch(name)]
    tests = [name for name in with_masks if name in TEST_SETS or _OWN_TEST_SET.fullmatch(name)]
    return own or [name for name in with_masks if name not in tests] or with_masks


def read_own_groups(source: Source, ids: Collection[str]) -> dict[str, str] | None:
    """Return the group of each image by the source's ``groups.csv``; None without one.

    Raises
    ------
    InputError
        When it cannot be used.
    """
    shown = source.origin / GROUPS_FILE
    for table in (shown, source.cache / GROUPS_FILE):  # that of a zip is in the cache only
        if table.is_file():
            return read_groups(table, ids, shown=shown)
    return None


def check_groups(source: Source) -> None:
    """Raise ``InputError`` if a training on the source could not use its ``groups.csv``."""
    train_sets = list_train_sets(source)
    if len(train_sets) == 1 and source.dataset_name != COMPETITION_SOURCE:
        read_own_groups(source, sizes(source.cache, train_sets[0]))


def read_sample_ids(source: Source, set_name: str) -> list[str] | None:
    """Return the image ids of a test set's sample submission, in its order; None without one."""
    path = source.sample_submission_file(set_name)
    if path is None:
        return None
    with _naming_origin(source, path):
        return list(dict.fromkeys(id_ for _, (id_,) in read_table(path).select("ImageId")))


@contextmanager
def _naming_origin(source: Source, path: Path) -> Iterator[None]:
    """Name the user's table in errors, not its copy in the cache."""
    try:
        yield
    except InputError as error:
        shown = str(error).replace(str(path), str(source.origin / path.name))
        raise InputError(shown) from None


def read_solution_labels(source: Source, set_name: str) -> dict[str, Labels]:
    """Return the ground truth of a test set by image id, from its solution.

    Returns
    -------
    dict of str to (H, W) int32
        Empty if the data hold no solution of this set.
    """
    path = source.solution_file(set_name)
    if path is None:
        return {}
    has_images = set_name in source.prepared.images
    known = sizes(source.cache, set_name) if has_images else source.sizes()
    with _naming_origin(source, path):
        labels = read_solution(path, known)
        require_sizes(path, labels, known)
    return {id_: labels[id_] for id_ in labels if id_ in known} if source.limit else labels


def load_with_truth(source: Source, set_name: str) -> list[Sample]:
    """Load a set, with the ground truth of its solution if the data hold one.

    Raises
    ------
    InputError
        When there is no such set, or the solution is of images of another size.
    """
    truth = read_solution_labels(source, set_name)
    samples = load_samples(source.cache, set_name)
    return [replace(sample, labels=truth.get(sample.id, sample.labels)) for sample in samples]


def require_sizes(
    path: Path, labels: Mapping[str, Labels], known: Mapping[str, tuple[int, int]]
) -> None:
    """Raise ``InputError`` if labels, read from ``path``, differ in size from their image."""
    for id_, true in labels.items():
        size = known.get(id_, true.shape)
        if true.shape != size:
            raise InputError(
                f"{path}: image {id_} is {true.shape[0]} x {true.shape[1]} pixels; the image of "
                f"this name is {size[0]} x {size[1]}"
            )


def find_truth(
    source: Source, ids: Collection[str], *, set_name: str | None = None
) -> tuple[str, dict[str, Labels]] | None:
    """Return the ground truth of images: a solution, or the masks of an annotated set.

    Parameters
    ----------
    source : Source
    ids : collection of str
    set_name : str, optional
        Consider this set only.

    Returns
    -------
    name : str
        The solution or annotated set, such as ``data/stage1_solution.csv``.
    labels : dict of str to (H, W) int32
        The labels of all annotated images of that set.

    Raises
    ------
    InputError
        When several annotated sets hold as many of the images, and none is named.

    Notes
    -----
    The first solution that holds any of the images is taken, else the annotated set that holds most
    of them. Returns None if there is neither.
    """
    for name, file_name in SOLUTION_FILES.items():
        labels = read_solution_labels(source, name) if set_name in (None, name) else {}
        if labels.keys() & ids:
            return f"{source.origin}/{file_name}", labels
    best = _find_labelled(source, ids, set_name)
    if not best:
        return None
    if len(best) > 1:
        raise InputError(
            f"{source.origin}: {' and '.join(best)} contain these images; choose one with "
            "--set-name"
        )
    files = sorted((source.cache / best[0] / "labels").glob("*.png"))
    return f"{source.origin}/{best[0]}", {path.stem: read_labels(path) for path in files}


def _find_labelled(source: Source, ids: Collection[str], set_name: str | None) -> list[str]:
    """Return the annotated sets with the most of these images; empty if none has any."""
    n_shared = {
        name: len(sizes(source.cache, name).keys() & ids)
        for name, nuclei in source.prepared.nuclei.items()
        if nuclei and set_name in (None, name)
    }
    most = max(n_shared.values(), default=0)
    return [name for name, n in n_shared.items() if most and n == most]
