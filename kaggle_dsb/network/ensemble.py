"""The networks of one training, one a fold, as they lie in a folder."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.second_level import load_second_level
from kaggle_dsb.network.model import load_network
from kaggle_dsb.network.predict import Predictor, choose_device, choose_precision

BUNDLED = Path(__file__).resolve().parents[1] / "weights"
RUNS = Path("runs")
SETTINGS_FILE = "config.toml"
FOLDS_FILE = "folds.csv"
VALIDATION_FILE = "validation.json"
SECOND_LEVEL = "second_level"  # how the names of its files begin


@dataclass(frozen=True)
class Ensemble:
    """Trained networks, by the fold that each has not seen.

    Attributes
    ----------
    folder : Path
        Holds ``fold<N>.safetensors``, ``folds.csv`` and ``config.toml``.
    members : dict of int to Path
        The file of each fold's network.
    second_levels : dict of int to Path
        The file of each fold's second level, which has not seen the fold either; empty where
        none was made.
    """

    folder: Path
    members: dict[int, Path]
    second_levels: dict[int, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it: ``bundled``, or the run's folder."""
        return "bundled" if self.folder.resolve() == BUNDLED else str(self.folder)

    def first(self) -> "Ensemble":
        """Give the ensemble of the first network alone, with its own second level."""
        fold = min(self.members)
        second_levels = {fold: self.second_levels[fold]} if fold in self.second_levels else {}
        return Ensemble(self.folder, {fold: self.members[fold]}, second_levels)

    def cross_validation(self) -> float | None:
        """Give the out-of-fold score, where the ensemble has been validated."""
        path = self.folder / VALIDATION_FILE
        return float(json.loads(path.read_text())["score"]) if path.exists() else None

    def digest(self) -> dict[str, str]:
        """Give the SHA-256 of each file by its name."""
        return {
            path.name: digest_of(path)
            for path in (*self.members.values(), *self.second_levels.values())
        }


def digest_of(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_ensemble(folder: Path | None = None, *, runs: Path = RUNS) -> Ensemble:
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
        members = _list_files(folder, "fold")
        if not members:
            raise InputError(
                f"{folder}: holds no fold<N>.safetensors; name the folder of a finished training"
            )
        return Ensemble(folder, members, _list_files(folder, SECOND_LEVEL))
    trained = [path for path in runs.glob("*") if _list_files(path, "fold")]
    newest = max(trained, key=lambda path: (path.stat().st_mtime_ns, path.name), default=BUNDLED)
    members = _list_files(newest, "fold")
    if not members:
        raise InputError(f"{newest}: no trained network found; train one with `kaggle-dsb train`")
    return Ensemble(newest, members, _list_files(newest, SECOND_LEVEL))


def _list_files(folder: Path, prefix: str) -> dict[int, Path]:
    paths = {p.stem.removeprefix(prefix): p for p in folder.glob(f"{prefix}*.safetensors")}
    return {int(n): paths[n] for n in sorted(filter(str.isdecimal, paths), key=int)}


def load_predictor(ensemble: Ensemble, settings: Settings, *, folds: list[int]) -> Predictor:
    """Load the networks of some folds as one predictor; their mean is taken."""
    networks = [load_network(ensemble.members[fold])[0] for fold in folds]
    hardware: HardwareSettings = settings.hardware
    device: torch.device = choose_device(hardware.accelerator)
    precision = choose_precision(hardware.precision, device)
    return Predictor(
        networks,
        settings.prediction,
        nucleus_px=settings.network.nucleus_px,
        device=device,
        precision=precision,
    )


def load_finder(ensemble: Ensemble, settings: Settings, *, folds: list[int]) -> NucleusFinder:
    """Load the second level of some folds, where there is one; their mean is taken."""
    instances = settings.instances
    wanted = folds if instances.second_level and ensemble.second_levels else []
    missing = [fold for fold in wanted if fold not in ensemble.second_levels]
    if missing:
        raise InputError(
            f"{ensemble.folder}: fold {missing[0]} has no second level, others have; make it with "
            "`kaggle-dsb tune`, or do without: --set instances.second_level=false"
        )
    return NucleusFinder(
        instances.split(),
        [load_second_level(ensemble.second_levels[fold]) for fold in wanted],
        instances.nucleus_cost,
    )
