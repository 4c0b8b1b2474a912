"""Tune how probabilities become nuclei, and tell without self-deception what that gained.

Parameters that are chosen on some images look better on those than on others. So the choice is
nested: each fold is scored with what was best on the other folds, and that is the score to report.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidates import CandidateTree, Floats
from kaggle_dsb.instances.forest import Forest, grow_forest
from kaggle_dsb.instances.probability import load_probability
from kaggle_dsb.instances.second_level import describe, predict_quality, quality_of
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import split_nuclei

COSTS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)


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


def grow_forests(
    described: Sequence[Described], folds: NDArray[np.int64], *, seed: int
) -> dict[int, Forest]:
    """Grow a forest for each fold, from the images of all other folds.

    All images count alike, as they do in the competition's score, however many candidates they
    hold.
    """
    forests = {}
    for fold in np.unique(folds).tolist():
        others = [one for one, its in zip(described, folds, strict=True) if its != fold]
        rows = np.concatenate([one.features.reshape(-1, one.features.shape[-1]) for one in others])
        quality = np.concatenate([one.quality.ravel() for one in others])
        if not quality.size:
            raise InputError(
                f"the networks find no candidate nucleus outside fold {fold}: train them longer"
            )
        sizes = [one.quality.size for one in others]
        weights = np.repeat(np.mean(sizes) / np.maximum(sizes, 1), sizes)
        forests[fold] = grow_forest(rows, quality, weights=weights, seed=seed)
    return forests


def score_costs(
    cases: Sequence[Case],
    described: Sequence[Described],
    forests: dict[int, Forest],
    *,
    min_area_px: int,
    processes: int,
    progress: Callable[[int, int], None],
) -> Floats:
    """Score each image with each of `COSTS` by its own fold's forest, (n_costs, n_cases)."""
    jobs = [
        (case, one, forests[case.fold], min_area_px)
        for case, one in zip(cases, described, strict=True)
    ]
    return np.array(list(_run(_score_costs_of, jobs, processes, progress))).T


def _score_costs_of(job: tuple[Case, Described, Forest, int]) -> list[float]:
    case, one, forest, min_area_px = job
    quality = predict_quality([forest], one.features)
    scores = []
    for cost in COSTS:
        found = select_nuclei(one.tree, quality, cost=cost, min_area_px=min_area_px)
        scores.append(score_image(case.truth, found).score)
    return scores
