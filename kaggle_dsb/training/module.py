"""The Lightning module that trains and validates a network."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.config import PredictionSettings, Settings
from kaggle_dsb.dataset.samples import Sample, require_labels
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from kaggle_dsb.network.hardware import choose_precision
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.network.predict import Predictor
from kaggle_dsb.network.torch_engine import TorchEngine
from kaggle_dsb.training.crops import Batch
from kaggle_dsb.training.losses import segmentation_loss


class SegmentationModule(pl.LightningModule):
    """The network, its loss and optimiser, and the competition's score on the held-out images.

    Parameters
    ----------
    settings : Settings
    pretrained : bool
        Initialise the encoder with the pretrained weights of the settings.
    teachers : sequence of NucleusNet
        Trained networks for knowledge distillation [1]_. Their probabilities are mixed into the
        targets, one teacher per step in turn. Over the steps, the gradient of the binary
        cross-entropy, which is linear in the targets, averages to that of the teachers' mean; that
        of the Dice loss is not linear, and does so approximately.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    def __init__(
        self, settings: Settings, *, pretrained: bool, teachers: Sequence[NucleusNet] = ()
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = NucleusNet(settings.network, pretrained=pretrained)
        self._score = MeanMetric()
        # In a tuple, so that they are not registered as submodules.
        self._teachers = tuple(teacher.requires_grad_(requires_grad=False) for teacher in teachers)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Return the loss of a batch of crops."""
        images, targets = batch
        if self._teachers:
            targets = self._mix_in_teacher(images, targets, number)
        loss = segmentation_loss(self.network(images), targets)
        self.log(
            "loss",
            loss,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=len(images),
            sync_dist=self.trainer.world_size > 1,
        )
        return loss

    def _mix_in_teacher(self, images: Tensor, targets: Tensor, number: int) -> Tensor:
        teacher = self._teachers[number % len(self._teachers)].to(self.device)
        with torch.no_grad():
            taught = torch.sigmoid(teacher(images))
        return torch.lerp(targets, taught, self.settings.training.teacher_share)

    def configure_optimizers(self) -> Any:
        """Return AdamW with a one-cycle learning rate schedule over the whole training."""
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

    def on_validation_epoch_start(self) -> None:
        """Build a predictor with the current EMA weights."""
        precision = choose_precision(self.settings.hardware.precision, self.device.type)
        engine = TorchEngine([self.network], device=self.device, precision=precision)
        self._predictor = Predictor(
            engine,
            PredictionSettings(tta="none", scales=(1,)),
            nucleus_px=self.settings.network.nucleus_px,
        )

    def validation_step(self, batch: list[Sample], _: int) -> None:
        """Score held-out images as the competition does."""
        parameters = WatershedParameters(**self.settings.instances.watershed())
        probabilities = self._predictor.predict([sample.image for sample in batch])
        for sample, (probability,) in zip(batch, probabilities, strict=True):
            predicted = watershed_nuclei(probability, parameters)
            self._score.update(score_image(require_labels(sample), predicted).score)

    def on_validation_epoch_end(self) -> None:
        """Log the mean score over the images of all devices."""
        del self._predictor
        self.log("score", self._score, prog_bar=True)
