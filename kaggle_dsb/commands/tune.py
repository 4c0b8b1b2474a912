"""Tune the instance segmentation of a run on its out-of-fold predictions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.dataset.kinds import name_kinds
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.files import InputError, locking, write_json
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.outline_rule import KnownOutlines, OutlineRule, write_known
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.tuning import (
    Case,
    Described,
    choose_nested,
    describe_cases,
    learn_outlines,
    mean_over_sources,
    propose_watersheds,
    score_scorers,
    score_watersheds,
    source_weights,
    train_without_each,
)
from kaggle_dsb.instances.watershed import WatershedParameters
from kaggle_dsb.network.engines import choose_engine
from kaggle_dsb.network.hardware import count_threads, prepare_hardware
from kaggle_dsb.network.out_of_fold import held_out_samples, predict_out_of_fold
from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.progress import show_progress
from kaggle_dsb.settings_files import write_settings
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source, require_distinct_names

ENOUGH_OF_A_SOURCE = 25  # images of each source, if it has as many, to try all watersheds on
WAYS = ["current", "watershed", "scorer"]


@dataclass(frozen=True)
class Tuned:
    """The result of tuning.

    Attributes
    ----------
    settings : Settings
        With the parameters chosen over all images.
    scores : DataFrame
        One row per image: ``ImageId, source, fold``, and the scores ``current`` (of the watershed
        with the previous parameters), ``watershed`` (with those chosen on the other sources) and
        ``scorer`` (trained on the other sources, without a network). NaN for watersheds not tried
        on an image.
    """

    settings: Settings
    scores: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return the mean scores by source and their mean, over images with all three scores."""
        by_source = self.scores.dropna().groupby("source")[WAYS].mean()
        mean = by_source.mean().to_frame("generalisation").T
        return pd.concat([by_source, mean]).rename_axis("source")


def tune_run(
    source: Source,
    run: Run,
    settings: Settings,
    *,
    work: Path,
    n_trials: int,
    extra: Sequence[Source] = (),
) -> Tuned:
    """Choose the watershed and train candidate scorers, both nested by source.

    Parameters
    ----------
    source : Source
        The images that the run was trained on; each kind of images in it counts as a source.
    run : Run
        Its folder gets the tuned ``config.toml``, ``tuning.json``, ``outlines.csv``, the INT8
        ranges of each network, and, if scorers generalise better than the watershed,
        ``scorer<N>.safetensors``.
    settings : Settings
        ``prediction`` and ``hardware`` are used, and ``instances`` as the baseline.
    work : Path
        The folder of cached probabilities.
    n_trials : int
        The number of watersheds to try.
    extra : sequence of Source
        Further labelled images, whether the run was trained on them or not.

    Raises
    ------
    InputError
        For the bundled networks, which all users share, and for a run with a single fold.

    Notes
    -----
    If all images are of one source, the choice is nested by fold. The outline threshold of images
    unlike all known ones is not tuned: the kinds of images in one data set share the style of its
    annotators, and would outvote all other styles.
    """
    _require_own(run)
    with locking(run.folder, activity="tuning this run"):
        held_out_samples(source, run)  # of other images nothing must be changed
        _measure_ranges(run, settings)
        cases, scorer_folds = _all_cases(source, run, settings, work=work, extra=extra)
        _require_two_folds(cases, run)
        processes = count_threads(settings)
        watershed, scores = _choose_watershed(
            cases, settings, n_trials=n_trials, processes=processes
        )
        known = _learn_outlines(cases, watershed.min_area_px, processes=processes)
        described, scores["scorer"] = _score_scorers(
            cases, watershed, known, settings, processes=processes
        )
        tuned = _choose_settings(settings, watershed, scores)
        is_better = tuned.instances.candidate_scorer
        scorers = _train_scorers(cases, described, settings) if is_better else {}
        _write(run, Tuned(tuned, scores), scorers, known, scorer_folds)
        return Tuned(tuned, scores)


