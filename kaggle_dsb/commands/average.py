"""Average the weights of several runs, fold by fold."""

from collections.abc import Sequence
from pathlib import Path

from kaggle_dsb.config import load_settings, write_settings
from kaggle_dsb.dataset.folds import hold_out_alike, read_folds, write_folds
from kaggle_dsb.files import InputError
from kaggle_dsb.network.ensemble import FOLDS_FILE, SETTINGS_FILE, Ensemble
from kaggle_dsb.network.model import average_weights, load_network, save_network


def average(runs: Sequence[Ensemble], *, folder: Path) -> list[Path]:
    """Make a run whose networks have the mean weights of those of several runs.

    Parameters
    ----------
    runs : sequence of Ensemble
        Two or more, of the same folds, each trained further from another: only then is the mean of
        their weights a network that works [1]_.
    folder : Path
        Gets the networks, and the folds and the settings of the last run.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        When there are not two runs, when their folds or their networks differ, or when the folder
        holds a run.

    References
    ----------
    .. [1] M. Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves
       accuracy without increasing inference time, ICML 2022.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run to average: name two or more")
    if (folder / SETTINGS_FILE).exists():
        raise InputError(f"{folder}: holds a run already; choose another --name")
    *others, last = runs
    folds = read_folds(last.folder / FOLDS_FILE)
    for run in others:
        if not hold_out_alike(read_folds(run.folder / FOLDS_FILE), folds):
            raise InputError(
                f"{run.folder / FOLDS_FILE}: other folds than {last.folder / FOLDS_FILE}; a mean "
                "of their networks would have seen what is held out"
            )
        if run.members.keys() != last.members.keys():
            raise InputError(
                f"{run.folder}: has networks of folds {list(run.members)}, {last.folder} of "
                f"{list(last.members)}: only like runs can be averaged"
            )
    averaged = {fold: _average_fold(runs, fold, folder) for fold in last.members}
    write_folds(folder / FOLDS_FILE, folds)
    write_settings(folder / SETTINGS_FILE, load_settings(last.folder / SETTINGS_FILE))
    return list(averaged.values())


def _average_fold(runs: Sequence[Ensemble], fold: int, folder: Path) -> Path:
    loaded = [load_network(run.members[fold]) for run in runs]
    network, settings, _ = loaded[-1]
    for run, (_, its, _) in zip(runs, loaded, strict=True):
        if its.network != settings.network:
            raise InputError(
                f"{run.members[fold]}: is built by other [network] settings than "
                f"{runs[-1].members[fold]}: only like networks can be averaged"
            )
    average_weights([one for one, _, _ in loaded])
    path = folder / f"fold{fold}.safetensors"
    save_network(path, network, settings, fold=fold, mean_of=[run.name for run in runs])
    return path
