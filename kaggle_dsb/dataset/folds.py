"""Split the training images into folds without dividing a slide or well.

Many training images are crops of one larger image. Holding out one crop while training on its
neighbour would leak information, so whole groups are held out. Two criteria, both computed from
the pixels, put images into one group:

* **Neighbouring crops**: the last column (row) of one image continues in the first of another, as
  smoothly as between neighbouring columns within an image.
* **Same acquisition**: images of the same size with similar background and noise.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist, squareform

from kaggle_dsb.aliases import Image
from kaggle_dsb.dataset.groups import deal_groups
from kaggle_dsb.dataset.neighbours import find_neighbours
from kaggle_dsb.dataset.samples import COMPETITION_SOURCE
from kaggle_dsb.dataset.types import IMAGE_TYPES, image_type
from kaggle_dsb.files import InputError, replacing

COLUMNS = ["ImageId", "source", "type", "group", "fold"]
SAME_ACQUISITION_BELOW = {"fluorescence": 1.0, "tissue": 10.0, "brightfield": 10.0}


def acquisition_signature(image: Image) -> NDArray[np.float64]:
    """Describe an image's background and noise by 16 numbers, in grey levels.

    The 1, 10, 25, 50 and 75 % quantiles of each channel capture the illumination and stain of the
    background, and little of the objects; the median absolute Laplacian captures noise and
    sharpness.
    """
    quantiles = np.percentile(image.reshape(-1, 3), [1, 10, 25, 50, 75], axis=0).ravel()
    noise = np.median(np.abs(cv2.Laplacian(image.mean(axis=2, dtype=np.float32), cv2.CV_32F)))
    return np.append(quantiles / np.sqrt(quantiles.size), noise)


def group_images(images: Mapping[str, Image]) -> dict[str, int]:
    """Group the images that must stay in the same fold.

    Parameters
    ----------
    images : id → (H, W, 3) uint8

    Returns
    -------
    id → group
        Numbered from 0 in the order of their first image.

    Notes
    -----
    Neighbouring crops are joined into mosaics first. The mosaics are then clustered by the
    distance of their nearest signatures, with complete linkage, since single linkage chains a third
    of the training images into one group. Half of all neighbouring fluorescence crops are within a
    distance of 1, half of the bright ones within 13.
    """
    ids = list(images)
    row = {id_: n for n, id_ in enumerate(ids)}
    pairs = np.array([(row[p.first], row[p.second]) for p in find_neighbours(images)]).reshape(
        -1, 2
    )
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(ids), len(ids)))
    mosaic = connected_components(graph, directed=False)[1]
    groups = np.full(len(ids), -1)
    kinds = np.array([f"{image_type(i)} {i.shape}" for i in images.values()])
    signatures = np.stack([acquisition_signature(image) for image in images.values()])
    # All images of a mosaic have one size, and take the type of its first image.
    first_of_mosaic = np.unique(mosaic, return_index=True)[1]
    kind_of_mosaic = kinds[first_of_mosaic]
    for kind in np.unique(kinds):
        members = np.flatnonzero(kind_of_mosaic[mosaic] == kind)
        if members.size:
            limit = SAME_ACQUISITION_BELOW[kind.split()[0]]
            cluster = _cluster_mosaics(signatures[members], mosaic[members], limit)
            groups[members] = groups.max() + 1 + cluster
    return {id_: int(group) for id_, group in zip(ids, _number_densely(groups), strict=True)}


def _cluster_mosaics(
    signatures: NDArray[np.float64], mosaic: NDArray[np.int32], limit: float
) -> NDArray[np.int64]:
    """Cluster the images of one kind, (N, 16), keeping mosaics whole; clusters count from 0."""
    order = np.argsort(mosaic, kind="stable")
    starts = np.flatnonzero(np.diff(mosaic[order], prepend=-1))
    distance = cdist(signatures, signatures)[np.ix_(order, order)]
    nearest = np.minimum.reduceat(np.minimum.reduceat(distance, starts, axis=0), starts, axis=1)
    np.fill_diagonal(nearest, 0)
    if len(starts) == 1:
        return np.zeros(len(mosaic), dtype=np.int64)
    tree = linkage(squareform(nearest, checks=False), "complete")
    cluster_of_mosaic = fcluster(tree, limit, "distance") - 1
    return np.asarray(cluster_of_mosaic[np.unique(mosaic, return_inverse=True)[1]], dtype=np.int64)


def _number_densely(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Renumber groups from 0 without gaps, in order of first occurrence."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


def split_folds(
    images: Mapping[str, Image],
    *,
    n_folds: int,
    seed: int,
    source: str = COMPETITION_SOURCE,
    group_of: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Assign each image to a fold, grouped and stratified by image type.

    Parameters
    ----------
    images : id → (H, W, 3) uint8
    n_folds : int
        At least 2.
    seed : int
        The same seed gives the same folds.
    source : str
        Name of the data set that the images belong to.
    group_of : id → group, optional
        Known groups; computed by `group_images` by default.

    Returns
    -------
    DataFrame
        Columns ``ImageId``, ``source``, ``type``, ``group``, ``fold`` (from 0), sorted by
        ``ImageId``.

    Raises
    ------
    InputError
        When there are fewer groups than folds, or fewer than 2 folds.
    """
    ordered = {id_: images[id_] for id_ in sorted(images)}
    groups = group_of or group_images(ordered)
    numbers, names = pd.factorize(pd.Series([str(groups[id_]) for id_ in ordered]))
    n_groups = len(names)
    if not 2 <= n_folds <= n_groups:
        fewer = f"set folds.n_folds to at most {n_groups}, or " if n_groups > 1 else ""
        raise InputError(
            f"cannot make {n_folds} folds of {len(ordered)} images in {n_groups} "
            f"group{'s' * (n_groups != 1)}: {fewer}write groups.csv (ImageId,group) beside the "
            "images, with a group for each if they are unrelated"
        )
    table = pd.DataFrame(
        {
            "ImageId": list(ordered),
            "source": source,
            "type": [image_type(image) for image in ordered.values()],
            "group": numbers,
        }
    )
    # Shuffled here: scikit-learn 1.6 shuffles the sizes of the groups, not the groups.
    order = np.arange(n_groups)
    np.random.RandomState(seed).shuffle(order)
    shuffled = np.argsort(order)[numbers]
    # A type with fewer images than folds cannot be stratified: it joins the most common type.
    count = table["type"].map(table["type"].value_counts())
    stratum = table["type"].where(count >= n_folds, table["type"].mode()[0])
    table["fold"] = _assign_folds(list(ordered), stratum, shuffled, n_folds)
    return table


