"""Find the data a command works on, and prepare it: the user's own, else the demo set."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb import __version__
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.dataset.prepare import Prepared, prepare
from kaggle_dsb.dataset.samples import list_sets
from kaggle_dsb.files import InputError
from kaggle_dsb.progress import show_progress

DEFAULT_DATA = Path("data")
TEST_SETS = ("stage1_test", "stage2_test_final")
TRAIN_SET = "stage1_train"


@dataclass(frozen=True)
class Source:
    """Prepared data, and where it came from.

    Attributes
    ----------
    origin : Path
        The folder or file that was read.
    cache : Path
        As `kaggle_dsb.dataset.prepare.prepare` wrote it.
    is_demo : bool
        True for the synthetic images that the package draws itself.
    prepared : Prepared
        Counts and warnings.
    """

    origin: Path
    cache: Path
    is_demo: bool
    prepared: Prepared


def open_source(data: Path | None, *, work: Path, limit: int | None = None) -> Source:
    """Prepare the data of a command.

    Parameters
    ----------
    data : Path or None
        A source in any accepted form. None is the folder ``data`` where it holds anything, else
        the demo set.
    work : Path
        Where caches and the demo set are kept.
    limit : int, optional
        Only so many images of each set.

    Raises
    ------
    InputError
        When the data cannot be used.
    """
    if data is None and DEFAULT_DATA.is_dir() and any(DEFAULT_DATA.iterdir()):
        data = DEFAULT_DATA
    origin = data or _draw_demo(work)
    cache = work / "cache" / _name_cache(origin, limit)
    with show_progress(f"preparing {origin}") as progress:
        prepared = prepare(origin, cache, progress=progress, limit=limit)
    return Source(origin, prepared.cache, data is None, prepared)


def _name_cache(origin: Path, limit: int | None) -> str:
    digest = hashlib.sha256(str(origin.expanduser().resolve()).encode()).hexdigest()[:8]
    return f"{origin.name}-{digest}" + (f"-{limit}" if limit else "")


def _draw_demo(work: Path) -> Path:
    folder = work / f"demo-{__version__}"
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work, prefix=".demo-") as scratch:
            write_demo(Path(scratch) / "demo")
            shutil.move(Path(scratch) / "demo", folder)
    return folder


def choose_test_set(source: Source, name: str | None) -> str:
    """Choose the set to predict: the one named, else a test set, else the only set there is."""
    sets = list_sets(source.cache)
    if name:
        if name not in sets:
            raise InputError(f"{source.origin}: has no set {name!r}; it has {', '.join(sets)}")
        return name
    for candidate in TEST_SETS:
        if candidate in sets:
            return candidate
    if len(sets) == 1:
        return next(iter(sets))
    raise InputError(f"{source.origin}: name the set to predict with --set-name: {', '.join(sets)}")


def require_train_set(source: Source) -> str:
    """Give the name of the set with masks.

    Raises
    ------
    InputError
        When there is none.
    """
    with_masks = [name for name, nuclei in source.prepared.nuclei.items() if nuclei]
    if not with_masks:
        sets = ", ".join(source.prepared.images)
        raise InputError(
            f"{source.origin}: has no set with masks (only {sets}); needed is {TRAIN_SET}, with "
            "ID/images/ID.png and ID/masks/*.png"
        )
    return TRAIN_SET if TRAIN_SET in with_masks else with_masks[0]
