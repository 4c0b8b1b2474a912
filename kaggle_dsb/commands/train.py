"""Train the networks of a run, fold by fold."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kaggle_dsb.commands.data import Source, require_train_set
from kaggle_dsb.config import HardwareSettings, Settings, load_settings, write_settings
from kaggle_dsb.dataset.folds import read_folds, split_folds, write_folds
from kaggle_dsb.dataset.samples import Sample, load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.network.ensemble import FOLDS_FILE, SETTINGS_FILE
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.network.train import divide, train_fold


def train(
    source: Source, settings: Settings, *, folder: Path, folds: Sequence[int] | None = None
) -> list[Path]:
    """Train the folds of a run, or go on where an interrupted call stopped.

    Parameters
    ----------
    source : Source
        With a set that has masks.
    settings : Settings
    folder : Path
        The run's folder; it gets ``config.toml``, ``folds.csv`` and ``fold<N>.safetensors``.
    folds : sequence of int, optional
        Only these; all without it.

    Returns
    -------
    list of Path
        The trained networks.

    Raises
    ------
    InputError
        When the folder holds a run with other settings, or a fold does not exist.
    """
    samples = load_samples(source.cache, require_train_set(source))
    NucleusNet(settings.network, pretrained=True)  # one that cannot be built claims no folder
    _claim_folder(folder, settings)
    table = _load_or_split(folder / FOLDS_FILE, samples, settings)
    known = sorted(table["fold"].unique().tolist())
    for fold in folds or ():
        if fold not in known:
            raise InputError(f"fold {fold} does not exist; there are {known}")
    return [
        train_fold(
            divide(samples, table, fold=fold, settings=settings), settings, fold=fold, folder=folder
        )
        for fold in folds or known
    ]


def shrink(settings: Settings, limit: int) -> Settings:
    """Make settings that run everything in miniature: two folds, two short epochs."""
    training = settings.training
    small = {
        "epochs": min(training.epochs, 2),
        "crops_per_epoch": min(training.crops_per_epoch, limit),
        "batch_size": min(training.batch_size, limit),
        "validate_every_epochs": 1,
    }
    return settings.model_copy(
        update={
            "folds": settings.folds.model_copy(update={"n_folds": 2}),
            "training": training.model_copy(update=small),
        }
    )


def _claim_folder(folder: Path, settings: Settings) -> None:
    path = folder / SETTINGS_FILE
    if not path.exists():
        # The hardware is this machine's: a later prediction with the networks has its own.
        write_settings(path, settings.model_copy(update={"hardware": HardwareSettings()}))
        return
    begun = load_settings(path)
    for section in ("folds", "network", "augment", "training"):
        old, new = getattr(begun, section), getattr(settings, section)
        for key in type(old).model_fields:
            if getattr(old, key) != getattr(new, key):
                raise InputError(
                    f"{path}: this run was begun with {section}.{key} = {getattr(old, key)}, not "
                    f"{getattr(new, key)}; go on with the same settings or choose another --name"
                )


def _load_or_split(path: Path, samples: Sequence[Sample], settings: Settings) -> pd.DataFrame:
    if path.exists():
        return read_folds(path)
    images = {sample.id: sample.image for sample in samples}
    table = split_folds(images, n_folds=settings.folds.n_folds, seed=settings.folds.seed)
    write_folds(path, table)
    return table
