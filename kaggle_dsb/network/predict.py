"""Make probabilities from images of any size with one or more trained networks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import ttach
from numpy.typing import NDArray
from torch import Tensor, nn

from kaggle_dsb.config import PredictionSettings
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.model import STRIDE_PX
from kaggle_dsb.network.targets import CHANNELS

Image = NDArray[np.uint8]
Probability = NDArray[np.float32]

BATCH_PX = 2**20  # of one forward pass: what fits the caches of a CPU and fills a small GPU
SCALES = (0.75, 1, 1.25)


def tta_transforms(name: str) -> ttach.Compose:
    """Give ttach's transforms by name: ``none``, ``flips``, ``d4`` or ``d4-scales``."""
    flips = [ttach.HorizontalFlip(), ttach.VerticalFlip()]
    d4 = [ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])]
    scales = ttach.Scale(list(SCALES), interpolation="bilinear", align_corners=False)
    kinds = {"none": [], "flips": flips, "d4": d4, "d4-scales": [*d4, scales]}
    return ttach.Compose(kinds[name])


class MeanProbability(nn.Module):
    """The mean probability of several networks, for images of any size.

    Parameters
    ----------
    networks : sequence of nn.Module
        Each gives logits (B, 2, H, W).
    precision : torch.dtype
        What the networks compute in.
    """

    def __init__(self, networks: Sequence[nn.Module], precision: torch.dtype) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.precision = precision

    def forward(self, images: Tensor) -> Tensor:
        """Give probabilities (B, 2, H, W) float32 for images (B, 3, H, W), 0 to 255."""
        height, width = images.shape[-2:]
        padded = pad_to_stride(images)
        half = self.precision != torch.float32
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
            logits = [network(padded) for network in self.networks]
        mean = torch.stack([torch.sigmoid(one.float()) for one in logits]).mean(0)
        return mean[..., :height, :width]


def pad_to_stride(images: Tensor) -> Tensor:
    """Mirror (B, C, H, W) at the bottom and right until the sides are multiples of 32."""
    height, width = images.shape[-2:]
    rows = _mirrored_indices(height, images.device)
    columns = _mirrored_indices(width, images.device)
    return images[..., rows, :][..., columns]


def _mirrored_indices(n: int, device: torch.device) -> Tensor:
    # F.pad's reflection stops at one image length, which a narrow strip exceeds; numpy's does not.
    return torch.from_numpy(np.pad(np.arange(n), (0, -n % STRIDE_PX), mode="reflect")).to(device)


class Predictor:
    """Makes probabilities of whole images.

    Parameters
    ----------
    networks : sequence of nn.Module
        Their mean is taken.
    settings : PredictionSettings
    device : torch.device
    precision : torch.dtype
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        settings: PredictionSettings,
        *,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        mean = MeanProbability(networks, precision).to(device).eval()
        self._model = ttach.SegmentationTTAWrapper(mean, tta_transforms(settings.tta), "mean")
        self._settings = settings
        self._device = device

    def predict(self, images: Sequence[Image]) -> Iterator[Probability]:
        """Give the probability (2, H, W) float32 of each image (H, W, 3) uint8, in their order.

        Images of one size that follow each other are computed together; one larger than a tile is
        computed in overlapping tiles.
        """
        for batch in batches_of_like_size(images, self._settings.tile_px):
            stretched = [stretch_contrast(image) for image in batch]
            if max(batch[0].shape[:2]) > self._settings.tile_px:
                yield from (self._predict_tiled(image) for image in stretched)
            else:
                yield from self._predict_batch(np.stack(stretched))

    @torch.inference_mode()
    def _predict_batch(self, images: Image) -> Probability:
        height, width = images.shape[1:3]
        tensor = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        # ttach cuts off what a scale leaves over; of a multiple of 32 it leaves nothing.
        padded = self._model(pad_to_stride(tensor))
        probability: Probability = padded[..., :height, :width].cpu().numpy()
        return probability

    def _predict_tiled(self, image: Image) -> Probability:
        tile, overlap = self._settings.tile_px, self._settings.overlap_px
        height, width = image.shape[:2]
        total = np.zeros((len(CHANNELS), height, width), np.float32)
        weight = np.zeros((height, width), np.float32)
        for rows in tile_slices(height, tile, overlap):
            for columns in tile_slices(width, tile, overlap):
                window = blending_window(
                    rows.stop - rows.start, columns.stop - columns.start, overlap
                )
                total[:, rows, columns] += (
                    window * self._predict_batch(image[None, rows, columns])[0]
                )
                weight[rows, columns] += window
        return total / weight


def batches_of_like_size(images: Sequence[Image], tile_px: int) -> Iterator[list[Image]]:
    """Cut a sequence into runs of one size, none of more pixels than one forward pass takes."""
    batch: list[Image] = []
    for image in images:
        limit = max(1, BATCH_PX // (min(image.shape[0], tile_px) * min(image.shape[1], tile_px)))
        if batch and (image.shape != batch[0].shape or len(batch) >= limit):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def tile_slices(length: int, tile: int, overlap: int) -> list[slice]:
    """Cover ``length`` with slices of at most ``tile`` that overlap by at least ``overlap``."""
    if length <= tile:
        return [slice(0, length)]
    n = -(-(length - overlap) // (tile - overlap))
    starts = np.rint(np.linspace(0, length - tile, n)).astype(int)
    return [slice(int(start), int(start) + tile) for start in starts]


def blending_window(height: int, width: int, overlap: int) -> NDArray[np.float32]:
    """Give weights (height, width) that fall linearly to the edges over ``overlap`` pixels."""

    def ramp(n: int) -> NDArray[np.float32]:
        from_edge = np.minimum(np.arange(n), np.arange(n)[::-1]) + 1
        return np.minimum(from_edge / (overlap + 1), 1).astype(np.float32)

    return np.outer(ramp(height), ramp(width))


def choose_device(accelerator: str) -> torch.device:
    """Give the device for ``auto``, ``cpu`` or ``gpu``."""
    has_gpu = torch.cuda.is_available()
    return torch.device("cuda" if accelerator != "cpu" and has_gpu else "cpu")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Give the dtype for ``auto``, ``float32`` or ``bfloat16``.

    ``auto`` is bfloat16 where the device computes it in hardware; a CPU without it emulates it at
    half the speed of float32.
    """
    if name == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
        return torch.bfloat16 if fast else torch.float32
    precision: Any = getattr(torch, name)
    assert isinstance(precision, torch.dtype)
    return precision


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
