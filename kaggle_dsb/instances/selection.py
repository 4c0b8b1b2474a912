"""Choose among candidate nuclei those that promise the best score together."""

import numpy as np

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.size import areas_px


def select_nuclei(tree: CandidateTree, quality: Floats, *, cost: float, min_area_px: int) -> Labels:
    """Choose the best set of candidates that do not overlap.

    Parameters
    ----------
    tree : CandidateTree
    quality : (n_candidates,) float64, in [0, 1]
        The share of the competition's thresholds at which each is expected to hit.
    cost : float, in [0, 1]
        What one more predicted nucleus costs: a candidate of lower quality is never chosen.
    min_area_px : int
        Smaller nuclei are dropped.

    Returns
    -------
    labels : (H, W) int32

    Notes
    -----
    A candidate is worth its quality less the cost. The tree is solved from its leaves up: a union
    is taken whole where it is worth more than the best that can be made of its two children. For an
    image of score s a nucleus raises the score where its quality is above s / (1 + s), the
    derivative of TP / (TP + FP + FN).
    """
    of_basins = areas_px(tree.labels)
    area = tree.add_up(np.pad(of_basins, (0, tree.n_basins + 1 - of_basins.size)))
    chosen = [c for c in _choose(tree, (quality - cost).tolist()) if area[c] >= max(min_area_px, 1)]
    number = np.zeros(tree.n_basins + 1, np.int32)
    for label, candidate in enumerate(chosen, 1):
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
