"""The networks of one training, one a fold, as they lie in a folder."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_dsb.config import Settings, load_settings
from kaggle_dsb.files import InputError, read_json

BUNDLED = Path(__file__).resolve().parents[1] / "weights"
RUNS = Path("runs")

NETWORK = "fold"
SCORER = "scorer"
SUFFIX = ".safetensors"
FAST_FILE = "fast.safetensors"
SETTINGS_FILE = "config.toml"
FOLDS_FILE = "folds.csv"
VALIDATION_FILE = "validation.json"
SCORES_FILE = "oof.csv"
METRICS_FILE = "metrics.csv"


@dataclass(frozen=True)
class Run:
    """A folder of trained networks, by the fold that each has not seen.

    Attributes
    ----------
    folder : Path
    networks : dict of int to Path
        The file of each fold's network, ``fold<N>.safetensors``.
    scorers : dict of int to Path
        The file of each fold's candidate scorer, ``scorer<N>.safetensors``, which has not seen the
        fold either; empty where none was trained.
    """

    folder: Path
    networks: dict[int, Path] = field(default_factory=dict)
    scorers: dict[int, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it: ``bundled``, or the run's folder."""
        return "bundled" if self.is_bundled else str(self.folder)

    @property
    def is_bundled(self) -> bool:
        """Whether these are the networks that the package brings along."""
        return self.folder.resolve() == BUNDLED

    @property
    def settings_file(self) -> Path:
        """All settings that the networks were trained with and predict with."""
        return self.folder / SETTINGS_FILE

    @property
    def folds_file(self) -> Path:
        """The table of folds: ``ImageId, type, group, fold``."""
        return self.folder / FOLDS_FILE

    @property
    def validation_file(self) -> Path:
        """The out-of-fold score: over all images, by fold and by type."""
        return self.folder / VALIDATION_FILE

    @property
    def scores_file(self) -> Path:
        """The out-of-fold score of each image."""
        return self.folder / SCORES_FILE

    def network_file(self, fold: int) -> Path:
        """Return where the network of a fold belongs, whether it is there or not."""
        return self.folder / f"{NETWORK}{fold}{SUFFIX}"

    def scorer_file(self, fold: int) -> Path:
        """Return where the candidate scorer of a fold belongs, whether it is there or not."""
        return self.folder / f"{SCORER}{fold}{SUFFIX}"

    def fold_folder(self, fold: int) -> Path:
        """Return the folder of a fold's checkpoints and metrics."""
        return self.folder / f"{NETWORK}{fold}"

    def metrics_file(self, fold: int) -> Path:
        """Return the table of a fold's training: a row an epoch."""
        return self.fold_folder(fold) / METRICS_FILE

    def fast(self) -> "Run":
        """Return one network alone: ``fast.safetensors`` where it is, else the first fold's."""
        fold = min(self.networks)
        first = self.select([fold])
        path = self.folder / FAST_FILE
        return Run(self.folder, {fold: path}, first.scorers) if path.exists() else first

    def select(self, folds: Collection[int]) -> "Run":
        """Return the run with the networks and scorers of these folds only."""
        networks = {fold: path for fold, path in self.networks.items() if fold in folds}
        scorers = {fold: path for fold, path in self.scorers.items() if fold in folds}
        return Run(self.folder, networks, scorers)

    def load_settings(self, *paths: Path, overrides: Sequence[str] = ()) -> Settings:
        """Load the run's settings, with those of further files and overrides on top."""
        own = [self.settings_file] if self.settings_file.exists() else []
        return load_settings(*own, *paths, overrides=overrides)

    def cross_validation(self) -> float | None:
        """Return the out-of-fold score; None where the run has not been validated."""
        validation = self.read_validation()
        return float(validation["score"]) if validation else None

    def read_validation(self) -> dict[str, Any]:
        """Return what was written about the run's validation; empty where there was none."""
        return read_json(self.validation_file) if self.validation_file.exists() else {}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each network and scorer by its file name."""
        return {
            path.name: digest_of(path) for path in (*self.networks.values(), *self.scorers.values())
        }


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_run(folder: Path) -> Run:
    """Return the run in a folder, with whatever networks are there yet."""
    return Run(folder, _list_files(folder, NETWORK), _list_files(folder, SCORER))


def find_run(folder: Path | None = None, *, runs: Path = RUNS) -> Run:
    """Find the networks to predict with.

    Parameters
    ----------
    folder : Path, optional
        Where they are. Without it, the newest run in ``runs`` that has any, else the bundled ones.
    runs : Path

    Raises
    ------
    InputError
        When a named folder holds no network, or no network can be found at all.
    """
    if folder is not None:
        run = open_run(folder)
        if not run.networks:
            raise InputError(
                f"{folder}: holds no fold<N>.safetensors; name the folder of a finished training"
            )
        return run
    trained = [run for run in map(open_run, runs.glob("*")) if run.networks]
    newest = max(
        trained,
        key=lambda run: (run.folder.stat().st_mtime_ns, run.folder.name),
        default=open_run(BUNDLED),
    )
    if not newest.networks:
        raise InputError(
            f"{newest.folder}: no trained network found; train one with `kaggle-dsb train`"
        )
    return newest


def _list_files(folder: Path, prefix: str) -> dict[int, Path]:
    paths = {p.stem.removeprefix(prefix): p for p in folder.glob(f"{prefix}*{SUFFIX}")}
    return {int(n): paths[n] for n in sorted(filter(str.isdecimal, paths), key=int)}
