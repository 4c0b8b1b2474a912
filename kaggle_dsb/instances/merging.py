"""Merge the nuclei found at several scales of one image.

A network finds nuclei of about the size that it was trained for. Where an image holds small and
large ones, each scale finds some that the others miss, so the nuclei of all scales compete: the
better ones are kept, and those that overlap them are dropped (non-maximum suppression). How well
the scales agree on a nucleus counts too, since the best of several estimates is otherwise mostly
the one with the luckiest error. The second-placed team of the competition (jacobkie) merged the
predictions of one network at four zooms by their confidence.
"""

from collections.abc import Sequence

import numpy as np

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.metric import match
from kaggle_dsb.instances.hills import Floats, Integers
from kaggle_dsb.instances.refine import group_pixels
from kaggle_dsb.instances.selection import Nuclei, find_worthwhile

AGREEMENT_WEIGHT = 0.25
"""Weight of the agreement between scales in the quality of a nucleus."""

LEAST_FREE = 0.7
"""A nucleus is kept if at least this share of its pixels is in no better one."""


def merge_nuclei(found: Sequence[Nuclei], *, min_area_px: int) -> Labels:
    """Merge the nuclei of several scales.

    Parameters
    ----------
    found : sequence of Nuclei
        Those of each scale.
    min_area_px : int
        Nuclei that better ones leave a smaller part of are dropped.

    Returns
    -------
    labels : (H, W) int32

    Notes
    -----
    The agreement on a nucleus is the mean over the other scales of the largest IoU with a nucleus
    of that scale. The order is that of quality and agreement, weighted; a nucleus that loses pixels
    to better ones loses as much quality. Which are good enough is decided as by
    `kaggle_dsb.instances.selection.select_nuclei`.
    """
    if len(found) == 1:
        return found[0].labels
    quality = np.concatenate(
        [
            (1 - AGREEMENT_WEIGHT) * each.quality + AGREEMENT_WEIGHT * agreement
            for each, agreement in zip(found, _agreements(found), strict=True)
        ]
    )
    pixels = [own for each in found for own in _pixels_of_each(each.labels)]
    merged = np.zeros(found[0].labels.size, np.int32)
    kept = []
    for nucleus in np.argsort(-quality, kind="stable").tolist():
        own = pixels[nucleus]
        free = own[merged[own] == 0]
        if free.size < max(LEAST_FREE * own.size, min_area_px):
            continue
        kept.append(quality[nucleus] * free.size / own.size)
        merged[free] = len(kept)
    number = np.zeros(len(kept) + 1, np.int32)
    good = find_worthwhile(np.array(kept)) + 1
    number[good] = np.arange(1, good.size + 1)
    return number[merged].reshape(found[0].labels.shape)


def _agreements(found: Sequence[Nuclei]) -> list[Floats]:
    """Return the agreement of the other scales on the nuclei of each scale."""
    total = [np.zeros(each.quality.size) for each in found]
    for one in range(len(found)):
        for other in range(one):
            matches = match(found[one].labels, found[other].labels)
            total[one] += matches.best_iou_of_true
            total[other] += matches.best_iou_of_predicted
    return [each / (len(found) - 1) for each in total]


def _pixels_of_each(labels: Labels) -> list[Integers]:
    """Return the pixels of each nucleus, as indices into the flattened labels."""
    pixels, starts = group_pixels(labels)
    return np.split(pixels, starts[1:]) if starts.size else []
