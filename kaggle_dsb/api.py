"""The Python interface: arrays in, arrays out.

All names are also available from ``kaggle_dsb`` itself::

    import kaggle_dsb as dsb

    labels = dsb.segment(image)
"""

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition import rle, submission
from kaggle_dsb.competition.labels import check_labels
from kaggle_dsb.competition.metric import score_image, score_images
from kaggle_dsb.files import InputError, user_cache

if TYPE_CHECKING:
    import pandas as pd

    from kaggle_dsb.dataset.read_options import ReadKeywords
    from kaggle_dsb.dataset.samples import Sample
    from kaggle_dsb.instances.finder import NucleusFinder
    from kaggle_dsb.network.predict import Predictor

__all__ = [
    "decode",
    "encode",
    "load_dataset",
    "measure",
    "read_submission",
    "score",
    "segment",
    "write_submission",
]

_KEYWORDS = {
    "--channel ": "channel=",
    "--plane ": "plane=",
    "--project max": "project='max'",
    "--connected-components": "connected_components=True",
}
"""What options of the command line, which messages name, are in Python."""


def segment(
    image: ArrayLike,
    *,
    fast: bool = True,
    weights: str | Path | None = None,
    diameter_px: float | None = None,
) -> Labels:
    """Segment the nuclei of an image.

    Parameters
    ----------
    image
        (H, W) greyscale, (H, W, 3) RGB or (H, W, 4) RGBA, of any numeric type; alpha is ignored.
    fast
        Use one network at one scale, without test-time augmentation. False combines all networks of
        the run, with the views and scales of its settings: several times slower, more accurate.
    weights
        Folder of trained networks, such as ``runs/mine``, or ``bundled``, the default.
    diameter_px
        Typical diameter of the nuclei, in pixels, if known; by default it is estimated. The
        diameter of a nucleus is that of a disc of the same area. Too small a value costs less
        than too large a one.

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

    The defaults are made for speed, those of ``kaggle-dsb submit`` for accuracy: it combines all
    networks of the newest complete and validated run in ``runs``, else of the bundled ones. Its
    nuclei therefore differ from these. ``kaggle-dsb submit --fast --weights FOLDER`` uses the same
    network as this function with ``weights=FOLDER``.

    Examples
    --------
    >>> import kaggle_dsb as dsb
    >>> sample = dsb.load_dataset()[0]  # doctest: +SKIP
    >>> labels = dsb.segment(sample.image)  # doctest: +SKIP
    """
    from kaggle_dsb.instances.tiled import find_nuclei

    rgb = _to_8_bit_rgb(image)
    predictor, finder = _load_models(weights, fast=fast)
    if diameter_px is not None:
        predictor = predictor.with_diameter(_require_diameter(diameter_px))
    (probability,) = predictor.predict([rgb])
    return find_nuclei(finder, probability, rgb)


def _require_diameter(diameter_px: float) -> float:
    if not (isinstance(diameter_px, Real) and 0 < diameter_px < np.inf):
        raise InputError(
            f"diameter_px = {diameter_px!r}; expected a positive number of pixels, or None to "
            "estimate it"
        )
    return float(diameter_px)


def _load_models(weights: str | Path | None, *, fast: bool) -> "tuple[Predictor, NucleusFinder]":
    from kaggle_dsb.workspace.run import BUNDLED, find_run

    if not isinstance(weights, str | os.PathLike | None):
        raise InputError(f"weights = {weights!r}; expected the folder of a run, or None")
    run = find_run(Path(weights) if weights else BUNDLED)
    files = sorted(path for path in run.folder.iterdir() if path.is_file())
    state = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _load_run(run.folder.resolve(), state, fast=fast)


@lru_cache(maxsize=2)
def _load_run(
    folder: Path, state: tuple[tuple[str, int, int], ...], *, fast: bool
) -> "tuple[Predictor, NucleusFinder]":
    """Load the networks of a run; ``state`` tells whether its files have changed since."""
    from kaggle_dsb.network.load import load_finder, load_predictor
    from kaggle_dsb.workspace.run import FAST_SETTINGS, find_run

    run = find_run(folder)
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

    array = _require_image(image)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    channels = array[..., np.newaxis] if array.ndim == 2 else array
    rgb = to_8_bit(np.broadcast_to(channels, (*array.shape[:2], 3)))
    return np.ascontiguousarray(rgb)


def _require_image(image: ArrayLike) -> NDArray[Any]:
    """Return an image as (H, W), or (H, W, 3) without alpha, of any numeric type."""
    if isinstance(image, str | os.PathLike):
        name = os.fspath(image)
        raise InputError(
            f"{name!r} is a file name; read the image first, as in dsb.load_dataset({name!r})[0]"
            ".image"
        )
    try:
        array: NDArray[Any] = np.asarray(image)
    except ValueError:  # rows of different lengths
        raise InputError("image is no array; expected numbers of shape (H, W)") from None
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if is_image and array.size and array.dtype.kind in "buif":
        has_colours = array.ndim == 3 and array.shape[2] > 1
        return array[..., :3] if has_colours else array.reshape(array.shape[:2])
    is_turned = array.ndim == 3 and array.shape[0] in (1, 3, 4)
    raise InputError(
        f"image of shape {array.shape} and type {array.dtype}; expected numbers of shape (H, W), "
        "(H, W, 3) or (H, W, 4)"
        + ("; move the channels last with np.moveaxis(image, 0, -1)" if is_turned else "")
    )


