"""Combine labelled data sets: folds over all of them, and sampling weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.folds import COLUMNS, group_images, split_folds
from kaggle_dsb.dataset.groups import GROUPS_FILE, deal_groups, group_by_name
from kaggle_dsb.dataset.samples import COMPETITION_SOURCE, Sample, load_samples
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.files import InputError
from kaggle_dsb.workspace.source import (
    Source,
    read_own_groups,
    require_distinct_names,
    require_train_set,
)


@dataclass(frozen=True)
class LabelledSource:
    """A data set to train on.

    Attributes
    ----------
    name : str
    samples : sequence of Sample
        With labels.
    group_of : dict of str to str, optional
        The group of each image; None to find the groups from the pixels.
    grouped_by : str
        Where the groups come from: ``groups.csv``, ``file names`` or ``pixels``.
    """

    name: str
    samples: Sequence[Sample]
    group_of: dict[str, str] | None = None
    grouped_by: str = "pixels"

    def describe_groups(self) -> str:
        """Return the number of groups and where they come from, in words."""
        groups = self.group_of or group_images({s.id: s.image for s in self.samples})
        return f"{len(set(groups.values()))} from {self.grouped_by}"


@dataclass(frozen=True)
class FoldData:
    """The training images and the held-out images of a fold.

    Attributes
    ----------
    train : sequence of Sample
    train_weight : sequence of float
        The relative sampling weight of each image.
    held_out : sequence of Sample
        Empty for a network trained on everything.
    """

    train: Sequence[Sample]
    train_weight: Sequence[float]
    held_out: Sequence[Sample] = ()


def load_sources(main: Source, extra: Sequence[Source] = ()) -> list[LabelledSource]:
    """Load the data sets of a training, the main one first.

    Raises
    ------
    InputError
        When a set has no labels, two have the same name, or a ``groups.csv`` cannot be used.
    """
    require_distinct_names([main, *extra])
    return [_load_source(source) for source in (main, *extra)]


def _load_source(source: Source) -> LabelledSource:
    samples = load_samples(source.cache, require_train_set(source))
    if source.dataset_name == COMPETITION_SOURCE:
        return LabelledSource(COMPETITION_SOURCE, samples)
    ids = [sample.id for sample in samples]
    if groups := read_own_groups(source, ids):
        return LabelledSource(source.dataset_name, samples, groups, GROUPS_FILE)
    named = group_by_name(ids)
    return LabelledSource(source.dataset_name, samples, named, "file names" if named else "pixels")


def make_folds(
    sources: Sequence[LabelledSource], settings: Settings, *, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Assign the images of all sources to folds.

    Parameters
    ----------
    sources : sequence of LabelledSource
        The main one first.
    settings : Settings
        Only ``folds`` is used.
    known : DataFrame, optional
        An existing table of folds, which is kept; a source with an image in it is not split again.
        Its number of folds counts only if it holds the main source.

    Returns
    -------
    DataFrame
        As `kaggle_dsb.dataset.folds.split_folds` returns it, one source after the other. No group
        is in two folds.

    Notes
    -----
    With ``folds.extra = "sources"`` fold k holds out the k-th extra source as a whole (modulo the
    number of folds), so that every extra image is scored by a network that was trained on no image
    of its source.
    """
    main, *extra = sources
    tables = [] if known is None else [known]
    pairs = set() if known is None else set(zip(known["source"], known["ImageId"], strict=True))
    if not _is_known(main, pairs):
        _append(tables, _split_main(main, settings))
    n_folds = 1 + int(tables[-1]["fold"].max())
    for number, source in enumerate(extra):
        if not _is_known(source, pairs):
            whole = number % n_folds if settings.folds.extra == "sources" else None
            _append(tables, _deal_source(source, n_folds, held_out_by=whole))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _is_known(source: LabelledSource, pairs: set[tuple[str, str]]) -> bool:
    """Return whether any image of a source is among these (source, image) pairs."""
    return any((source.name, sample.id) in pairs for sample in source.samples)


def _append(tables: list[pd.DataFrame], table: pd.DataFrame) -> None:
    """Append the table of a source, numbering its groups after those before."""
    first = 1 + max((int(earlier["group"].max()) for earlier in tables), default=-1)
    tables.append(table.assign(group=table["group"] + first))


