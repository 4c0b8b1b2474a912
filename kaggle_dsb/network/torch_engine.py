"""The torch engine: the reference, and the engine for GPUs."""

from collections.abc import Sequence

import numpy as np
import torch
import ttach
from torch import Tensor, nn

from kaggle_dsb.network.engines import BATCH_PX, LARGEST_LOGIT, Images, Probabilities
from kaggle_dsb.network.hardware import Precision


def tta_transforms(name: str) -> ttach.Compose:
    """Return the ttach transforms of ``none``, ``flips``, ``rotations`` or ``d4``."""
    flips = [ttach.HorizontalFlip(), ttach.VerticalFlip()]
    rotations = [ttach.Rotate90([0, 90, 180, 270])]
    d4 = [ttach.HorizontalFlip(), *rotations]
    return ttach.Compose({"none": [], "flips": flips, "rotations": rotations, "d4": d4}[name])


class CombinedProbability(nn.Module):
    """The probability of several networks: the sigmoid of their mean logit.

    Parameters
    ----------
    networks : sequence of nn.Module
        Each returns logits (B, 3, H, W).
    precision : torch.dtype
        The precision of autocast.
    """

    def __init__(self, networks: Sequence[nn.Module], precision: torch.dtype) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.precision = precision

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (B, 3, H, W) float32 for images (B, 3, H, W), 0 to 255."""
        half = self.precision != torch.float32
        with torch.autocast(images.device.type, dtype=self.precision, enabled=half):
            logits = [network(images).float() for network in self.networks]
        if len(logits) == 1:
            return torch.sigmoid(logits[0])
        return torch.sigmoid(torch.stack(logits).clamp(-LARGEST_LOGIT, LARGEST_LOGIT).mean(0))


class TorchEngine:
    """Torch networks; see `kaggle_dsb.network.engines.Engine`.

    Parameters
    ----------
    networks : sequence of nn.Module
        Each returns logits (B, 3, H, W) for images (B, 3, H, W), 0 to 255.
    tta : str
        The views that are averaged: ``none``, ``flips``, ``rotations`` or ``d4``.
    device : str or torch.device
    precision : {"float32", "bfloat16", "float16"}
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        tta: str = "none",
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self._networks = networks
        self._tta = tta
        self._device = torch.device(device)
        self._precision = precision
        combined = CombinedProbability(networks, getattr(torch, precision)).to(self._device).eval()
        self._model = ttach.SegmentationTTAWrapper(combined, tta_transforms(tta), "mean")
        self.batch_px = BATCH_PX[self._device.type]

    def first(self) -> "TorchEngine":
        """Return an engine of the first network without TTA; itself if that is all it has."""
        is_all = len(self._networks) == 1 and self._tta == "none"
        return self if is_all else self._of(self._networks[:1], tta="none")

    def half(self) -> "TorchEngine":
        """Return an engine of every second network, from the first; itself if it has only one."""
        has_one = len(self._networks) == 1
        return self if has_one else self._of(self._networks[::2], tta=self._tta)

    def _of(self, networks: Sequence[nn.Module], *, tta: str) -> "TorchEngine":
        return TorchEngine(networks, tta=tta, device=self._device, precision=self._precision)

    @torch.inference_mode()
    def __call__(self, images: Images) -> Probabilities:
        """Return probabilities (B, 3, H, W) float32 for images (B, 3, H, W) uint8."""
        tensor = torch.from_numpy(np.ascontiguousarray(images))
        if self._device.type == "cuda":
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        probabilities: Probabilities = self._model(tensor.float()).cpu().numpy()
        return probabilities
