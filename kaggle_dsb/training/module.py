"""The network as Lightning trains and validates it."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.config import PredictionSettings, Settings
from kaggle_dsb.dataset.samples import Sample, require_labels
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from kaggle_dsb.network.hardware import choose_precision
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.network.predict import Predictor
from kaggle_dsb.training.crops import Batch
from kaggle_dsb.training.losses import segmentation_loss


class SegmentationModule(pl.LightningModule):
    """The network, its loss and its optimiser, and the competition's score of what is held out."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.network = NucleusNet(settings.network, pretrained=True)
        self._scores: list[float] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Give the loss of a batch of crops."""
        images, targets = batch
        loss = segmentation_loss(self.network(images), targets)
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW under one cycle of the learning rate over the whole training."""
        training = self.settings.training
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=training.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.15,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Leave held-out samples where they are: the predictor moves what it needs."""
        if isinstance(batch, list) and isinstance(batch[0], Sample):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_validation_epoch_start(self) -> None:
        """Begin to collect scores, with a predictor that uses the weights of now."""
        self._scores = []
        plain = PredictionSettings(tta="none", scales=(1,))
        precision = choose_precision(self.settings.hardware.precision, self.device.type)
        self._predictor = Predictor(
            [self.network],
            plain,
            nucleus_px=self.settings.network.nucleus_px,
            device=self.device,
            precision=getattr(torch, precision),
        )

    def validation_step(self, batch: list[Sample], _: int) -> None:
        """Score held-out images as the competition does."""
        parameters = WatershedParameters(**self.settings.instances.watershed())
        for sample, probability in zip(
            batch, self._predictor.predict([sample.image for sample in batch]), strict=True
        ):
            predicted = watershed_nuclei(probability, parameters)
            self._scores.append(score_image(require_labels(sample), predicted).score)

    def on_validation_epoch_end(self) -> None:
        """Log the mean score."""
        del self._predictor
        self.log("score", float(np.mean(self._scores)), prog_bar=True)
