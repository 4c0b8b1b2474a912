"""Probability maps on disk."""

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.files import InputError, replacing

Real = TypeVar("Real", bound=np.floating)

CHANNELS = ("body", "border", "depth")  # of a probability (n_scales, C, H, W)


def save_probability(path: Path, probability: NDArray[np.floating]) -> None:
    """Save the probability of an image, (n_scales, C, H, W), in half precision."""
    half = np.ascontiguousarray(probability, np.float16)
    with replacing(path) as temporary, temporary.open("wb") as file:
        # The format of np.save, whose error on a full disk does not name the cause.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(half))
        file.write(half.data)


def load_probability(path: Path) -> NDArray[np.float32]:
    """Load a probability that :func:`save_probability` saved, (n_scales, C, H, W) float32.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    try:
        probability = np.asarray(np.load(path), dtype=np.float32)
    except (OSError, ValueError, EOFError) as error:
        # NumPy takes any other file for a pickle, and would suggest to load it unsafely.
        reason = "it is no array file" if "pickle" in str(error) else error
        raise InputError(
            f"{path}: cannot be read as a probability map ({reason}); remove it and predict again"
        ) from None
    if probability.ndim == 3:  # versions before 0.9 saved one map, (C, H, W)
        probability = probability[np.newaxis]
    if probability.ndim != 4 or probability.shape[1] != len(CHANNELS):
        raise InputError(
            f"{path}: cannot be read as a probability map (its shape is {probability.shape}); "
            "remove it and predict again"
        )
    return probability


def mean_over_scales(probability: NDArray[Real]) -> NDArray[Real]:
    """Return the mean (…) of a probability, or part of it, (n_scales, …); of one scale, a view."""
    mean: NDArray[Real] = probability[0] if len(probability) == 1 else probability.mean(axis=0)
    return mean
