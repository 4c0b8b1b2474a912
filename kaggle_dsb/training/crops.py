"""Draw training crops from the images of a fold."""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import Sample, require_labels
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.training.augment import Augmenter
from kaggle_dsb.training.targets import make_targets

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FoldData:
    """What one fold trains on, and what is held out of it."""

    train: Sequence[Sample]
    train_weight: Sequence[float]
    held_out: Sequence[Sample]


def divide(
    samples: Sequence[Sample], folds: pd.DataFrame, *, fold: int, settings: Settings
) -> FoldData:
    """Divide samples by a table of folds.

    Parameters
    ----------
    samples : sequence of Sample
        With labels.
    folds : DataFrame
        As :func:`kaggle_dsb.dataset.folds.split_folds` gives it.

    Raises
    ------
    InputError
        When a sample stands in no fold, or nothing is left to train on or to hold out.

    Notes
    -----
    Each image type is drawn with the share that the settings give it, and within a type an image in
    proportion to the root of its area over the root of its group's size, so that neither 16 large
    images nor 75 crops of one screen are all that is seen.
    """
    row_of = folds.set_index("ImageId")
    missing = [sample.id for sample in samples if sample.id not in row_of.index]
    if missing:
        raise InputError(
            f"image {missing[0]} stands in no fold ({len(missing)} such): remake the folds"
        )
    train = [sample for sample in samples if row_of.at[sample.id, "fold"] != fold]
    held_out = [sample for sample in samples if row_of.at[sample.id, "fold"] == fold]
    if not (train and held_out):
        raise InputError(
            f"fold {fold} leaves {len(train)} images to train on and holds out {len(held_out)}: "
            f"both need at least one; there are folds {sorted(folds['fold'].unique().tolist())}"
        )
    rows = row_of.loc[[sample.id for sample in train]]
    area = np.array([sample.image[..., 0].size for sample in train])
    weight = np.sqrt(area / rows["group"].map(folds["group"].value_counts()).to_numpy())
    total = pd.Series(weight).groupby(rows["type"].to_numpy()).transform("sum").to_numpy()
    share = rows["type"].map(settings.training.type_shares.model_dump()).to_numpy()
    return FoldData(train, (weight / total * share).tolist(), held_out)


class CropDataset(Dataset[Batch]):
    """Training crops, each a function of the seed and its number alone.

    Crop n is the same whoever asks for it and whenever, so that neither the number of workers nor
    an interruption changes a training.
    """

    def __init__(self, data: FoldData, settings: Settings) -> None:
        self._images = [stretch_contrast(sample.image) for sample in data.train]
        self._labels = [require_labels(sample) for sample in data.train]
        weight = np.asarray(data.train_weight)
        self._share = weight / weight.sum()
        wanted = settings.network.nucleus_px
        self.zooms = [choose_zoom(median_diameter(one), wanted) for one in self._labels]
        self._augment = Augmenter(settings.augment)
        self._seed = settings.training.seed
        self._border_share = settings.training.border_share

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, number])
        chosen = int(rng.choice(len(self._share), p=self._share))
        image, labels = self._augment(
            self._images[chosen], self._labels[chosen], rng, zoom=self.zooms[chosen]
        )
        chw = np.ascontiguousarray(image.transpose(2, 0, 1))
        return torch.from_numpy(chw), torch.from_numpy(
            make_targets(labels, border_share=self._border_share)
        )


class CropNumbers(Sampler[int], Sized):
    """Counts the crops through all epochs; Lightning tells it the epoch."""

    def __init__(self, crops_per_epoch: int) -> None:
        self._n = crops_per_epoch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the numbers of this epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * self._n, (self._epoch + 1) * self._n))

    def __len__(self) -> int:
        return self._n
