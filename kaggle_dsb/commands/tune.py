"""Tune how a run's probabilities become nuclei, on its own out-of-fold predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.config import HardwareSettings, Settings, write_settings
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.second_level import SecondLevel
from kaggle_dsb.instances.tuning import (
    COSTS,
    Case,
    Nested,
    choose_nested,
    describe_cases,
    grow_second_levels,
    propose_splits,
    score_costs,
    score_splits,
)
from kaggle_dsb.network.hardware import count_cores
from kaggle_dsb.network.out_of_fold import (
    OutOfFoldProbabilities,
    held_out_samples,
    predict_out_of_fold,
)
from kaggle_dsb.progress import show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source

ENOUGH_FOR_SPLITS = 300  # images; of more than twice as many, only some try plain splits


@dataclass(frozen=True)
class Tuned:
    """What tuning gave.

    Attributes
    ----------
    settings : Settings
        With the parameters chosen over all images.
    scores : DataFrame
        A row an image: ``type``, ``fold``, and the scores ``as it was``, ``split`` (the plain
        split, chosen on the other folds) and ``second level`` (likewise). A plain split that was
        not tried on an image is NaN.
    """

    settings: Settings
    scores: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Give the mean scores by image type and over all, where all three are known."""
        common = self.scores.dropna()
        columns = ["as it was", "split", "second level"]
        by_type = common.groupby("type")[columns].mean()
        return pd.concat([by_type, common[columns].mean().to_frame("all").T]).rename_axis("type")


def tune(source: Source, run: Run, settings: Settings, *, work: Path, n_trials: int) -> Tuned:
    """Choose the plain split and grow the second level, both nested by fold.

    Parameters
    ----------
    source : Source
        With the images that the run was trained on.
    run : Run
        Its folder gets the tuned ``config.toml`` and, where the second level scores more than the
        plain split, ``second_level<N>.safetensors``.
    settings : Settings
        ``prediction`` and ``hardware`` count, and ``instances`` as what to compare with.
    work : Path
        Where probabilities are kept.
    n_trials : int
        How many plain splits to try.

    Notes
    -----
    The second level measures an image's nuclei by the plain split that is best over all images, and
    drops nuclei below its least area; only its forests and the cost of a nucleus are nested.

    Raises
    ------
    InputError
        For the bundled networks, which are everybody's, and for a run with a single fold.
    """
    if run.name == "bundled":
        raise InputError(
            "the bundled networks are tuned and shared by all users: copy their folder to "
            "runs/NAME and give --weights runs/NAME"
        )
    n_folds = len(set(held_out_samples(source, run).fold_of.values()))
    if n_folds < 2:
        raise InputError(
            f"{run.folder}: has networks for the images of one fold; a nested choice needs "
            "those of two folds or more"
        )
    with show_progress("predicting out of fold") as progress:
        predicted = predict_out_of_fold(source, run, settings, work=work, progress=progress)
    cases = _cases(predicted)
    processes = settings.hardware.threads or count_cores()
    few = slice(None, None, max(1, len(cases) // ENOUGH_FOR_SPLITS))
    splits = [settings.instances.split(), *propose_splits(n_trials, seed=settings.folds.seed)]
    with show_progress("trying plain splits") as progress:
        tried = score_splits(cases[few], splits, processes=processes, progress=progress)
    split = choose_nested(tried, _folds(cases[few]))
    best = splits[split.best]
    second_levels, second = _grow_second_level(cases, best, settings, processes=processes)
    scores = pd.DataFrame(
        {
            "type": [predicted.type_of[sample.id] for sample in predicted.samples],
            "fold": _folds(cases),
            "second level": second.scores,
        },
        index=[sample.id for sample in predicted.samples],
    )
    scores.loc[scores.index[few], ["as it was", "split"]] = np.stack([tried[0], split.scores], 1)
    keeps = bool(second.scores[few].mean() > split.scores.mean())
    chosen = settings.instances.model_copy(
        update={**best, "candidate_scorer": keeps, "nucleus_cost": COSTS[second.best]}
    )
    # The hardware is this machine's: a later prediction with the networks has its own.
    tuned = settings.model_copy(update={"instances": chosen, "hardware": HardwareSettings()})
    _write(run, tuned, second_levels if keeps else {})
    return Tuned(tuned, scores)


def _folds(cases: Sequence[Case]) -> NDArray[np.int64]:
    return np.array([case.fold for case in cases])


def _grow_second_level(
    cases: Sequence[Case], split: dict[str, Any], settings: Settings, *, processes: int
) -> tuple[dict[int, SecondLevel], Nested]:
    with show_progress("describing candidates") as progress:
        described = describe_cases(cases, split, processes=processes, progress=progress)
    sizes = {"min_area_px": split["min_area_px"], "processes": processes}
    with show_progress("growing the second level") as progress:
        second_levels = grow_second_levels(
            cases, described, seed=settings.folds.seed, progress=progress, **sizes
        )
    with show_progress("scoring the second level") as progress:
        by_cost = score_costs(cases, described, second_levels, progress=progress, **sizes)
    return second_levels, choose_nested(by_cost, _folds(cases))


def _write(run: Run, settings: Settings, second_levels: dict[int, SecondLevel]) -> None:
    for path in run.scorers.values():
        path.unlink()
    # What was validated was cut otherwise.
    run.validation_file.unlink(missing_ok=True)
    for fold, one in second_levels.items():
        one.save(run.scorer_file(fold))
    write_settings(run.settings_file, settings)


def _cases(predicted: OutOfFoldProbabilities) -> list[Case]:
    return [
        Case(
            predicted.fold_of[sample.id],
            predicted.files[sample.id],
            sample.image,
            require_labels(sample),
        )
        for sample in predicted.samples
    ]
