"""Select the non-overlapping candidates with the best expected score."""

from typing import NamedTuple

import numpy as np

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.hills import Floats, Integers
from kaggle_dsb.instances.size import areas_px

MAX_ROUNDS = 20


class Nuclei(NamedTuple):
    """Nuclei with the quality that is expected of them.

    Attributes
    ----------
    labels : (H, W) int32
        1..n, each present.
    quality : (n,) float64, in [0, 1]
        The expected share of the competition's IoU thresholds at which each is a hit.
    """

    labels: Labels
    quality: Floats


def select_nuclei(tree: CandidateTree, quality: Floats, *, min_area_px: int) -> Nuclei:
    """Select the non-overlapping candidates that maximise the expected score of the image.

    Parameters
    ----------
    tree : CandidateTree
    quality : (n_candidates,) float64, in [0, 1]
        The expected share of the competition's IoU thresholds at which each candidate is a hit.
    min_area_px : int
        Smaller nuclei are dropped.

    Notes
    -----
    Let P be the number of predicted nuclei, T that of true nuclei, and Q the summed quality of the
    predicted ones. The expected score is S = Q / (P + T - Q), and one more nucleus raises it if its
    quality is above S / (1 + S) = Q / (P + T). For P = T this cost of a nucleus is half the mean
    quality of those predicted: high in clear images, low in difficult ones. The selection and the
    cost are updated in turns until they converge.
    """
    of_basins = areas_px(tree.labels)
    area = tree.add_up(np.pad(of_basins, (0, tree.n_basins + 1 - of_basins.size)))
    chosen, cost = np.zeros(0, np.int64), 0.0
    for _ in range(MAX_ROUNDS):
        best = np.array(_choose(tree, (quality - cost).tolist()), np.int64)
        chosen = best[area[best] >= max(min_area_px, 1)]
        last, cost = cost, _cost(quality[chosen])
        if cost == last:
            break
    number = np.zeros(tree.n_basins + 1, np.int32)
    for label, candidate in enumerate(chosen.tolist(), 1):
        number[tree.first[candidate] : tree.last[candidate] + 1] = label
    return Nuclei(number.take(tree.labels), quality[chosen])


def find_worthwhile(quality: Floats) -> Integers:
    """Return the indices of the nuclei whose quality is above the cost; see `select_nuclei`.

    Examples
    --------
    >>> find_worthwhile(np.array([0.9, 0.1, 0.8]))
    array([0, 2])
    """
    chosen: Integers = np.flatnonzero(quality > 0)
    while (kept := np.flatnonzero(quality > _cost(quality[chosen]))).size < chosen.size:
        chosen = kept
    return chosen


def _cost(quality: Floats) -> float:
    """Return the cost of a nucleus: half the mean quality of those predicted."""
    return float(quality.mean()) / 2 if quality.size else 0.0


def _choose(tree: CandidateTree, worth: list[float]) -> list[int]:
    """List the candidates of the non-overlapping selection with the greatest total worth."""
    children = tree.children.tolist()
    best = [max(own, 0) for own in worth]
    for candidate in range(tree.n_basins, tree.n_candidates):
        a, b = children[candidate]
        best[candidate] = max(worth[candidate], best[a] + best[b])
    waiting = np.flatnonzero(tree.parent() < 0).tolist()
    chosen = []
    while waiting:
        candidate = waiting.pop()
        if best[candidate] <= 0:
            continue
        if worth[candidate] >= best[candidate]:
            chosen.append(candidate)
        else:
            waiting += children[candidate]
    return chosen
