"""Tune how probabilities become nuclei, and tell without self-deception what that gained.

Parameters that are chosen on some images look better on those than on others. So the choice is
nested: each fold is scored with what was best on the other folds, and that is the score to report.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidates import LEVELS, CandidateTree, Floats
from kaggle_dsb.instances.forest import Forest, Growth, grow_forest
from kaggle_dsb.instances.outline_choice import USUAL, choose_level, describe_levels
from kaggle_dsb.instances.probability import load_probability
from kaggle_dsb.instances.second_level import SecondLevel, describe, predict_quality, quality_of
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import split_nuclei

COSTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
USUAL_COST = 0.25
QUALITY_GROWTH = Growth(trees=600, rate=0.04, leaves=31, feature_share=0.5)
OUTLINE_GROWTH = Growth(trees=200, rate=0.04, leaves=8, feature_share=0.3)


@dataclass(frozen=True)
class Case:
    """An image whose out-of-fold probability and truth are known.

    Attributes
    ----------
    fold : int
    probability : Path
        Of a file that `kaggle_dsb.instances.probability.load_probability` reads.
    image : (H, W, 3) uint8
    truth : (H, W) int32
    """

    fold: int
    probability: Path
    image: NDArray[np.uint8]
    truth: NDArray[np.int32]


@dataclass(frozen=True)
class Nested:
    """The outcome of a nested choice among options.

    Attributes
    ----------
    best : int
        The option that is best over all images: the one to use from now on.
    scores : (n_images,) float64
        Each image's score with the option that was best on the other folds.
    """

    best: int
    scores: Floats


def choose_nested(scores: Floats, folds: NDArray[np.int64]) -> Nested:
    """Choose among options fold by fold.

    Parameters
    ----------
    scores : (n_options, n_images) float64
    folds : (n_images,) int64

    Examples
    --------
    >>> choose_nested(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])).scores
    array([0.2, 0.1])
    """
    nested = np.zeros(folds.size)
    for fold in np.unique(folds):
        held_out = folds == fold
        best = scores[:, ~held_out].mean(axis=1).argmax()
        nested[held_out] = scores[best, held_out]
    return Nested(int(scores.mean(axis=1).argmax()), nested)


def propose_splits(n: int, *, seed: int) -> list[dict[str, Any]]:
    """Propose parameters of the plain split, spread evenly over what makes sense.

    Notes
    -----
    Optuna's quasi-random sampler looks at no score, so all folds can be tried with the same
    proposals and the choice among them still be nested.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(
            scramble=True, seed=seed, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    proposals = []
    for _ in range(n):
        trial = study.ask()
        proposals.append(
            {
                "body_threshold": round(trial.suggest_float("body_threshold", 0.4, 0.8), 3),
                "seed_threshold": round(trial.suggest_float("seed_threshold", 0.4, 0.8), 3),
                "min_seed_px": trial.suggest_int("min_seed_px", 3, 24),
                "min_area_px": trial.suggest_int("min_area_px", 8, 30),
            }
        )
        study.tell(trial, 0)
    return proposals


def score_splits(
    cases: Sequence[Case],
    splits: Sequence[dict[str, Any]],
    *,
    processes: int,
    progress: Callable[[int, int], None],
) -> Floats:
    """Score each image with each plain split, (n_splits, n_cases) float64."""
    jobs = [(case, splits) for case in cases]
    return np.array(list(_run(_score_splits_of, jobs, processes, progress))).T


def _run(
    job: Callable[..., Any],
    arguments: Sequence[Any],
    processes: int,
    progress: Callable[[int, int], None],
) -> Iterator[Any]:
    with ProcessPoolExecutor(processes) as pool:
        for done, result in enumerate(pool.map(job, arguments, chunksize=2), 1):
            yield result
            progress(done, len(arguments))


def _score_splits_of(job: tuple[Case, Sequence[dict[str, Any]]]) -> list[float]:
    case, splits = job
    probability = load_probability(case.probability)
    return [score_image(case.truth, split_nuclei(probability, **one)).score for one in splits]


@dataclass(frozen=True)
class Described:
    """A case's candidates, their features, and their true quality."""

    tree: CandidateTree
    features: NDArray[np.float32]
    quality: Floats


def describe_cases(
    cases: Sequence[Case],
    split: dict[str, Any],
    *,
    processes: int,
    progress: Callable[[int, int], None],
) -> list[Described]:
    """Describe the candidates of all images; ``split`` is the plain split that tells their size."""
    return list(_run(_describe_case, [(case, split) for case in cases], processes, progress))


def _describe_case(job: tuple[Case, dict[str, Any]]) -> Described:
    case, split = job
    probability = load_probability(case.probability)
    tree, features = describe(probability, case.image, split_nuclei(probability, **split))
    return Described(tree, features, quality_of(tree, case.truth))


def grow_second_levels(
    cases: Sequence[Case],
    described: Sequence[Described],
    *,
    min_area_px: int,
    seed: int,
    processes: int,
    progress: Callable[[int, int], None],
) -> dict[int, SecondLevel]:
    """Grow the second level of each fold, from the images of all other folds.

    All images count alike, as they do in the competition's score, however many candidates they
    hold. What an image's levels score is measured on nuclei chosen by the forest of its own fold.
    """
    folds = np.array([case.fold for case in cases])
    quality = {
        fold: _grow_quality(described, folds != fold, fold, seed) for fold in set(folds.tolist())
    }
    jobs = [
        (case, one, quality[case.fold], min_area_px)
        for case, one in zip(cases, described, strict=True)
    ]
    judged = list(_run(_judge_levels_of, jobs, processes, progress))
    return {
        fold: SecondLevel(forest, _grow_outline(judged, folds != fold, seed))
        for fold, forest in quality.items()
    }


def _grow_quality(
    described: Sequence[Described], others: NDArray[np.bool_], fold: int, seed: int
) -> Forest:
    seen = list(compress(described, others))
    rows = np.concatenate([one.features.reshape(-1, one.features.shape[-1]) for one in seen])
    quality = np.concatenate([one.quality.ravel() for one in seen])
    if not quality.size:
        raise InputError(
            f"the networks find no candidate nucleus outside fold {fold}: train them longer"
        )
    sizes = [one.quality.size for one in seen]
    weights = np.repeat(np.mean(sizes) / np.maximum(sizes, 1), sizes)
    return grow_forest(rows, quality, weights=weights, growth=QUALITY_GROWTH, seed=seed)


def _judge_levels_of(
    job: tuple[Case, Described, Forest, int],
) -> tuple[NDArray[np.float32], Floats]:
    """Describe each level of an image, and tell what it scores against the usual one."""
    case, one, forest, min_area_px = job
    quality = predict_quality([forest], one.features)
    scores = []
    for version in range(len(LEVELS)):
        found = select_nuclei(
            one.tree, quality, version=version, cost=USUAL_COST, min_area_px=min_area_px
        )
        scores.append(score_image(case.truth, found).score)
    rows = describe_levels(one.features, quality, cost=USUAL_COST)
    return rows, np.array(scores) - scores[USUAL]


def _grow_outline(
    judged: Sequence[tuple[NDArray[np.float32], Floats]], others: NDArray[np.bool_], seed: int
) -> Forest:
    seen = list(compress(judged, others))
    # The usual level itself gains nothing by definition.
    rows = np.concatenate([np.delete(rows, USUAL, axis=0) for rows, _ in seen])
    gains = np.concatenate([np.delete(gains, USUAL) for _, gains in seen])
    return grow_forest(rows, gains, weights=np.ones(gains.size), growth=OUTLINE_GROWTH, seed=seed)


def score_costs(
    cases: Sequence[Case],
    described: Sequence[Described],
    second_levels: dict[int, SecondLevel],
    *,
    min_area_px: int,
    processes: int,
    progress: Callable[[int, int], None],
) -> Floats:
    """Score each image with each of `COSTS` by its own fold's second level, (n_costs, n_cases)."""
    jobs = [
        (case, one, second_levels[case.fold], min_area_px)
        for case, one in zip(cases, described, strict=True)
    ]
    return np.array(list(_run(_score_costs_of, jobs, processes, progress))).T


def _score_costs_of(job: tuple[Case, Described, SecondLevel, int]) -> list[float]:
    case, one, second, min_area_px = job
    quality = predict_quality([second.quality], one.features)
    scores = []
    for cost in COSTS:
        version = choose_level([second.outline], describe_levels(one.features, quality, cost=cost))
        found = select_nuclei(
            one.tree, quality, version=version, cost=cost, min_area_px=min_area_px
        )
        scores.append(score_image(case.truth, found).score)
    return scores
