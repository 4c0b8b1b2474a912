"""Data loading: training crops of a fold, and the held-out images for validation."""

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import Sample, require_labels
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.training.augment import Augmenter
from kaggle_dsb.training.sources import FoldData
from kaggle_dsb.training.targets import make_targets

Batch = tuple[Tensor, Tensor]


class CropDataset(Dataset[Batch]):
    """Training crops, each determined by the seed and its number alone.

    So neither the number of workers nor an interruption changes a training.

    Parameters
    ----------
    data : FoldData
    settings : Settings
    seed : int
    """

    def __init__(self, data: FoldData, settings: Settings, *, seed: int) -> None:
        self._images = [stretch_contrast(sample.image) for sample in data.train]
        self._labels = [require_labels(sample) for sample in data.train]
        weight = np.asarray(data.train_weight)
        self._share = weight / weight.sum()
        nucleus_px = settings.network.nucleus_px
        self.zooms = [choose_zoom(median_diameter(labels), nucleus_px) for labels in self._labels]
        self._augment = Augmenter(settings.augment)
        self._seed = seed
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
    """Numbers the crops consecutively over all epochs; Lightning sets the epoch.

    Parameters
    ----------
    crops_per_epoch : int
    batch_size : int
        Over all devices. An incomplete last batch is dropped.
    rank, n_ranks : int
        Each device takes every ``n_ranks``-th crop, so that several devices together process the
        same batches as one.
    """

    def __init__(
        self, crops_per_epoch: int, *, batch_size: int, rank: int = 0, n_ranks: int = 1
    ) -> None:
        self._crops_per_epoch = crops_per_epoch
        whole = batch_size if crops_per_epoch > batch_size else n_ranks
        self._numbers = range(rank, crops_per_epoch - crops_per_epoch % whole, n_ranks)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the numbers."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        first = self._epoch * self._crops_per_epoch
        return (first + number for number in self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class FoldDataModule(pl.LightningDataModule):
    """The training crops and held-out images of a fold, for Lightning.

    Parameters
    ----------
    data : FoldData
    settings : Settings
    seed : int
        The seed of the crops.
    """

    def __init__(self, data: FoldData, settings: Settings, *, seed: int) -> None:
        super().__init__()
        self._data = data
        self._settings = settings
        self._seed = seed

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of this device's crops."""
        training, trainer = self._settings.training, self._trainer
        return DataLoader(
            CropDataset(self._data, self._settings, seed=self._seed),
            batch_size=max(training.batch_size // trainer.world_size, 1),
            sampler=CropNumbers(
                training.crops_per_epoch,
                batch_size=training.batch_size,
                rank=trainer.global_rank,
                n_ranks=trainer.world_size,
            ),
            num_workers=training.workers,
            persistent_workers=training.workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return the loader of this device's part of the held-out images to score."""
        held_out, trainer = self._data.held_out, self._trainer
        chosen = choose_evenly(len(held_out), self._settings.training.validation_images)
        # If there are fewer images than devices, each scores all of them: the mean is the same.
        part = chosen[trainer.global_rank :: trainer.world_size]
        places = part if len(chosen) >= trainer.world_size else chosen
        samples: list[Sample] = [held_out[place] for place in places]
        return DataLoader(samples, batch_size=8, collate_fn=list)  # type: ignore[arg-type]

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch of crops; leave held-out samples, which the predictor moves itself."""
        if isinstance(batch, list) and isinstance(batch[0], Sample):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    @property
    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None  # Lightning sets it before it asks for data
        return self.trainer


def choose_evenly(n: int, at_most: int) -> list[int]:
    """Return up to ``at_most`` of the numbers 0 to n - 1, evenly spaced.

    Examples
    --------
    >>> choose_evenly(10, 3)
    [0, 4, 9]
    """
    if n <= at_most:
        return list(range(n))
    return [int(place) for place in np.linspace(0, n - 1, at_most)]
