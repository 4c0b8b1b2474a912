"""Tune how a run's probabilities become nuclei, on images that its networks have not seen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kaggle_dsb.config import HardwareSettings, Settings, write_settings
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.dataset.sources import name_sources
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.tuning import (
    CHOICES,
    Case,
    Nested,
    choose_nested,
    describe_cases,
    mean_over_sources,
    propose_watersheds,
    score_choices,
    score_watersheds,
    source_weights,
    train_without_each,
)
from kaggle_dsb.instances.watershed import WatershedParameters
from kaggle_dsb.network.hardware import count_cores
from kaggle_dsb.network.out_of_fold import predict_out_of_fold
from kaggle_dsb.progress import show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source

ENOUGH_OF_A_SOURCE = 25  # images that try all watersheds


@dataclass(frozen=True)
class Tuned:
    """What tuning gave.

    Attributes
    ----------
    settings : Settings
        With the parameters chosen over all images.
    scores : DataFrame
        A row an image: ``ImageId, source, fold``, and the scores ``current``, ``watershed`` (the
        parameters chosen on the other sources) and ``scorer`` (trained and chosen likewise). A
        watershed that was not tried on an image is NaN.
    """

    settings: Settings
    scores: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return the mean scores by source, and their mean, the generalisation."""
        by_source = self.scores.groupby("source")[["current", "watershed", "scorer"]].mean()
        return pd.concat([by_source, by_source.mean().to_frame("generalisation").T]).rename_axis(
            "source"
        )


def tune_run(source: Source, run: Run, settings: Settings, *, work: Path, n_trials: int) -> Tuned:
    """Choose the watershed and train candidate scorers, both nested by source.

    Parameters
    ----------
    source : Source
        With the images that the run was trained on.
    run : Run
        Its folder gets the tuned ``config.toml`` and, where scorers generalise better than the
        watershed, ``scorer<N>.safetensors``.
    settings : Settings
        ``prediction`` and ``hardware`` count, and ``instances`` as what to compare with.
    work : Path
        Where probabilities are kept.
    n_trials : int
        How many watersheds to try.

    Raises
    ------
    InputError
        For the bundled networks, which are everybody's, and for images of a single source.
    """
    if run.is_bundled:
        raise InputError(
            "the bundled networks are tuned and shared by all users: copy their folder to "
            "runs/NAME and give --weights runs/NAME"
        )
    cases = _cases(source, run, settings, work=work)
    _require_two(cases, run)
    processes = settings.hardware.threads or count_cores()
    watershed, scores = _choose_watershed(cases, settings, n_trials=n_trials, processes=processes)
    scorers, nested = _train_scorers(cases, watershed, settings, processes=processes)
    scores["scorer"] = nested.scores
    tried = scores.dropna()
    generalisation = mean_over_sources(
        tried[["watershed", "scorer"]].to_numpy().T, tried["source"].tolist()
    )
    choice = CHOICES[nested.best]
    chosen = settings.instances.model_copy(
        update={
            **asdict(watershed),
            "outline_threshold": choice.outline_threshold,
            "nucleus_cost": choice.cost,
            "candidate_scorer": bool(generalisation[1] > generalisation[0]),
        }
    )
    # The hardware is this machine's: a later prediction with the networks has its own.
    tuned = settings.model_copy(update={"instances": chosen, "hardware": HardwareSettings()})
    _write(run, tuned, scorers if chosen.candidate_scorer else {})
    return Tuned(tuned, scores)


def _cases(source: Source, run: Run, settings: Settings, *, work: Path) -> list[Case]:
    with show_progress("predicting out of fold") as progress:
        predicted = predict_out_of_fold(source, run, settings, work=work, progress=progress)
    sizes = {sample.id: sample.image.shape[:2] for sample in predicted.samples}
    sources = name_sources(predicted.type_of, sizes)
    return [
        Case(
            sample.id,
            sources[sample.id],
            predicted.fold_of[sample.id],
            predicted.files[sample.id],
            sample.image,
            require_labels(sample),
        )
        for sample in predicted.samples
    ]


def _require_two(cases: Sequence[Case], run: Run) -> None:
    """Refuse cases of a single fold or source."""
    if len({case.fold for case in cases}) < 2:
        raise InputError(
            f"{run.folder}: has networks for the images of one fold; a nested choice needs "
            "those of two folds or more"
        )
    sources = {case.source for case in cases}
    if len(sources) < 2:
        raise InputError(
            f"all images are of one source ({sources.pop()}); a nested choice needs two or more: "
            "give labelled images of others with --extra"
        )


def _choose_watershed(
    cases: Sequence[Case], settings: Settings, *, n_trials: int, processes: int
) -> tuple[WatershedParameters, pd.DataFrame]:
    """Return the best watershed, and the nested scores of the images that tried them."""
    scores = pd.DataFrame(
        [(case.id, case.source, case.fold) for case in cases],
        columns=["ImageId", "source", "fold"],
    )
    size = scores.groupby("source")["source"].transform("size")
    rank = scores.groupby("source").cumcount()
    step = np.maximum(1, size // ENOUGH_OF_A_SOURCE)
    rows = np.flatnonzero(rank % step == 0)
    proposals = [
        WatershedParameters(**settings.instances.watershed()),
        *propose_watersheds(n_trials, seed=settings.folds.seed),
    ]
    with show_progress("trying watersheds") as progress:
        tried = score_watersheds(
            [cases[row] for row in rows], proposals, processes=processes, progress=progress
        )
    nested = choose_nested(tried, scores["source"].iloc[rows].tolist())
    scores.loc[rows, ["current", "watershed"]] = np.stack([tried[0], nested.scores], 1)
    return proposals[nested.best], scores


def _train_scorers(
    cases: Sequence[Case], watershed: WatershedParameters, settings: Settings, *, processes: int
) -> tuple[dict[int, CandidateScorer], Nested]:
    """Return a scorer a fold, and the choices among candidates by scorers of other sources."""
    sources = [case.source for case in cases]
    threshold = settings.instances.outline_threshold
    common = {"outline_threshold": threshold, "processes": processes}
    training = {"weights": source_weights(sources), "seed": settings.folds.seed}
    with show_progress("describing candidates") as progress:
        described = describe_cases(cases, watershed, progress=progress, **common)
    with show_progress("training scorers without a source each") as progress:
        by_source = train_without_each(sources, described, progress=progress, **training)
    with show_progress("choosing nuclei") as progress:
        by_choice = score_choices(cases, by_source, watershed, progress=progress, **common)
    with show_progress("training scorers without a fold each") as progress:
        by_fold = train_without_each(
            [case.fold for case in cases], described, progress=progress, **training
        )
    return by_fold, choose_nested(by_choice, sources)


def _write(run: Run, settings: Settings, scorers: dict[int, CandidateScorer]) -> None:
    for path in run.scorers.values():
        path.unlink()
    # What was validated was cut otherwise.
    run.validation_file.unlink(missing_ok=True)
    for fold, scorer in scorers.items():
        scorer.save(run.scorer_file(fold))
    write_settings(run.settings_file, settings)
