"""The outcome of each nucleus: hit, missed, invented, merged or split.

This module alone defines these terms. A missed nucleus is a false negative, an invented one a
false positive, both at the competition's lowest threshold, IoU 0.5.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.competition.metric import Matches, match

Outcome = Literal["hit", "missed", "invented", "merged", "split"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
HIT_ABOVE_PERCENT = 50

MEANINGS: dict[Outcome, str] = {
    "hit": "true positive: a predicted nucleus has IoU > 0.5 with this true nucleus",
    "missed": "false negative: no predicted nucleus has IoU > 0.5 with this true nucleus",
    "invented": "false positive: no true nucleus has IoU > 0.5 with this predicted nucleus",
    "merged": "one predicted nucleus covers more than half of several true ones",
    "split": "several predicted nuclei lie more than half inside one true nucleus",
}

COLOURS: dict[Outcome, str] = {
    "hit": "#2273f5",
    "missed": "#ff3312",
    "invented": "#ffee00",
    "merged": "#f0a6ff",
    "split": "#00f0c0",
}
"""Clearly visible on dark and, with a dark rim, on bright images.

Any two differ by a CIEDE2000 of at least 19 with deuteranopia, protanopia or tritanopia (simulated
after Machado et al., IEEE TVCG 2009), and of 34 with normal colour vision.
"""

LETTERS: dict[Outcome, str] = {
    "hit": "",
    "missed": "M",
    "invented": "I",
    "merged": "G",
    "split": "S",
}
"""Letters drawn on nuclei in addition to the colour; a hit needs none."""


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of an image's nuclei.

    Attributes
    ----------
    true, predicted : dict of int to Outcome
        By label.
    true_iou, predicted_iou : dict of int to float
        The largest IoU of each true nucleus with any predicted one, and vice versa.
    """

    true: dict[int, Outcome]
    predicted: dict[int, Outcome]
    true_iou: dict[int, float]
    predicted_iou: dict[int, float]

    def counts(self) -> dict[Outcome, int]:
        """Count the nuclei of each outcome.

        Notes
        -----
        Hit, missed, merged and split count true nuclei, so they sum to the number of true nuclei;
        invented counts predicted ones.
        """
        true, predicted = Counter(self.true.values()), Counter(self.predicted.values())
        return {name: (predicted if name == "invented" else true)[name] for name in OUTCOMES}


def find_outcomes(truth: ArrayLike, predicted: ArrayLike) -> Outcomes:
    """Determine the outcome of each nucleus.

    Parameters
    ----------
    truth, predicted
        (H, W) integers, 0 for background.

    Returns
    -------
    Outcomes

    Notes
    -----
    A pair with an IoU above 0.5 is a hit. Of the others,

    * a predicted nucleus that covers more than half of each of several true ones has **merged**
      them;
    * a true nucleus that contains more than half of each of several predicted ones is **split**;
    * any other true nucleus is **missed** (a false negative), any other predicted one **invented**
      (a false positive). A pair with too little overlap for a hit counts as both.

    Examples
    --------
    >>> find_outcomes([[1, 1, 2, 2, 0, 3]], [[1, 1, 1, 1, 0, 0]]).counts()
    {'hit': 0, 'missed': 1, 'invented': 0, 'merged': 2, 'split': 0}
    """
    matches = match(truth, predicted)
    pairs = _Pairs(matches)
    true: list[Outcome] = ["missed"] * matches.true_labels.size
    predictions: list[Outcome] = ["invented"] * matches.predicted_labels.size
    marks: list[tuple[Outcome, NDArray[np.bool_]]] = [
        ("split", pairs.are_split),
        ("merged", pairs.are_merged),
        ("hit", pairs.hits),
    ]
    for outcome, chosen in marks:  # later ones take precedence
        for number in pairs.true[chosen].tolist():
            true[number] = outcome
        for number in pairs.predicted[chosen].tolist():
            predictions[number] = outcome
    return Outcomes(
        true=dict(zip(matches.true_labels.tolist(), true, strict=True)),
        predicted=dict(zip(matches.predicted_labels.tolist(), predictions, strict=True)),
        true_iou=_by_label(matches.true_labels, matches.best_iou_of_true),
        predicted_iou=_by_label(matches.predicted_labels, matches.best_iou_of_predicted),
    )


class _Pairs:
    """The overlapping pairs of nuclei, and which are hits, merged or split."""

    def __init__(self, matches: Matches) -> None:
        self.true, self.predicted = matches.true_index, matches.predicted_index
        shared = matches.intersection_px
        true_is_covered = 2 * shared > matches.true_areas_px[self.true]
        part_is_inside = 2 * shared > matches.predicted_areas_px[self.predicted]
        n_covered = np.bincount(self.predicted, weights=true_is_covered, minlength=1)
        n_inside = np.bincount(self.true, weights=part_is_inside, minlength=1)
        self.hits = matches.hits_at(HIT_ABOVE_PERCENT)
        self.are_merged = true_is_covered & (n_covered[self.predicted] > 1)
        self.are_split = part_is_inside & (n_inside[self.true] > 1)


def _by_label(labels: NDArray[np.int64], values: NDArray[np.float64]) -> dict[int, float]:
    return dict(zip(labels.tolist(), values.round(3).tolist(), strict=True))
