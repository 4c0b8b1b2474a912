"""Choose among candidate nuclei those that promise the best score together."""

import numpy as np

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.size import areas_px

MAX_ROUNDS = 20


def select_nuclei(tree: CandidateTree, quality: Floats, *, min_area_px: int) -> Labels:
    """Choose the candidates without overlap that promise their image the best score.

    Parameters
    ----------
    tree : CandidateTree
    quality : (n_candidates,) float64, in [0, 1]
        The share of the competition's thresholds at which each is expected to hit.
    min_area_px : int
        Smaller nuclei are dropped.

    Returns
    -------
    labels : (H, W) int32

    Notes
    -----
    Let P nuclei be predicted and T be true, and Q be the sum of the predicted ones' qualities. Then
    S = Q / (P + T - Q) is the score to expect, and one more nucleus raises it where its quality is
    above S / (1 + S) = Q / (P + T). With as many true nuclei as predicted ones that is half the
    mean quality of those predicted: what a nucleus costs in this image, much where it is clear and
    little where it is hard to read. The choice and its cost are found in turns, until both stay.
    """
    of_basins = areas_px(tree.labels)
    area = tree.add_up(np.pad(of_basins, (0, tree.n_basins + 1 - of_basins.size)))
    chosen, cost = np.zeros(0, np.int64), 0.0
    for _ in range(MAX_ROUNDS):
        best = np.array(_choose(tree, (quality - cost).tolist()), np.int64)
        chosen = best[area[best] >= max(min_area_px, 1)]
        last, cost = cost, float(quality[chosen].mean()) / 2 if chosen.size else 0.0
        if cost == last:
            break
    number = np.zeros(tree.n_basins + 1, np.int32)
    for label, candidate in enumerate(chosen.tolist(), 1):
        number[tree.first[candidate] : tree.last[candidate] + 1] = label
    return number.take(tree.labels)


def _choose(tree: CandidateTree, worth: list[float]) -> list[int]:
    """List the candidates whose own worth is the best of their branch, from the roots down."""
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