def _split_main(source: LabelledSource, settings: Settings) -> pd.DataFrame:
    return split_folds(
        {sample.id: sample.image for sample in source.samples},
        n_folds=settings.folds.n_folds,
        seed=settings.folds.seed,
        source=source.name,
        group_of=source.group_of,
    )


def _deal_source(source: LabelledSource, n_folds: int, *, held_out_by: int | None) -> pd.DataFrame:
    images = {sample.id: sample.image for sample in source.samples}
    groups = source.group_of or group_images(images)
    fold_of = deal_groups(groups, n_folds)
    return pd.DataFrame(
        {
            "ImageId": list(images),
            "source": source.name,
            "type": [image_type(image) for image in images.values()],
            "group": pd.factorize(pd.Series([str(groups[id_]) for id_ in images]))[0],
            "fold": [fold_of[id_] if held_out_by is None else held_out_by for id_ in images],
        }
    )


def divide(
    sources: Sequence[LabelledSource],
    folds: pd.DataFrame,
    *,
    fold: int | None,
    settings: Settings,
) -> FoldData:
    """Divide the images of all sources into training and held-out images of a fold.

    Parameters
    ----------
    sources : sequence of LabelledSource
        The main one first.
    folds : DataFrame
        As :func:`make_folds` returns it.
    fold : int or None
        None trains on everything.
    settings : Settings
        Only the shares in ``training`` are used.

    Raises
    ------
    InputError
        When an image is not in the table, nothing is left to train on or to hold out, or all
        shares of the training images are 0.

    Notes
    -----
    Each type of the main source, and each extra source, is sampled with its share in the settings;
    within it, the weight of an image is the square root of its area over its group's size, so that
    neither 16 large images nor 75 crops of one screen dominate.
    """
    rows = _rows_of(sources, folds)
    is_held_out = rows["fold"] == fold
    train, held_out = rows[~is_held_out], rows[is_held_out]
    if fold is not None and (train.empty or held_out.empty):
        raise InputError(
            f"fold {fold} leaves {len(train)} images to train on and holds out {len(held_out)}: "
            f"both need at least one; the folds are {sorted(folds['fold'].unique().tolist())}"
        )
    group_size = train["group"].map(folds["group"].value_counts())
    area = train["sample"].map(lambda sample: sample.image[..., 0].size)
    weight = np.sqrt(area / group_size)
    total = weight.groupby([train["source"], _strata(train, sources)]).transform("sum")
    share = _shares(train, sources, settings)
    if not share.any():
        raise InputError(
            "training.type_shares and the shares of extra sources are 0 for all training images; "
            "at least one must be above 0"
        )
    return FoldData(
        train["sample"].tolist(), (weight / total * share).tolist(), held_out["sample"].tolist()
    )


def _rows_of(sources: Sequence[LabelledSource], folds: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each image of each source, in order, with its ``sample``."""
    samples = {(source.name, s.id): s for source in sources for s in source.samples}
    table = folds.set_index(["source", "ImageId"])
    missing = [image_id for name, image_id in samples if (name, image_id) not in table.index]
    if missing:
        raise InputError(
            f"image {missing[0]} is not in folds.csv ({len(missing)} images missing); train with "
            "the images that the run was started with, or choose another --name"
        )
    rows = table.loc[list(samples)].reset_index()
    rows["sample"] = pd.Series(list(samples.values()), index=rows.index, dtype=object)
    return rows


def _strata(rows: pd.DataFrame, sources: Sequence[LabelledSource]) -> pd.Series:
    """Return the sampling stratum of each row: its type in the main source, else its source."""
    return rows["type"].where(rows["source"] == sources[0].name, rows["source"])


def _shares(rows: pd.DataFrame, sources: Sequence[LabelledSource], settings: Settings) -> pd.Series:
    training = settings.training
    main, *extra = (source.name for source in sources)
    others = [name for name in extra if name not in training.source_shares]
    share_of = {name: training.extra_share / len(others) for name in others}
    share_of |= training.source_shares
    of_type = rows["type"].map(training.type_shares.model_dump())
    return of_type.where(rows["source"] == main, rows["source"].map(share_of))