def _assign_folds(
    ids: list[str], stratum: "pd.Series[str]", groups: NDArray[np.int64], n_folds: int
) -> NDArray[np.int64]:
    if stratum.nunique() == 1:
        # scikit-learn takes the groups of a single stratum in any order, not the largest first.
        in_order = np.argsort(groups, kind="stable")
        fold_of = deal_groups({ids[row]: groups[row] for row in in_order}, n_folds)
        return np.array([fold_of[id_] for id_ in ids])
    from sklearn.model_selection import StratifiedGroupKFold

    folds = np.full(len(groups), -1)
    splits = StratifiedGroupKFold(n_folds).split(groups, stratum, groups)
    for fold, (_, held_out) in enumerate(splits):
        folds[held_out] = fold
    return folds


def write_folds(path: Path, folds: pd.DataFrame) -> None:
    """Write the table of folds as CSV."""
    with replacing(path) as temporary:
        folds.to_csv(temporary, index=False)


def hold_out_alike(folds: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether the images in both fold tables are assigned to the same folds."""
    key = ["source", "ImageId"]
    both = folds.merge(other, on=key, suffixes=("", "_other"))
    return bool((both["fold"] == both["fold_other"]).all())


def select_source(folds: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the rows of one source, or those of the competition if the source has none.

    Fold tables of older versions name no source.
    """
    name = source if (folds["source"] == source).any() else COMPETITION_SOURCE
    return folds[folds["source"] == name].reset_index(drop=True)


def read_folds(path: Path) -> pd.DataFrame:
    """Read and validate a fold table.

    Raises
    ------
    InputError
        When the file is missing or not a fold table, has a missing or duplicate id, an unknown
        type, or a group or fold that is not a whole number, or splits a group.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected a table of folds, such as runs/NAME/folds.csv"
        )
    try:
        # An image or a source may be named NA.
        names = {"ImageId": str, "source": str}
        folds = pd.read_csv(path, dtype=names, keep_default_na=False, na_values="")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())  # pandas writes several lines
        raise InputError(f"{path}: cannot be read as a table of folds ({reason})") from error
    if list(folds.columns) == [name for name in COLUMNS if name != "source"]:
        folds.insert(1, "source", COMPETITION_SOURCE)
    if list(folds.columns) != COLUMNS:
        raise InputError(f"{path}: has columns {list(folds.columns)}, must have {COLUMNS}")
    if not isinstance(folds.index, pd.RangeIndex):
        raise InputError(f"{path}: has lines of more than {len(COLUMNS)} values")
    _require_whole_numbers(path, folds)
    repeated = folds["ImageId"][folds.duplicated(["source", "ImageId"])]
    if len(repeated):
        raise InputError(
            f"{path}: lists image {_quote(repeated.iloc[0])} twice, must list each once"
        )
    unknown = set(folds["type"].astype(str)) - set(IMAGE_TYPES)
    if unknown:
        raise InputError(
            f"{path}: has type {unknown.pop()!r}, must be one of {', '.join(IMAGE_TYPES)}"
        )
    torn = folds.groupby("group")["fold"].nunique()
    if (torn > 1).any():
        raise InputError(f"{path}: splits group {torn.idxmax()} across folds, must keep it whole")
    return folds


def _require_whole_numbers(path: Path, folds: pd.DataFrame) -> None:
    """Raise ``InputError`` for a missing id or source, or a group or fold that is no integer."""
    for name in ("ImageId", "source"):
        if folds[name].isna().any():
            line = int(folds[name].isna().to_numpy().argmax()) + 2
            raise InputError(f"{path}: line {line} has no {name}")
    for name in ("group", "fold"):
        column = pd.to_numeric(folds[name], errors="coerce")
        wrong = ~(column >= 0) | (column % 1 != 0)
        if wrong.any():
            line = int(wrong.to_numpy().argmax()) + 2
            raise InputError(
                f"{path}: line {line} has {name} {_quote(folds[name].iloc[line - 2])}, must be a "
                "non-negative integer"
            )


def _quote(value: object) -> str:
    """Format a value for a message, quoted if it is not printable."""
    text = str(value)
    return text if text.isprintable() else repr(text)
