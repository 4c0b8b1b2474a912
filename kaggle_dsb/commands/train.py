"""Train the networks of a run, fold by fold."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kaggle_dsb.config import HardwareSettings, Settings, load_settings, write_settings
from kaggle_dsb.dataset.folds import hold_out_alike, read_folds, split_folds, write_folds
from kaggle_dsb.dataset.samples import Sample, load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.training.crops import divide
from kaggle_dsb.training.fit import train_fold
from kaggle_dsb.training.transfer import copy_weights
from kaggle_dsb.workspace.run import open_run
from kaggle_dsb.workspace.source import Source, require_train_set


def train_run(
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
        When the folder holds a run with other settings, a fold does not exist, or the networks of
        ``training.start_from`` cannot be trained further: they are of other folds, are built
        otherwise, or are not there.
    """
    samples = load_samples(source.cache, require_train_set(source))
    run = open_run(folder)
    claimed = run.settings_file
    if claimed.exists():
        _require_same_settings(claimed, settings)
    table = _choose_folds(run.folds_file, samples, settings)
    known = sorted(table["fold"].unique().tolist())
    for fold in folds or ():
        if fold not in known:
            raise InputError(f"fold {fold} does not exist; there are {known}")
    if not claimed.exists():
        _require_trainable(settings, folds or known)
        # The hardware is this machine's: a later prediction with the networks has its own.
        write_settings(claimed, settings.model_copy(update={"hardware": HardwareSettings()}))
    write_folds(run.folds_file, table)
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


def _require_same_settings(path: Path, settings: Settings) -> None:
    begun = load_settings(path)
    for section in ("folds", "network", "augment", "training"):
        old, new = getattr(begun, section), getattr(settings, section)
        for key in type(old).model_fields:
            if getattr(old, key) != getattr(new, key):
                raise InputError(
                    f"{path}: this run was begun with {section}.{key} = {getattr(old, key)}, not "
                    f"{getattr(new, key)}; go on with the same settings or choose another --name"
                )


def _require_trainable(settings: Settings, folds: Sequence[int]) -> None:
    """See that the networks can be built and begun, before a folder is claimed for them."""
    network = NucleusNet(settings.network, pretrained=True)
    begun = settings.training.start_from
    if begun is None:
        return
    for fold in folds:
        copy_weights(open_run(begun).network_file(fold), network)


def _choose_folds(path: Path, samples: Sequence[Sample], settings: Settings) -> pd.DataFrame:
    """Give the folds that the run has, else those of the run it starts from, else new ones."""
    own = read_folds(path) if path.exists() else None
    begun = settings.training.start_from
    if begun is not None and (own is None or begun.exists()):
        path_begun = open_run(begun).folds_file
        table = read_folds(path_begun)
        if own is not None and not hold_out_alike(table, own):
            raise InputError(
                f"{path}: other folds than {path_begun}; a network of training.start_from "
                "would have seen what is held out here"
            )
        return table
    if own is not None:
        return own
    images = {sample.id: sample.image for sample in samples}
    return split_folds(images, n_folds=settings.folds.n_folds, seed=settings.folds.seed)