def learn_outlines_of_run(
    source: Source, run: Run, settings: Settings, *, work: Path, extra: Sequence[Source] = ()
) -> None:
    """Learn only the outline thresholds of labelled images, and write ``outlines.csv``.

    Parameters
    ----------
    source, run, settings, work, extra
        As for `tune_run`.
    """
    _require_own(run)
    with locking(run.folder, activity="tuning this run"):
        cases, _ = _all_cases(source, run, settings, work=work, extra=extra)
        processes = count_threads(settings)
        known = _learn_outlines(cases, settings.instances.min_area_px, processes=processes)
        run.validation_file.unlink(missing_ok=True)
        write_known(run.outlines_file, known)


def _measure_ranges(run: Run, settings: Settings) -> None:
    """Measure the INT8 ranges of each network, if the engine is OpenVINO."""
    if choose_engine(settings.hardware).name != "openvino":
        return
    from kaggle_dsb.network.graph import read_model
    from kaggle_dsb.network.quantize import write_ranges

    networks = dict.fromkeys([*run.networks.values(), run.sizing_network(list(run.networks))])
    if not all(ranges_file(path).exists() for path in networks):
        run.validation_file.unlink(missing_ok=True)  # with ranges, INT8 replaces another precision
    with show_progress("measuring INT8 ranges") as progress:
        for done, path in enumerate(networks, start=1):
            write_ranges(path, read_model(path), nucleus_px=settings.network.nucleus_px)
            progress(done, len(networks))


def _require_own(run: Run) -> None:
    if run.is_bundled:
        raise InputError(
            "the bundled networks are already tuned and shared by all users; copy their folder to "
            "runs/NAME and pass --weights runs/NAME"
        )


def _all_cases(
    source: Source, run: Run, settings: Settings, *, work: Path, extra: Sequence[Source]
) -> tuple[list[Case], dict[str, int]]:
    """Return the images of all sources, and the fold that holds out each extra source."""
    require_distinct_names([source, *extra])
    cases = _cases(source, run, settings, work=work)
    held_out_by = {}
    for number, other in enumerate(extra):
        fold = sorted(run.networks)[number % len(run.networks)]
        held_out_by[other.dataset_name] = fold
        cases += _cases(other, run, settings, work=work, held_out_by=fold)
    return cases, held_out_by


def _cases(
    source: Source, run: Run, settings: Settings, *, work: Path, held_out_by: int | None = None
) -> list[Case]:
    """Return the images of a source with their out-of-fold probabilities.

    For a foreign source, ``held_out_by`` is the fold whose scorer holds out the images that no
    network was trained on.
    """
    is_foreign = held_out_by is not None
    with show_progress(f"predicting {source.dataset_name}") as progress:
        predicted = predict_out_of_fold(
            source, run, settings, work=work, progress=progress, is_foreign=is_foreign
        )
    kinds = name_kinds(
        predicted.type_of, {sample.id: sample.image.shape[:2] for sample in predicted.samples}
    )
    cases = []
    for sample in predicted.samples:
        fold = predicted.fold_of[sample.id]
        fold = held_out_by if fold is None else fold
        assert fold is not None
        cases.append(
            Case(
                sample.id,
                source.shown_name if is_foreign else kinds[sample.id],
                predicted.group_of[sample.id],
                fold,
                predicted.files[sample.id],
                sample.image,
                require_labels(sample),
            )
        )
    return cases


def _require_two_folds(cases: Sequence[Case], run: Run) -> None:
    if len({case.fold for case in cases}) < 2:
        raise InputError(
            f"{run.folder}: holds out images in one fold only; nested cross-validation needs two "
            "folds or more"
        )


def _units(cases: Sequence[Case]) -> list[str]:
    """Return the unit of nesting of each image: its source, or its fold if there is one source."""
    sources = [case.source for case in cases]
    return sources if len(set(sources)) > 1 else [f"fold {case.fold}" for case in cases]


