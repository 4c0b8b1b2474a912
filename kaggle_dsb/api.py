"""The Python interface: arrays in, arrays out.

All names are also available from ``kaggle_dsb`` itself::

    import kaggle_dsb as dsb

    labels = dsb.segment(image)
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition import rle, submission
from kaggle_dsb.competition.metric import score_image, score_images
from kaggle_dsb.files import InputError

if TYPE_CHECKING:
    from kaggle_dsb.dataset.samples import Sample
    from kaggle_dsb.instances.finder import NucleusFinder
    from kaggle_dsb.network.predict import Predictor

__all__ = [
    "decode",
    "encode",
    "load_dataset",
    "read_submission",
    "score",
    "segment",
    "write_submission",
]


def segment(image: ArrayLike, *, fast: bool = True, weights: str | Path | None = None) -> Labels:
    """Segment the nuclei of an image.

    Parameters
    ----------
    image
        (H, W) greyscale, (H, W, 3) RGB or (H, W, 4) RGBA, of any numeric type; alpha is ignored.
    fast
        Use one network without test-time augmentation. False averages all networks of the run,
        with the views and scales of its settings: several times slower, slightly more accurate.
    weights
        Folder of trained networks, such as ``runs/mine``; by default the bundled ones.

    Returns
    -------
    labels : (H, W) int32
        0 for background, 1..N for the nuclei.

    Raises
    ------
    InputError
        When the image has another shape or non-finite values, or there are no such networks.

    Notes
    -----
    The networks are loaded on the first call and cached.

    Examples
    --------
    >>> import kaggle_dsb as dsb
    >>> sample = dsb.load_dataset()[0]  # doctest: +SKIP
    >>> labels = dsb.segment(sample.image)  # doctest: +SKIP
    """
    from kaggle_dsb.instances.tiled import find_nuclei

    rgb = _to_8_bit_rgb(image)
    predictor, finder = _load_models(None if weights is None else Path(weights), fast=fast)
    (probability,) = predictor.predict([rgb])
    return find_nuclei(finder, probability, rgb)


@lru_cache(maxsize=2)
def _load_models(weights: Path | None, *, fast: bool) -> "tuple[Predictor, NucleusFinder]":
    from kaggle_dsb.network.load import load_finder, load_predictor
    from kaggle_dsb.workspace.run import BUNDLED, FAST_SETTINGS, find_run

    run = find_run(weights or BUNDLED)
    settings = run.load_settings(overrides=FAST_SETTINGS if fast else ())
    run = run.fast() if fast else run
    folds = list(run.networks)
    return (
        load_predictor(run, settings, folds=folds),
        load_finder(run, settings, folds=folds),
    )


def _to_8_bit_rgb(image: ArrayLike) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8, stretching the contrast of other bit depths."""
    from kaggle_dsb.dataset.stretch import to_8_bit

    array: NDArray[Any] = np.asarray(image)
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not is_image or array.size == 0 or array.dtype.kind not in "buif":
        raise InputError(
            f"image of shape {array.shape} and type {array.dtype}; expected numbers of shape "
            "(H, W), (H, W, 3) or (H, W, 4)"
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    channels = array[..., np.newaxis] if array.ndim == 2 else array[..., :3]
    rgb = to_8_bit(np.broadcast_to(channels, (*array.shape[:2], 3)))
    return np.ascontiguousarray(rgb)


def score(
    truth: ArrayLike | Mapping[str, ArrayLike], predicted: ArrayLike | Mapping[str, ArrayLike]
) -> float:
    """Score predicted labels against the ground truth with the competition's metric.

    Parameters
    ----------
    truth, predicted
        Labels (H, W) of one image, or of several by image id: integers, 0 for background.

    Returns
    -------
    score : float in [0, 1]
        The precision averaged over ten IoU thresholds, and over the images.

    Raises
    ------
    InputError
        When the sizes differ, an image has no prediction, or an array is not a label image.

    Examples
    --------
    >>> score([[1, 1, 0, 2]], [[5, 5, 0, 0]])
    0.5
    >>> score({"a": [[1, 1, 0, 2]], "b": [[1]]}, {"a": [[5, 5, 0, 0]], "b": [[1]]})
    0.75
    """
    if isinstance(truth, Mapping) != isinstance(predicted, Mapping):
        raise InputError(
            "truth and predicted must both be single label images, or both mappings by image id"
        )
    if isinstance(truth, Mapping) and isinstance(predicted, Mapping):
        return score_images(truth, predicted).mean
    return score_image(truth, predicted).score  # type: ignore[arg-type]


def encode(labels: ArrayLike) -> list[str]:
    """Run-length encode each nucleus of a label image.

    Parameters
    ----------
    labels
        (H, W) integers, 0 for background.

    Returns
    -------
    runs : list of str
        ``start length`` pairs of each nucleus, in the order of the labels. Pixels are numbered from
        1, down the columns.

    Raises
    ------
    InputError
        When the array is not a label image.

    Examples
    --------
    >>> encode([[1, 1, 9],
    ...         [0, 1, 9]])
    ['1 1 3 2', '5 2']
    """
    return rle.encode_labels(labels)


def decode(runs: Sequence[str], shape: tuple[int, int]) -> Labels:
    """Decode the run lengths of an image's nuclei to a label image.

    Parameters
    ----------
    runs
        As returned by `encode`.
    shape
        (H, W) of the image.

    Returns
    -------
    labels : (H, W) int32
        0 for background, 1..N for the nuclei.

    Raises
    ------
    InputError
        When the run lengths are invalid, a run extends beyond the image, or two nuclei share a
        pixel.

    Examples
    --------
    >>> decode(["1 1 3 2", "5 2"], (2, 3))
    array([[1, 1, 2],
           [0, 1, 2]], dtype=int32)
    """
    return rle.decode_labels([rle.parse_runs(text) for text in runs], shape)


def read_submission(
    path: str | Path, sizes: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Labels]:
    """Read a submission, or a solution, as label images.

    Parameters
    ----------
    path
        A CSV, or a zip or gzip of one.
    sizes
        (H, W) of each image by id. If omitted, the table must have the columns ``Height`` and
        ``Width``, like Kaggle's solutions.

    Returns
    -------
    labels : dict of str to (H, W) int32
        By image id.

    Raises
    ------
    InputError
        When the file cannot be read or is invalid.
    """
    if sizes is None:
        return submission.read_solution(Path(path))
    return submission.read_submission(Path(path), sizes)


def write_submission(path: str | Path, labels: Mapping[str, ArrayLike]) -> None:
    """Write label images as a submission for Kaggle.

    Parameters
    ----------
    path
        The CSV to write.
    labels
        Labels (H, W) by image id, written in this order.

    Raises
    ------
    InputError
        When the name does not end in ``.csv``, there is no image, or an id or label image is
        invalid; an existing file is left unchanged.
    """
    submission.write_submission(Path(path), labels)


def load_dataset(path: str | Path | None = None, *, set_name: str | None = None) -> "list[Sample]":
    """Load images with their labels.

    Parameters
    ----------
    path
        A folder or zip, in any layout that the command line accepts; by default a small synthetic
        set.
    set_name
        Load only this set, such as ``stage1_train``.

    Returns
    -------
    samples : list of Sample
        With ``id``, ``image`` (H, W, 3) uint8 and ``labels`` (H, W) int32, or None for an image
        without ground truth.

    Raises
    ------
    InputError
        When there is no such folder or set, or a file is invalid.
    """
    from kaggle_dsb.dataset.samples import list_sets, load_samples
    from kaggle_dsb.workspace.source import open_source

    with tempfile.TemporaryDirectory() as work:
        source = open_source(
            None if path is None else Path(path), work=Path(work), demo=path is None
        )
        names = list_sets(source.cache) if set_name is None else [set_name]
        return [sample for name in names for sample in load_samples(source.cache, name)]
