"""Pairs of label images whose score is known by eye, for every test that needs one.

An image is drawn as rows of digits; a dot is background.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def draw(*rows: str) -> NDArray[np.int32]:
    """Turn rows such as ``"11.2"`` into labels."""
    return np.array([[int(sign.replace(".", "0")) for sign in row] for row in rows], dtype=np.int32)


@dataclass(frozen=True)
class Case:
    """A true and a predicted label image, and what they must score."""

    truth: NDArray[np.int32]
    predicted: NDArray[np.int32]
    hits: tuple[int, ...]
    score: float


def case(truth: list[str], predicted: list[str], hits: tuple[int, ...], score: float) -> Case:
    return Case(draw(*truth), draw(*predicted), hits, score)


CASES = {
    "same": case(
        ["11.22", "11.22", ".....", "333.."],
        ["11.22", "11.22", ".....", "333.."],
        hits=(3,) * 10,
        score=1.0,
    ),
    "missed": case(
        ["11.22", "11.22"],
        ["11...", "11..."],
        hits=(1,) * 10,
        score=1 / 2,
    ),
    "invented": case(
        ["11...", "11..."],
        ["11.22", "11.33"],
        hits=(1,) * 10,
        score=1 / 3,
    ),
    "merged": case(
        ["1122", "1122"],
        ["1111", "1111"],
        hits=(0,) * 10,
        score=0.0,
    ),
    "split at exactly 0.5": case(
        ["1111", "1111"],
        ["1122", "1122"],
        hits=(0,) * 10,
        score=0.0,
    ),
    # Three of four pixels: IoU 0.75 is above 50, 55, 60, 65 and 70, and not above 75.
    "three quarters": case(
        ["1111"],
        ["111."],
        hits=(1,) * 5 + (0,) * 5,
        score=0.5,
    ),
    # Nineteen of twenty pixels: IoU 0.95 is above all thresholds but the last.
    "nineteen in twenty": case(
        ["1111111111", "1111111111"],
        ["1111111111", "111111111."],
        hits=(1,) * 9 + (0,),
        score=0.9,
    ),
    "gaps in labels": case(
        ["11.22", ".....", "333.."],
        ["22.99", ".....", "111.."],
        hits=(3,) * 10,
        score=1.0,
    ),
    "no background": case(
        ["1122", "1133"],
        ["3311", "3322"],
        hits=(3,) * 10,
        score=1.0,
    ),
    "no background, gaps in labels": case(
        ["1122", "1133"],
        ["1122", "1199"],
        hits=(3,) * 10,
        score=1.0,
    ),
    "one nucleus fills the image": case(
        ["111", "111"],
        ["777", "777"],
        hits=(1,) * 10,
        score=1.0,
    ),
    "one pixel": case(
        ["....", ".1.."],
        ["....", ".1.."],
        hits=(1,) * 10,
        score=1.0,
    ),
    "one pixel beside another": case(
        ["....", ".1.."],
        ["....", "..1."],
        hits=(0,) * 10,
        score=0.0,
    ),
    "both empty": case(
        ["...", "..."],
        ["...", "..."],
        hits=(0,) * 10,
        score=1.0,
    ),
    "empty truth": case(
        ["...", "..."],
        ["1..", "..."],
        hits=(0,) * 10,
        score=0.0,
    ),
    "empty prediction": case(
        ["1..", "..."],
        ["...", "..."],
        hits=(0,) * 10,
        score=0.0,
    ),
}
