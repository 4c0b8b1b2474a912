"""What happened to each nucleus: hit, missed, invented, merged or split."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.competition.metric import Matches, match

Outcome = Literal["hit", "missed", "invented", "merged", "split"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
HIT_ABOVE_PERCENT = 50

COLOURS: dict[Outcome, str] = {
    "hit": "#56b4e9",
    "missed": "#ff7a1a",
    "invented": "#f0e442",
    "merged": "#e377c2",
    "split": "#2fd49b",
}
"""After Okabe and Ito's palette for the colour-blind, made lighter to show on dark images."""

LETTERS: dict[Outcome, str] = {
    "hit": "",
    "missed": "M",
    "invented": "I",
    "merged": "G",
    "split": "S",
}
"""What stands on a nucleus beside its colour; a hit needs no letter."""


@dataclass(frozen=True)
class Outcomes:
    """What happened to the nuclei of an image.

    Attributes
    ----------
    true, predicted : dict of int to Outcome
        By label.
    true_iou, predicted_iou : dict of int to float
        The largest intersection over union of each with any nucleus of the other side.
    """

    true: dict[int, Outcome]
    predicted: dict[int, Outcome]
    true_iou: dict[int, float]
    predicted_iou: dict[int, float]

    def counts(self) -> dict[Outcome, int]:
        """Count what happened.

        Notes
        -----
        Hit, missed, merged and split count true nuclei, and so add up to all that are there;
        invented counts predicted ones.
        """
        true, predicted = Counter(self.true.values()), Counter(self.predicted.values())
        return {name: (predicted if name == "invented" else true)[name] for name in OUTCOMES}


def find_outcomes(truth: ArrayLike, predicted: ArrayLike) -> Outcomes:
    """Tell what happened to each nucleus.

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
    * a true nucleus that holds more than half of each of several predicted ones is **split**;
    * a true nucleus is else **missed**, a predicted one **invented**. A pair that overlaps too
      little to hit is both.

    Examples
    --------
    >>> find_outcomes([[1, 1, 2, 2, 0, 3]], [[1, 1, 1, 1, 0, 0]]).counts()
    {'hit': 0, 'missed': 1, 'invented': 0, 'merged': 2, 'split': 0}
    """
    matches = match(truth, predicted)
    pairs = _Pairs(matches)
    true: list[Outcome] = ["missed"] * matches.true_labels.size
    found: list[Outcome] = ["invented"] * matches.predicted_labels.size
    marks: list[tuple[Outcome, NDArray[np.bool_]]] = [
        ("split", pairs.are_split),
        ("merged", pairs.are_merged),
        ("hit", pairs.hits),
    ]
    for outcome, chosen in marks:  # a later one counts more
        for number in pairs.true[chosen].tolist():
            true[number] = outcome
        for number in pairs.predicted[chosen].tolist():
            found[number] = outcome
    return Outcomes(
        true=dict(zip(matches.true_labels.tolist(), true, strict=True)),
        predicted=dict(zip(matches.predicted_labels.tolist(), found, strict=True)),
        true_iou=_by_label(matches.true_labels, matches.best_iou_of_true),
        predicted_iou=_by_label(matches.predicted_labels, matches.best_iou_of_predicted),
    )


class _Pairs:
    """The overlapping pairs, and what each means."""

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