def _choose_watershed(
    cases: Sequence[Case], settings: Settings, *, n_trials: int, processes: int
) -> tuple[WatershedParameters, pd.DataFrame]:
    """Return the best watershed, and the nested scores of the images that tried them."""
    scores = pd.DataFrame(
        [(case.id, case.source, case.fold) for case in cases],
        columns=["ImageId", "source", "fold"],
    )
    size = scores.groupby("source")["source"].transform("size")
    step = np.maximum(1, size // ENOUGH_OF_A_SOURCE)
    rows = np.flatnonzero(scores.groupby("source").cumcount() % step == 0)
    proposals = [
        WatershedParameters(**settings.instances.watershed()),
        *propose_watersheds(n_trials, seed=settings.folds.seed),
    ]
    few = [cases[row] for row in rows.tolist()]
    with show_progress("tuning the watershed") as progress:
        tried = score_watersheds(few, proposals, processes=processes, progress=progress)
    nested = choose_nested(tried, _units(few))
    scores.loc[rows, ["current", "watershed"]] = np.stack([tried[0], nested.scores], 1)
    return proposals[nested.best], scores


def _learn_outlines(cases: Sequence[Case], min_area_px: int, *, processes: int) -> KnownOutlines:
    with show_progress("learning outline thresholds") as progress:
        return learn_outlines(
            cases, min_area_px=min_area_px, processes=processes, progress=progress
        )


def _score_scorers(
    cases: Sequence[Case],
    watershed: WatershedParameters,
    known: KnownOutlines,
    settings: Settings,
    *,
    processes: int,
) -> tuple[list[Described], Floats]:
    """Return the candidates of each image, and its score by a scorer trained without its source.

    These scorers have no networks, whose training takes minutes.
    """
    units = _units(cases)
    dark, glowing = settings.instances.outline_threshold, settings.instances.glow_threshold
    rule_of = {
        fold: OutlineRule(dark, glowing, known.without(fold)) for fold in {c.fold for c in cases}
    }
    outlines = [rule_of[case.fold] for case in cases]
    with show_progress("computing candidate features") as progress:
        described = describe_cases(
            cases, watershed, outlines=outlines, processes=processes, progress=progress
        )
    with show_progress("training scorers, leaving one source out") as progress:
        without_source = train_without_each(
            units,
            described,
            weights=source_weights([case.source for case in cases]),
            seed=settings.folds.seed,
            progress=progress,
        )
    with show_progress("selecting nuclei") as progress:
        scores = score_scorers(
            cases,
            [without_source[unit] for unit in units],
            watershed,
            outlines=outlines,
            processes=processes,
            progress=progress,
        )
    return described, scores


def _train_scorers(
    cases: Sequence[Case], described: Sequence[Described], settings: Settings
) -> dict[int, CandidateScorer]:
    """Return a scorer for each fold, trained on the images of all other folds."""
    from kaggle_dsb.training.patch_networks import add_networks

    folds, seed = [case.fold for case in cases], settings.folds.seed
    weights = source_weights([case.source for case in cases])
    with show_progress("training scorers, leaving one fold out") as progress:
        scorers = train_without_each(
            folds, described, weights=weights, seed=seed, progress=progress
        )
    prepare_hardware(settings)  # once more, for torch, which was just imported
    with show_progress("training the scorers' networks") as progress:
        return add_networks(
            scorers, folds, described, weights=weights, seed=seed, progress=progress
        )


def _choose_settings(
    settings: Settings, watershed: WatershedParameters, scores: pd.DataFrame
) -> Settings:
    """Return the settings with the parameters that generalise best."""
    tried = scores.dropna()
    by_way = mean_over_sources(
        tried[["watershed", "scorer"]].to_numpy().T, tried["source"].tolist()
    )
    update = {
        **asdict(watershed),
        "candidate_scorer": bool(by_way[1] > by_way[0]),
    }
    # Hardware settings belong to this machine, not to the trained networks.
    return settings.model_copy(
        update={
            "instances": settings.instances.model_copy(update=update),
            "hardware": HardwareSettings(),
        }
    )


def _write(
    run: Run,
    tuned: Tuned,
    scorers: dict[int, CandidateScorer],
    known: KnownOutlines,
    scorer_folds: dict[str, int],
) -> None:
    # The recorded validation used other instance settings.
    run.validation_file.unlink(missing_ok=True)
    for fold, scorer in scorers.items():
        scorer.save(run.scorer_file(fold))
    for fold, path in run.scorers.items():
        if fold not in scorers:
            path.unlink()
    write_known(run.outlines_file, known)
    by_source = tuned.table().to_dict("index")
    write_json(run.tuning_file, {"scores": by_source, "scorer_folds": scorer_folds})
    # Last, since after an interruption the same command starts from this file.
    write_settings(run.settings_file, tuned.settings)
