"""Confidence intervals of scores, and comparison of two runs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.files import InputError

N_RESAMPLES = 10_000
LEAST_IMAGES = 6  # with which a two-sided sign test reaches 5 %
_BLOCK = 500  # resamples drawn at a time, to bound the memory
_PERCENTILES = (2.5, 97.5)
_IDS_IN_MESSAGE = 3


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of runs A and B on the same images.

    Attributes
    ----------
    n_images : int
    mean_a, mean_b : float
    difference : Interval
        B - A, in score.
    share_better, share_worse : float, in [0, 1]
        Fractions of images that B scores better and worse than A; the rest are equal.
    """

    n_images: int
    mean_a: float
    mean_b: float
    difference: Interval
    share_better: float
    share_worse: float

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if the interval excludes zero, else ``undecided``.

        So are fewer than six images, even if all change alike: by chance 2 in 32 sets of five do.
        """
        if self.n_images < LEAST_IMAGES:
            return "undecided"
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "undecided"

    def sentence(self, a: str = "A", b: str = "B") -> str:
        """Describe the comparison in one line, with names for the runs.

        Examples
        --------
        >>> gain = Interval(0.008, 0.003, 0.013)
        >>> Comparison(664, 0.57, 0.578, gain, 0.61, 0.3).sentence()
        'B is better than A by 0.008, 95 % CI 0.003 to 0.013, better on 61 % of 664 images'
        """
        sign, low, high = 1, self.difference.low, self.difference.high
        if self.verdict == "worse":
            sign, low, high = -1, -high, -low
        shift = f"{sign * self.difference.mean:.3f}, 95 % CI {low:.3f} to {high:.3f}"
        shares = f"better on {self.share_better:.0%} of {self.n_images} images".replace("%", " %")
        shares = shares.removesuffix("s") if self.n_images == 1 else shares
        if self.verdict == "undecided":
            return f"{b} does not differ significantly from {a}: difference {shift}, {shares}"
        return f"{b} is {self.verdict} than {a} by {shift}, {shares}"


def bootstrap_mean(values: NDArray[np.float64], *, seed: int = 0) -> Interval:
    """Return the mean of independent values with its 95 % bootstrap interval.

    Parameters
    ----------
    values : (n,) float64
    seed : int
        The same seed gives the same interval.

    Notes
    -----
    The percentile interval of 10,000 resamples [1]_. Images of one slide are correlated, so the
    true uncertainty about new slides is larger than the interval.

    References
    ----------
    .. [1] B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Examples
    --------
    >>> bootstrap_mean(np.full(5, 0.5))
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if not values.size:
        raise InputError("no values to average; at least one image is needed")
    random = np.random.default_rng(seed)
    # A resample's mean depends only on how often each value is drawn.
    shares = np.full(values.size, 1 / values.size)
    means = [
        random.multinomial(values.size, shares, _BLOCK) @ values / values.size
        for _ in range(N_RESAMPLES // _BLOCK)
    ]
    low, high = np.percentile(np.concatenate(means), _PERCENTILES)
    return Interval(float(values.mean()), float(low), float(high))


def compare_scores(a: pd.Series, b: pd.Series, *, seed: int = 0) -> Comparison:
    """Compare two runs by a paired bootstrap over the images.

    Parameters
    ----------
    a, b : Series of float
        Score of each image, by image id; both must have the same images.
    seed : int

    Raises
    ------
    InputError
        When the images differ.

    Notes
    -----
    Images are resampled with both scores, so what makes an image hard for both runs cancels, and a
    small gain is detected with far fewer images than with two separate intervals.
    """
    odd = sorted(set(a.index) ^ set(b.index))
    if odd:
        shown = ", ".join(odd[:_IDS_IN_MESSAGE]) + (", ..." if len(odd) > _IDS_IN_MESSAGE else "")
        raise InputError(
            f"the runs scored different images: {len(odd)} of {len(set(a.index) | set(b.index))} "
            f"are in only one of them ({shown}); score both on the same images"
        )
    first, second = a.to_numpy(np.float64), b.reindex(a.index).to_numpy(np.float64)
    change = second - first
    return Comparison(
        n_images=len(change),
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=bootstrap_mean(change, seed=seed),
        share_better=float((change > 0).mean()),
        share_worse=float((change < 0).mean()),
    )
