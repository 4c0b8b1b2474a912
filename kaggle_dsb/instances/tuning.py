"""Tune the segmentation of probability maps, and estimate its score by nested cross-validation.

Parameters score better on the images that they were chosen on than on others, and also on images of
the same source: the same microscope, stain and annotators. So every choice is nested by source: a
source is scored with the option that was best on all others, and the mean over sources, the
generalisation, is the score to report.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Progress
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidates import find_candidates
from kaggle_dsb.instances.colours import find_colours
from kaggle_dsb.instances.features import MIN_SEED_PX, describe_image
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.outline import relative_grey
from kaggle_dsb.instances.outline_rule import (
    NUMBERS,
    KnownOutlines,
    OutlineRule,
    describe_appearance,
    is_glowing,
)
from kaggle_dsb.instances.patches import Patches, cut_patches
from kaggle_dsb.instances.probability import load_probability, mean_over_scales
from kaggle_dsb.instances.refine import refine_nuclei
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.scorer_training import candidate_quality, train_scorer
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei

Label = TypeVar("Label", str, int)

OUTLINES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.56)
"""The outline thresholds that `learn_outlines` tries."""

ENOUGH_OF_A_GROUP = 3  # images needed to choose the outline threshold of a group


@dataclass(frozen=True)
class Case:
    """An image with ground truth, and its out-of-fold probability.

    Attributes
    ----------
    id, source : str
    group : str
        Images of one slide, well or screen; unique within the source.
    fold : int
    probability : Path
        A file that `kaggle_dsb.instances.probability.load_probability` reads.
    image : (H, W, 3) uint8
    truth : (H, W) int32
    """

    id: str
    source: str
    group: str
    fold: int
    probability: Path
    image: NDArray[np.uint8]
    truth: Labels


@dataclass(frozen=True)
class Nested:
    """The outcome of a nested choice among options.

    Attributes
    ----------
    best : int
        The option with the best mean over all sources: the one to use.
    scores : (n_images,) float64
        The score of each image with the option that was best on the other sources.
    """

    best: int
    scores: Floats


def mean_over_sources(scores: Floats, sources: Sequence[str]) -> Floats:
    """Return the mean over sources of the mean over each source's images.

    Parameters
    ----------
    scores : (..., n_images) float64
    sources : sequence of str
        The source of each image.

    Examples
    --------
    >>> float(mean_over_sources(np.array([0.1, 0.3, 0.8]), ["a", "a", "b"]))
    0.5
    """
    of_image = np.array(sources)
    means = [scores[..., of_image == source].mean(axis=-1) for source in np.unique(of_image)]
    mean: Floats = np.mean(means, axis=0)
    return mean


def choose_nested(scores: Floats, sources: Sequence[str]) -> Nested:
    """Choose among options, and score each source with the option that is best without it.

    Parameters
    ----------
    scores : (n_options, n_images) float64
    sources : sequence of str
        The source of each image; at least two differ.

    Examples
    --------
    >>> choose_nested(np.array([[0.9, 0.1], [0.2, 0.8]]), ["a", "b"]).scores
    array([0.2, 0.1])
    """
    of_image = np.array(sources)
    nested = np.zeros(of_image.size)
    for source in np.unique(of_image):
        own = of_image == source
        best = mean_over_sources(scores[:, ~own], of_image[~own].tolist()).argmax()
        nested[own] = scores[best, own]
    return Nested(int(mean_over_sources(scores, sources).argmax()), nested)


def propose_watersheds(n: int, *, seed: int) -> list[WatershedParameters]:
    """Propose watershed parameters, spread evenly over a sensible range.

    Notes
    -----
    A scrambled Halton sequence does not depend on scores, so all sources can share the proposals
    and the choice among them can still be nested.
    """
    from scipy.stats import qmc  # slow to import, and the processes do without it

    low, high = zip((0.2, 0.8), (0.4, 0.8), (3, 24), (8, 30), strict=True)
    return [
        WatershedParameters(
            body_threshold=round(body_threshold, 3),
            seed_threshold=round(seed_threshold, 3),
            min_seed_px=round(min_seed_px),
            min_area_px=round(min_area_px),
        )
        for body_threshold, seed_threshold, min_seed_px, min_area_px in qmc.scale(
            qmc.Halton(len(low), seed=seed).random(n), low, high
        ).tolist()
    ]


def score_watersheds(
    cases: Sequence[Case],
    proposals: Sequence[WatershedParameters],
    *,
    processes: int,
    progress: Progress,
) -> Floats:
    """Score each image with each proposal, (n_proposals, n_cases) float64."""
    jobs = [(case, proposals) for case in cases]
    return np.array(list(_run(_score_watersheds_of, jobs, processes, progress))).T


def _run(
    job: Callable[..., Any], arguments: Sequence[Any], processes: int, progress: Progress
) -> Iterator[Any]:
    """Yield the result of each job, in order."""
    results = _share_out(job, arguments, processes) if processes > 1 else map(job, arguments)
    for done, result in enumerate(results, 1):
        yield result
        progress(done, len(arguments))


def _share_out(job: Callable[..., Any], arguments: Sequence[Any], processes: int) -> Iterator[Any]:
    """Yield the result of each job from processes that compute with one thread each."""
    # A forked process would inherit locks that are never released.
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    try:
        yield from pool.map(job, arguments, chunksize=2)
    except BrokenProcessPool:
        raise InputError(
            f"one of the {processes} processes that tune was lost, perhaps for lack of memory; use "
            f"fewer with --set hardware.threads={processes // 2}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _score_watersheds_of(job: tuple[Case, Sequence[WatershedParameters]]) -> list[float]:
    case, proposals = job
    probability = mean_over_scales(load_probability(case.probability))
    return [
        score_image(case.truth, watershed_nuclei(probability, proposal)).score
        for proposal in proposals
    ]


class Described(NamedTuple):
    """The candidates of an image at all scales: features (n, n_features), patches, true quality."""

    features: NDArray[np.float32]
    patches: Patches
    quality: Floats


def describe_cases(
    cases: Sequence[Case],
    watershed: WatershedParameters,
    *,
    outlines: Sequence[OutlineRule],
    processes: int,
    progress: Progress,
) -> list[Described]:
    """Compute the candidate features and patches of all images, each with its own outline rule.

    The typical size of nuclei is measured on the labels of the watershed.
    """
    jobs = [(case, watershed, outline) for case, outline in zip(cases, outlines, strict=True)]
    return list(_run(_describe_case, jobs, processes, progress))


def _describe_case(job: tuple[Case, WatershedParameters, OutlineRule]) -> Described:
    case, watershed, outline = job
    probability = load_probability(case.probability)
    body = mean_over_scales(probability[:, 0])
    glows = is_glowing(body, case.image)
    threshold = outline.threshold(case.image, is_glowing=glows)
    colours, at_scales = find_colours(case.image), []
    for at_scale in probability:
        nuclei = watershed_nuclei(at_scale, watershed)
        tree, features = describe_image(at_scale, colours, nuclei, outline_threshold=threshold)
        every = np.arange(tree.n_candidates)
        patches = cut_patches(tree, at_scale, colours, every, is_glowing=glows)
        at_scales.append(Described(features, patches, candidate_quality(tree, case.truth)))
    return Described(*(np.concatenate(parts) for parts in zip(*at_scales, strict=True)))


def learn_outlines(
    cases: Sequence[Case], *, min_area_px: int, processes: int, progress: Progress
) -> KnownOutlines:
    """Learn the outline threshold that fits the annotations of each group of bright nuclei.

    Parameters
    ----------
    cases : sequence of Case
    min_area_px : int
        Smaller nuclei are dropped.
    processes : int
    progress : callable

    Returns
    -------
    KnownOutlines
        The images of bright nuclei. All images of a group get the threshold among `OUTLINES` with
        the best mean score when candidates are selected by their true quality; a group of fewer
        than `ENOUGH_OF_A_GROUP` images gets the threshold of its source.
    """
    jobs = [(case, min_area_px) for case in cases]
    scored = list(_run(_score_outlines, jobs, processes, progress))
    rows = [n for n, outlines in enumerate(scored) if outlines is not None]
    scores = np.array([scored[n].scores for n in rows]).reshape(-1, len(OUTLINES))
    groups = [(cases[n].source, cases[n].group) for n in rows]
    count = Counter(groups)
    of = [group if count[group] >= ENOUGH_OF_A_GROUP else group[:1] for group in groups]
    alike = {key: [key == group[: len(key)] for group in groups] for key in set(of)}
    best = {key: OUTLINES[scores[own].mean(axis=0).argmax()] for key, own in alike.items()}
    return KnownOutlines(
        np.array([scored[n].appearance for n in rows], np.float32).reshape(-1, len(NUMBERS)),
        np.array([best[key] for key in of], np.float32),
        np.array([cases[n].fold for n in rows], np.int64),
    )


class OutlineScores(NamedTuple):
    """The appearance of an image, and its score with each of `OUTLINES`."""

    appearance: NDArray[np.float32]
    scores: list[float]


def _score_outlines(job: tuple[Case, int]) -> OutlineScores | None:
    """Score an image at each of `OUTLINES`, with true qualities; None for dark nuclei."""
    case, min_area_px = job
    probability = mean_over_scales(load_probability(case.probability))
    if not is_glowing(probability[0], case.image):
        return None
    tree = find_candidates(
        probability,
        relative_grey(case.image),
        min_seed_px=MIN_SEED_PX,
        outline_threshold=OUTLINES[0],
    )
    scores = []
    for threshold in OUTLINES:
        ended = tree.end_at(threshold)
        quality = candidate_quality(ended, case.truth)
        nuclei = select_nuclei(ended, quality, min_area_px=min_area_px).labels
        scores.append(score_image(case.truth, refine_nuclei(nuclei)).score)
    return OutlineScores(describe_appearance(case.image), scores)


def train_without_each(
    labels: Sequence[Label],
    described: Sequence[Described],
    *,
    weights: Sequence[float],
    seed: int,
    progress: Progress,
) -> dict[Label, CandidateScorer]:
    """Train a scorer without a network for each label, on the images of all other labels.

    Parameters
    ----------
    labels : sequence of str or int
        The source of each image, or its fold.
    described : sequence of Described
    weights : sequence of float
        The weight of each image.
    seed : int
    progress : callable
        Called with the number of scorers trained and their total number.
    """
    scorers: dict[Label, CandidateScorer] = {}
    distinct = sorted(set(labels))
    for label in distinct:
        others = [n for n, own in enumerate(labels) if own != label]
        scorers[label] = train_scorer(
            [described[n].features for n in others],
            [described[n].quality for n in others],
            weights=[weights[n] for n in others],
            seed=seed,
        )
        progress(len(scorers), len(distinct))
    return scorers


def source_weights(sources: Sequence[str]) -> list[float]:
    """Return image weights of mean 1 that give all sources the same total weight.

    Examples
    --------
    >>> source_weights(["a", "b", "b", "b"])
    [2.0, 0.6666666666666666, 0.6666666666666666, 0.6666666666666666]
    """
    count = Counter(sources)
    return [len(sources) / len(count) / count[source] for source in sources]


def score_scorers(
    cases: Sequence[Case],
    scorers: Sequence[CandidateScorer],
    watershed: WatershedParameters,
    *,
    outlines: Sequence[OutlineRule],
    processes: int,
    progress: Progress,
) -> Floats:
    """Score the nuclei that a scorer selects in each image, (n_cases,).

    Parameters
    ----------
    cases : sequence of Case
    scorers : sequence of CandidateScorer
        One for each case.
    watershed : WatershedParameters
    outlines : sequence of OutlineRule
        One for each case.
    processes : int
    progress : callable
    """
    jobs = [
        (case, NucleusFinder(watershed, [scorer], outline))
        for case, scorer, outline in zip(cases, scorers, outlines, strict=True)
    ]
    return np.array(list(_run(_score_finder_on, jobs, processes, progress)))


def _score_finder_on(job: tuple[Case, NucleusFinder]) -> float:
    case, finder = job
    nuclei = finder.find(load_probability(case.probability), case.image)
    return score_image(case.truth, nuclei).score
