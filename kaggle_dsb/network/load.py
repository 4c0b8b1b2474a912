"""The networks and the candidate scorers of a run, ready to predict."""

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidate_scorer import load_second_level
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.network.hardware import choose_device, choose_precision
from kaggle_dsb.network.model import load_network
from kaggle_dsb.network.predict import Predictor
from kaggle_dsb.workspace.run import Run


def load_predictor(run: Run, settings: Settings, *, folds: list[int]) -> Predictor:
    """Load the networks of some folds as one predictor; their mean is taken."""
    networks = [load_network(run.networks[fold])[0] for fold in folds]
    device = choose_device(settings.hardware.accelerator)
    return Predictor(
        networks,
        settings.prediction,
        nucleus_px=settings.network.nucleus_px,
        device=device,
        precision=choose_precision(settings.hardware.precision, device),
    )


def load_finder(run: Run, settings: Settings, *, folds: list[int]) -> NucleusFinder:
    """Load the candidate scorers of some folds, where there are any; their mean is taken."""
    instances = settings.instances
    wanted = folds if instances.candidate_scorer and run.scorers else []
    missing = [fold for fold in wanted if fold not in run.scorers]
    if missing:
        raise InputError(
            f"{run.folder}: fold {missing[0]} has no second level, others have; make it with "
            "`kaggle-dsb tune`, or do without: --set instances.candidate_scorer=false"
        )
    return NucleusFinder(
        instances.split(),
        [load_second_level(run.scorers[fold]) for fold in wanted],
        instances.nucleus_cost,
    )