def measure(image: ArrayLike, labels: ArrayLike) -> "pd.DataFrame":
    """Measure position, size, shape and intensity of each nucleus of an image.

    Parameters
    ----------
    image
        (H, W) greyscale, (H, W, 3) RGB or (H, W, 4) RGBA, of any numeric type; alpha is ignored.
    labels
        (H, W) integers, 0 for background; gaps between labels are fine.

    Returns
    -------
    table : pandas.DataFrame
        A row for each nucleus, in the order of the labels. ``label``; ``centroid_row`` and
        ``centroid_column``, from 0 at the centre of the first pixel; ``area_px``;
        ``equivalent_diameter_px``, that of a disc of the same area; ``major_axis_px``,
        ``minor_axis_px`` and ``eccentricity`` of the ellipse with the same second moments;
        ``solidity``, the share of the convex hull that the nucleus covers; and
        ``mean_intensity`` of a greyscale image, or ``mean_intensity_red``, ``…_green`` and
        ``…_blue``, in the image's own units.

    Raises
    ------
    InputError
        When the arrays are not an image and a label image of the same height and width.

    Notes
    -----
    These are properties of scikit-image's ``regionprops_table``; it and pandas must be installed.
    ``kaggle-dsb submit --export csv`` writes the same table for all images of a set.

    Examples
    --------
    >>> table = measure([[7, 9, 0], [0, 0, 4]], [[1, 1, 0], [0, 0, 3]])
    >>> table[["label", "centroid_column", "area_px", "mean_intensity"]].values.tolist()
    [[1.0, 0.5, 2.0, 8.0], [3.0, 2.0, 1.0, 4.0]]
    """
    import pandas as pd

    from kaggle_dsb.dataset.measurements import measure_nuclei

    array, checked = _require_image(image), check_labels(labels)
    if array.shape[:2] != checked.shape:
        raise InputError(
            f"image of shape {array.shape} and labels of shape {checked.shape}; their heights and "
            "widths must be equal"
        )
    return pd.DataFrame(measure_nuclei(array, checked))


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
    is_list = isinstance(runs, Iterable) and not isinstance(runs, str)
    if not is_list or not all(isinstance(text, str) for text in runs):
        raise InputError(
            f"{runs!r:.60}; expected a list of strings, one for each nucleus, as encode returns it"
        )
    return rle.decode_labels([rle.parse_runs(text) for text in runs], _require_shape(shape))


def _require_shape(shape: tuple[int, int]) -> tuple[int, int]:
    try:
        sides = np.asarray(shape)
    except ValueError:  # of sequences of different lengths
        sides = np.asarray("no shape")
    if sides.shape != (2,) or sides.dtype.kind not in "ui" or (sides < 0).any():
        raise InputError(f"shape {shape!r}; expected (height, width) in pixels")
    return int(sides[0]), int(sides[1])


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
    if not isinstance(labels, Mapping):
        raise InputError(f"labels of type {type(labels).__name__}; expected a mapping by image id")
    submission.write_submission(Path(path), labels)


def load_dataset(
    path: str | Path | None = None,
    *,
    set_name: str | None = None,
    limit: int | None = None,
    work: str | Path | None = None,
    **reading: "Unpack[ReadKeywords]",
) -> "list[Sample]":
    """Load images with their labels.

    Parameters
    ----------
    path
        A folder, zip or image, in any layout that the command line accepts; by default a small
        synthetic set.
    set_name
        Load only this set, such as ``stage1_train``; the others are not even read.
    limit
        Load only this many images of each set.
    work
        Folder of caches, such as ``work``, that of the command line. By default only the
        synthetic set is cached, in ``~/.cache/kaggle_dsb``.
    **reading
        How to read stacks and binary masks. ``channel=2`` and ``plane=3`` select from a stack,
        counted from 1, and ``project="max"`` projects its planes; ``connected_components=True``
        reads each connected component of a binary mask as a nucleus.

    Returns
    -------
    samples : list of Sample
        By set and id. The labels of a test set are those of its solution, such as
        ``stage1_solution.csv``, if the data hold one.

    Raises
    ------
    InputError
        When there is no such folder or set, or a file is invalid.

    Examples
    --------
    >>> import kaggle_dsb as dsb
    >>> cells = dsb.load_dataset("stacks", channel=2, project="max")  # doctest: +SKIP
    """
    from kaggle_dsb.dataset.read_options import ReadOptions
    from kaggle_dsb.dataset.samples import list_sets
    from kaggle_dsb.workspace.source import load_with_truth, open_set

    if limit is not None and not (isinstance(limit, int) and limit >= 1):
        raise InputError(f"limit = {limit!r}; expected at least 1 image, or None for all")
    options = ReadOptions(**reading)
    data = None if path is None else Path(path)
    with _opening_work(data, work) as folder:
        try:
            source = open_set(data, set_name, work=folder, limit=limit, options=options)
            sets = list_sets(source.cache)
            samples = [sample for name in sets for sample in load_with_truth(source, name)]
        except InputError as error:
            raise InputError(_name_keywords(str(error))) from None
    for warning in source.prepared.warnings:
        warnings.warn(_name_keywords(warning), stacklevel=2)
    return samples


@contextmanager
def _opening_work(data: Path | None, work: str | Path | None) -> Iterator[Path]:
    """Yield the folder of caches: the one named, that of the demo set, or a temporary one."""
    if work is not None:
        yield Path(work)
    elif data is None:
        yield user_cache("demo")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def _name_keywords(message: str) -> str:
    """Name the keyword arguments of `load_dataset` where a message names options."""
    for option, keyword in _KEYWORDS.items():
        message = message.replace(option, keyword)
    return message
