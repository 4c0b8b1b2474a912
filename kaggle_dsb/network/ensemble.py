"""The networks of one training, one a fold, as they lie in a folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import load_network
from kaggle_dsb.network.predict import Predictor, choose_device, choose_precision

BUNDLED = Path(__file__).resolve().parents[1] / "weights"
RUNS = Path("runs")
SETTINGS_FILE = "config.toml"
FOLDS_FILE = "folds.csv"
VALIDATION_FILE = "validation.json"


@dataclass(frozen=True)
class Ensemble:
    """Trained networks, by the fold that each has not seen.

    Attributes
    ----------
    folder : Path
        Holds ``fold<N>.safetensors``, ``folds.csv`` and ``config.toml``.
    members : dict of int to Path
        The file of each fold's network.
    """

    folder: Path
    members: dict[int, Path]

    @property
    def name(self) -> str:
        """What to call it: ``bundled``, or the run's folder."""
        return "bundled" if self.folder.resolve() == BUNDLED else str(self.folder)

    def cross_validation(self) -> float | None:
        """Give the out-of-fold score, where the ensemble has been validated."""
        path = self.folder / VALIDATION_FILE
        return float(json.loads(path.read_text())["score"]) if path.exists() else None

    def digest(self) -> dict[str, str]:
        """Give the SHA-256 of each member by file name."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.members.values()
        }


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
        members = _list_members(folder)
        if not members:
            raise InputError(
                f"{folder}: holds no fold<N>.safetensors; name the folder of a finished training"
            )
        return Ensemble(folder, members)
    trained = [path for path in runs.glob("*") if _list_members(path)]
    newest = max(trained, key=lambda path: (path.stat().st_mtime_ns, path.name), default=BUNDLED)
    members = _list_members(newest)
    if not members:
        raise InputError(f"{newest}: no trained network found; train one with `kaggle-dsb train`")
    return Ensemble(newest, members)


def _list_members(folder: Path) -> dict[int, Path]:
    paths = {path.stem.removeprefix("fold"): path for path in folder.glob("fold*.safetensors")}
    return {int(n): paths[n] for n in sorted(paths, key=int) if n.isdecimal()}


def load_predictor(ensemble: Ensemble, settings: Settings, *, folds: list[int]) -> Predictor:
    """Load the networks of some folds as one predictor; their mean is taken."""
    networks = [load_network(ensemble.members[fold])[0] for fold in folds]
    hardware: HardwareSettings = settings.hardware
    device: torch.device = choose_device(hardware.accelerator)
    precision = choose_precision(hardware.precision, device)
    return Predictor(networks, settings.prediction, device=device, precision=precision)
