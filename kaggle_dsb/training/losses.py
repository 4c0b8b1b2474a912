"""Loss functions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kaggle_dsb.training.targets import N_BINARY


def segmentation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy plus the Dice loss of the binary channels.

    Parameters
    ----------
    logits, targets : (B, 3, H, W) float32
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets)
    return entropy + dice_loss(logits[:, :N_BINARY], targets[:, :N_BINARY])


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - Dice of each channel of (B, C, H, W) over the batch, averaged over channels."""
    probability = torch.sigmoid(logits)
    overlap = (probability * targets).sum((0, 2, 3))
    total = (probability + targets).sum((0, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()
