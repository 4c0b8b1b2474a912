"""Make probabilities from images of any size with one or more trained networks."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import ttach
from numpy.typing import NDArray
from torch import Tensor, nn

from kaggle_dsb.config import PredictionSettings
from kaggle_dsb.instances.probability import CHANNELS
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.instances.watershed import split_nuclei
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.model import STRIDE_PX

Image = NDArray[np.uint8]
Probability = NDArray[np.float32]

# The size is measured on what is surest: a pale cell around its nucleus is not taken for it.
SPLIT_TO_MEASURE: dict[str, Any] = {
    "body_threshold": 0.8,
    "seed_threshold": 0.6,
    "min_seed_px": 5,
    "min_area_px": 15,
}
MEASUREMENTS = 2


def tta_transforms(name: str) -> ttach.Compose:
    """Give ttach's transforms by name: ``none``, ``flips``, ``rotations`` or ``d4``."""
    flips = [ttach.HorizontalFlip(), ttach.VerticalFlip()]
    rotations = [ttach.Rotate90([0, 90, 180, 270])]
    d4 = [ttach.HorizontalFlip(), *rotations]
    return ttach.Compose({"none": [], "flips": flips, "rotations": rotations, "d4": d4}[name])


class MeanProbability(nn.Module):
    """The mean probability of several networks, for images of any size.

    Parameters
    ----------
    networks : sequence of nn.Module
        Each gives logits (B, 3, H, W).
    precision : torch.dtype
        What the networks compute in.
    """

    def __init__(self, networks: Sequence[nn.Module], precision: torch.dtype) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.precision = precision

    def forward(self, images: Tensor) -> Tensor:
        """Give probabilities (B, 3, H, W) float32 for images (B, 3, H, W), 0 to 255."""
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
    nucleus_px : float or None
        The diameter of nuclei that the networks were trained for: an image is scaled to it. None
        leaves images as they are.
    device : torch.device
    precision : torch.dtype

    Notes
    -----
    How large the nuclei of an image are is measured on what the networks find in it: first at the
    image's own scale, then at the scale which that suggests. Cellpose [1]_ too brings objects to
    one diameter, with a second model to estimate it.

    References
    ----------
    .. [1] C. Stringer et al., Cellpose: a generalist algorithm for cellular segmentation, Nature
       Methods 18 (2021).
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        settings: PredictionSettings,
        *,
        nucleus_px: float | None,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self._plain = MeanProbability(networks, precision).to(device).eval()
        self._model = ttach.SegmentationTTAWrapper(
            self._plain, tta_transforms(settings.tta), "mean"
        )
        self._settings = settings
        self._nucleus_px = nucleus_px
        self._device = device

    def predict(self, images: Sequence[Image]) -> Iterator[Probability]:
        """Give the probability (3, H, W) float32 of each image (H, W, 3) uint8, in their order."""
        for image in images:
            stretched = stretch_contrast(image)
            zoom = self.find_zoom(stretched)
            scaled = [
                self._predict_zoomed(stretched, zoom * scale, self._model)
                for scale in self._settings.scales
            ]
            yield np.mean(scaled, axis=0)

    def find_zoom(self, image: Image) -> float:
        """Measure the nuclei of an image (H, W, 3) uint8, and say by how much to scale it."""
        zoom = 1.0
        if self._nucleus_px is None:
            return zoom
        for _ in range(MEASUREMENTS):
            probability = self._predict_zoomed(image, zoom, self._plain)
            diameter = median_diameter(split_nuclei(probability, **SPLIT_TO_MEASURE))
            zoom = choose_zoom(diameter, self._nucleus_px)
        return zoom

    def _predict_zoomed(self, image: Image, zoom: float, model: nn.Module) -> Probability:
        """Scale an image, predict it (in tiles where it is large), scale the probability back."""
        height, width = image.shape[:2]
        scaled = resize(image, (round(height * zoom), round(width * zoom)))
        is_large = max(scaled.shape[:2]) > self._settings.tile_px
        predict = self._predict_tiled if is_large else self._predict_whole
        planes = predict(scaled, model)
        return np.stack([resize(plane, (height, width)) for plane in planes])

    @torch.inference_mode()
    def _predict_whole(self, image: Image, model: nn.Module) -> Probability:
        tensor = torch.from_numpy(image).to(self._device).permute(2, 0, 1)[None].float()
        probability: Probability = model(tensor)[0].cpu().numpy()
        return probability

    def _predict_tiled(self, image: Image, model: nn.Module) -> Probability:
        tile, overlap = self._settings.tile_px, self._settings.overlap_px
        height, width = image.shape[:2]
        total = np.zeros((len(CHANNELS), height, width), np.float32)
        weight = np.zeros((height, width), np.float32)
        for rows in tile_slices(height, tile, overlap):
            for columns in tile_slices(width, tile, overlap):
                window = blending_window(
                    rows.stop - rows.start, columns.stop - columns.start, overlap
                )
                total[:, rows, columns] += window * self._predict_whole(image[rows, columns], model)
                weight[rows, columns] += window
        return total / weight


def resize(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Scale an image or a plane to (height, width), averaging over areas where it shrinks."""
    size = max(size[0], 1), max(size[1], 1)
    if array.shape[:2] == size:
        return array
    method = (
        cv2.INTER_AREA if size[0] * size[1] < array.shape[0] * array.shape[1] else cv2.INTER_LINEAR
    )
    return cv2.resize(np.ascontiguousarray(array), size[::-1], interpolation=method)


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
