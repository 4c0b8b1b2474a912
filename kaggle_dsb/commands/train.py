"""Train the networks of a run, fold by fold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.dataset.folds import hold_out_alike, read_folds, write_folds
from kaggle_dsb.files import InputError
from kaggle_dsb.network.hardware import choose_device, choose_precision
from kaggle_dsb.network.model import NucleusNet, load_network
from kaggle_dsb.progress import say
from kaggle_dsb.settings_files import load_settings, write_settings
from kaggle_dsb.training.fit import is_first_process, train_fold
from kaggle_dsb.training.sources import (
    FoldData,
    LabelledSource,
    divide,
    load_sources,
    make_folds,
)
from kaggle_dsb.training.transfer import copy_weights
from kaggle_dsb.workspace.run import TRAINED, Run, differing_settings, open_run, resolve_run
from kaggle_dsb.workspace.source import Source

EVERYTHING = "all"
ALREADY_TRAINED = "already trained; another --name trains anew"


@dataclass(frozen=True)
class TrainingPlan:
    """What a training is to do; the fold None is the network trained on everything.

    Attributes
    ----------
    table : DataFrame
        The folds of all images.
    parts : dict of fold to FoldData
    starts : dict of fold to Path or None
        The network that each is initialised from.
    teachers : dict of fold to list of Path
        The networks that each also learns from.
    """

    table: pd.DataFrame
    parts: dict[int | None, FoldData]
    starts: dict[int | None, Path | None]
    teachers: dict[int | None, list[Path]]


def train_run(
    source: Source,
    settings: Settings,
    *,
    folder: Path,
    folds: Sequence[str | int] | None = None,
    extra: Sequence[Source] = (),
) -> list[Path]:
    """Train the folds of a run, or resume an interrupted training.

    Parameters
    ----------
    source : Source
        Must have a set with masks.
    settings : Settings
    folder : Path
        The run's folder, to write ``config.toml``, ``folds.csv`` and ``fold<N>.safetensors`` to.
    folds : sequence of str or int, optional
        The folds to train, by default each; ``all`` trains one network on everything,
        ``fast.safetensors``.
    extra : sequence of Source
        Further labelled data to train on.

    Returns
    -------
    list of Path
        The trained networks; empty in all processes but the first.

    Raises
    ------
    InputError
        When the folder holds a run with other settings, a fold does not exist, the data cannot be
        used, or the networks of ``training.start_from`` or ``training.teacher`` cannot be used:
        they have other folds or another architecture, or are missing.
    """
    run = open_run(folder)
    plan = plan_run(source, settings, folder=folder, folds=folds, extra=extra)
    if is_first_process():
        for path in list_trained(plan.parts, folder):
            say(f"{path}: {ALREADY_TRAINED}")
        if run.settings_file.exists():  # perhaps since a moment ago, by another process
            _require_same_settings(run.settings_file, settings)
        else:
            # Hardware settings belong to this machine, not to the trained networks.
            stored = settings.model_copy(update={"hardware": HardwareSettings()})
            write_settings(run.settings_file, stored)
        write_folds(run.folds_file, plan.table)
    trained = [
        train_fold(
            data,
            settings,
            fold=fold,
            folder=folder,
            start_from=plan.starts[fold],
            teachers=plan.teachers[fold],
        )
        for fold, data in plan.parts.items()
    ]
    return trained if is_first_process() else []


def plan_run(
    source: Source,
    settings: Settings,
    *,
    folder: Path,
    folds: Sequence[str | int] | None = None,
    extra: Sequence[Source] = (),
) -> TrainingPlan:
    """Choose the folds, images and networks of `train_run`, without writing anything.

    Raises
    ------
    InputError
        When the folder holds a run with other settings, a fold does not exist, the data cannot be
        used, or the networks of ``training.start_from`` or ``training.teacher`` cannot be used.
    """
    sources = load_sources(source, extra)
    _tell_unused_shares(settings, [labelled.name for labelled in sources[1:]])
    run, start = open_run(folder), _open_named(settings.training.start_from)
    teacher = _open_named(settings.training.teacher)
    if run.settings_file.exists():
        _require_same_settings(run.settings_file, settings)
    others = [other for other in (start, teacher) if other]
    table = _choose_folds(run.folds_file, sources, settings, others)
    known = _folds_with_images(table, sources)
    if not known:
        raise InputError(
            f"{run.folds_file}: names none of the images of {sources[0].name}; train with the data "
            "that the run was started with, or choose another --name"
        )
    # The folds of other networks may hold more images, and those of a set used in part do.
    if run.folds_file.exists() and not (start or teacher or source.limit):
        _require_all_images(run.folds_file, table, sources)
    chosen = _parse_folds(folds, known)
    _require_even_batches(settings)
    starts = {fold: _starting_network(start, fold) for fold in chosen}
    teachers = {fold: _teachers(teacher, fold) for fold in chosen}
    untrained = [fold for fold in chosen if fold is not None and fold not in run.networks]
    _require_networks("training.start_from", start, untrained)
    _require_networks("training.teacher", teacher, untrained)
    if not run.settings_file.exists():
        _require_trainable(settings, list(starts.values()))
        for path in chain.from_iterable(teachers.values()):
            load_network(path)
    parts = {fold: divide(sources, table, fold=fold, settings=settings) for fold in chosen}
    return TrainingPlan(table, parts, starts, teachers)


def _tell_unused_shares(settings: Settings, extra: Sequence[str]) -> None:
    unused = sorted(settings.training.source_shares.keys() - extra)
    if unused:
        named = f"the extra sources are {', '.join(extra)}" if extra else "no extra source is given"
        say(f"training.source_shares has no effect for {', '.join(unused)}: {named}")


def describe_training(
    parts: Mapping[int | None, FoldData], settings: Settings, folder: Path
) -> str:
    """Return text on what a training would do, one line per network."""
    training = settings.training
    trained = list_trained(parts, folder)
    return "\n".join(
        f"{path}: {ALREADY_TRAINED}"
        if (path := Run(folder).network_file(fold)) in trained
        else f"{path}: would be trained on {len(data.train)} images, {len(data.held_out)} held "
        f"out, for {training.epochs} epochs of {training.crops_per_epoch} crops"
        for fold, data in parts.items()
    )


def list_trained(folds: Iterable[int | None], folder: Path) -> list[Path]:
    """Return the networks of these folds that exist."""
    return [path for fold in folds if (path := Run(folder).network_file(fold)).exists()]


def shrink(settings: Settings, limit: int) -> Settings:
    """Return settings for a miniature run: two folds, at most two short epochs."""
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


def _folds_with_images(table: pd.DataFrame, sources: Sequence[LabelledSource]) -> list[int]:
    """Return the folds that hold out any of these images: the table may hold others of one name."""
    own = {(source.name, sample.id) for source in sources for sample in source.samples}
    rows = zip(table["source"], table["ImageId"], table["fold"], strict=True)
    return sorted({int(fold) for source, id_, fold in rows if (source, id_) in own})


def _require_all_images(path: Path, table: pd.DataFrame, sources: Sequence[LabelledSource]) -> None:
    """Check that no image with which the run was started is missing."""
    own = {(source.name, sample.id) for source in sources for sample in source.samples}
    named = {source.name for source in sources}
    missing = [
        id_
        for source, id_ in zip(table["source"], table["ImageId"], strict=True)
        if source in named and (source, id_) not in own
    ]
    if missing:
        raise InputError(
            f"{path}: images of it that are missing: {len(missing)}, such as {missing[0]}; train "
            "with the images that the run was started with, or choose another --name"
        )


def _parse_folds(folds: Sequence[str | int] | None, known: Sequence[int]) -> list[int | None]:
    """Return the folds to train; None is the network trained on everything."""
    names: dict[str, int | None] = {str(fold): fold for fold in known} | {EVERYTHING: None}
    wanted = [str(fold) for fold in folds or known]
    for fold in wanted:
        if fold not in names:
            raise InputError(f"fold {fold} does not exist; available: {', '.join(names)}")
    return [names[fold] for fold in wanted]


def _require_same_settings(path: Path, settings: Settings) -> None:
    for key, begun, wanted in differing_settings(load_settings(path), settings, TRAINED):
        raise InputError(
            f"{path}: this run was started with {key} = {begun}, not {wanted}; resume with the "
            "same settings or choose another --name"
        )


def _require_even_batches(settings: Settings) -> None:
    training, hardware = settings.training, settings.hardware
    n_devices = hardware.devices * hardware.nodes
    if training.batch_size % n_devices or training.crops_per_epoch < n_devices:
        raise InputError(
            f"training.batch_size = {training.batch_size}: must be a multiple of the number of "
            f"devices ({n_devices}), and training.crops_per_epoch at least that number"
        )


def _require_trainable(settings: Settings, starts: Sequence[Path | None]) -> None:
    """Check that the networks can be built and initialised, before the folder is written to."""
    hardware = settings.hardware
    choose_precision(hardware.precision, choose_device(hardware.accelerator))
    network = NucleusNet(settings.network, pretrained=None in starts)
    for path in starts:
        if path is not None:
            copy_weights(path, network)


def _require_networks(setting: str, run: Run | None, folds: Sequence[int]) -> None:
    """Raise ``InputError`` if a run to learn from has networks, but none of one of the folds."""
    missing = sorted(set(folds) - run.networks.keys()) if run and run.networks else []
    if run and missing:
        raise InputError(
            f"{setting} = {run.name}: has no network of fold {missing[0]}, only of "
            f"{', '.join(map(str, run.networks))}; train it, or lower folds.n_folds"
        )


def _open_named(folder: Path | None) -> Run | None:
    if folder is None:
        return None
    return open_run(resolve_run(folder))


def _teachers(run: Run | None, fold: int | None) -> list[Path]:
    """Return the teachers of a fold: the network of the same fold; all networks for None."""
    if run is None:
        return []
    return list(run.networks.values()) if fold is None else [run.network_file(fold)]


def _starting_network(run: Run | None, fold: int | None) -> Path | None:
    """Return the network of a run that a fold is initialised from: that of the same fold."""
    if run is None:
        return None
    path = run.network_file(fold)
    is_first_of_all = fold is None and not path.exists() and bool(run.networks)
    return run.networks[min(run.networks)] if is_first_of_all else path


def _choose_folds(
    path: Path, sources: Sequence[LabelledSource], settings: Settings, others: Sequence[Run]
) -> pd.DataFrame:
    """Return the folds of the run, else those of the first other run, else new ones.

    Sources that are not in the other run's folds are split and added to them.
    """
    known = {run.folds_file: read_folds(run.folds_file) for run in others if run.folder.exists()}
    table = (
        read_folds(path)
        if path.exists()
        else make_folds(sources, settings, known=next(iter(known.values()), None))
    )
    for file, folds in known.items():
        if not hold_out_alike(folds, table):
            raise InputError(
                f"{path}: its folds differ from {file}; a network of training.start_from or "
                "training.teacher would have been trained on images held out here"
            )
    return table
