"""Predict the probability maps of images of any size with an inference engine."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Image
from kaggle_dsb.config import PredictionSettings
from kaggle_dsb.instances.probability import CHANNELS
from kaggle_dsb.instances.size import ZOOM_RANGE, choose_zoom, median_diameter
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from kaggle_dsb.network.contrast import LEAST_RANGE, QUANTILES_PERCENT, stretch_contrast
from kaggle_dsb.network.engines import STRIDE_PX, Engine
from kaggle_dsb.network.tiles import Tile, batch_tiles, cut_tiles

Probability = NDArray[np.float32]

CACHE_FORMAT = 4
"""Incremented whenever the same settings and networks give different probabilities."""

# High thresholds, so that the pale cell around a nucleus is not measured as part of it.
WATERSHED_TO_MEASURE = WatershedParameters(
    body_threshold=0.8, seed_threshold=0.6, min_seed_px=5, min_area_px=15
)
SIZING_PX = 512  # longer side of the image on which nuclei are measured
LEAST_SIZING_ZOOM = 0.5  # of a larger image only the centre is used
SIZING_PASSES = 3
TRUSTED_RATIO = 1.7  # nuclei further from the training size than this are measured again
PLAUSIBLE_RATIO = 1.6  # between the size assumed and the size predicted
REUSED_ZOOM = (0.8, 1.5)  # of a sizing pass, relative to the zoom found, to serve as prediction
HALF_PRECISION_PX = 2**25  # pixels of all scales, above which a probability is float16
ONE_MAP_PX = 2**25  # of a larger image only the mean over the scales is kept


class SizeEstimate(NamedTuple):
    """The size of an image's nuclei, as measured by one network.

    Attributes
    ----------
    zoom : float
        The factor that brings the nuclei of the image to the training size.
    probability : (1, 3, H, W) float32, or None
        The output of the last sizing pass, if it can serve as the prediction.
    """

    zoom: float
    probability: Probability | None = None


class Predictor:
    """Predicts the probability maps of whole images.

    Parameters
    ----------
    engine : Engine
    settings : PredictionSettings
    nucleus_px : float
        The diameter of nuclei that the networks were trained for: images are scaled to it.
    sizing : Engine, optional
        Its first network measures the nuclei; by default the first of ``engine``.

    Notes
    -----
    The diameter of an image's nuclei is measured on the output of one network, at a reduced size
    first. Cellpose [1]_ also scales objects to one diameter, and estimates it with a second model.
    The setting ``diameter_px`` replaces this measurement, and the images are then predicted once.
    If there is only that network, without TTA and at one scale, and the last sizing pass was close
    to the scale that it suggests, its output is the prediction. If the nuclei of the final
    probability differ in size from the estimate, the image is predicted again at the scale that
    they suggest, and the prediction that agrees better with its own scale is kept.

    The largest of several scales, which has most of the pixels, is predicted by every second
    network only: the score is the same (docs/experiments.md).

    References
    ----------
    .. [1] C. Stringer et al., Cellpose: a generalist algorithm for cellular segmentation, Nature
       Methods 18 (2021).
    """

    def __init__(
        self,
        engine: Engine,
        settings: PredictionSettings,
        *,
        nucleus_px: float,
        sizing: Engine | None = None,
    ) -> None:
        self._engine, self._half = engine, engine.half()
        self._first = (sizing or engine).first()
        self._settings = settings
        self._nucleus_px = nucleus_px
        self._can_reuse = self._first is engine and settings.scales == (1,)

    def with_diameter(self, diameter_px: float) -> "Predictor":
        """Return a predictor with the same networks, for nuclei of this diameter."""
        other = copy.copy(self)
        other._settings = self._settings.model_copy(update={"diameter_px": diameter_px})
        return other

    def predict(self, images: Iterable[Image]) -> Iterator[Probability]:
        """Yield the probability (n_scales, 3, H, W) of each image (H, W, 3) uint8, in order.

        Images are consumed lazily, so that any number of them can be predicted. The
        probability is float32. To bound the memory, it is float16 if all scales together have more
        than `HALF_PRECISION_PX` pixels, and that of an image of more than `ONE_MAP_PX` is the mean
        over the scales, (1, 3, H, W) float16.
        """
        for batch in batches_of(images, self._engine.batch_px):
            stretched = [stretch_contrast(image) for image in batch]
            estimates = [self.estimate_size(image) for image in stretched]
            again = [n for n, estimate in enumerate(estimates) if estimate.probability is None]
            zooms = [estimates[n].zoom for n in again]
            predicted = self._predict_at([stretched[n] for n in again], zooms)
            probability_of = dict(zip(again, predicted, strict=True))
            for n, (image, estimate) in enumerate(zip(stretched, estimates, strict=True)):
                probability = probability_of.get(n, estimate.probability)
                assert probability is not None  # from the sizing pass, or predicted above
                yield self._check_size(image, estimate.zoom, probability)

    def estimate_size(self, image: Image) -> SizeEstimate:
        """Estimate the nucleus size of an image (H, W, 3) uint8 with one network, unless set."""
        if self._settings.diameter_px:
            return SizeEstimate(choose_zoom(self._settings.diameter_px, self._nucleus_px))
        sizing_zoom = float(np.clip(SIZING_PX / max(image.shape[:2]), LEAST_SIZING_ZOOM, 1))
        diameter_px = 0.0
        for _ in range(SIZING_PASSES):
            seen_at, seen = sizing_zoom, self._predict_middle(image, sizing_zoom)
            diameter_px = measure_diameter(seen) / sizing_zoom or diameter_px
            if diameter_px:
                is_sure = ratio_of(diameter_px * sizing_zoom, self._nucleus_px) <= TRUSTED_RATIO
                next_zoom = choose_zoom(diameter_px, self._nucleus_px)
            else:  # the nuclei may be too small at this zoom
                is_sure = sizing_zoom >= 1
                next_zoom = 2 * sizing_zoom
            if is_sure:
                break
            sizing_zoom = next_zoom
        zoom = choose_zoom(diameter_px, self._nucleus_px)
        is_whole = max(image.shape[:2]) <= _sizing_side(seen_at)
        is_near = REUSED_ZOOM[0] <= seen_at / zoom <= REUSED_ZOOM[1]
        if self._can_reuse and is_whole and is_near:
            planes = np.stack([resize(plane, image.shape[:2]) for plane in seen])
            return SizeEstimate(zoom, planes[np.newaxis])
        return SizeEstimate(zoom)

    def _predict_middle(self, image: Image, zoom: float) -> Probability:
        """Return the probability of the scaled centre of an image, by one network."""
        part = crop_middle(image, _sizing_side(zoom))
        height, width = part.shape[:2]
        scaled = resize(part, (round(height * zoom), round(width * zoom)))
        probability: Probability = self._first(to_batch([pad_to_stride(scaled)]))[0]
        return probability[:, : scaled.shape[0], : scaled.shape[1]]

    def _check_size(self, image: Image, zoom: float, probability: Probability) -> Probability:
        """Return the probability of an image, predicted again if the size estimate was wrong."""
        if self._settings.diameter_px:
            return probability
        diameter_px = self._measure_predicted(probability, zoom)
        misfit = ratio_of(diameter_px * zoom, self._nucleus_px) if diameter_px else 1.0
        other = choose_zoom(diameter_px, self._nucleus_px)
        if misfit <= PLAUSIBLE_RATIO or ratio_of(zoom, other) <= PLAUSIBLE_RATIO:
            return probability
        (again,) = self._predict_at([image], [other])
        diameter_px = self._measure_predicted(again, other)
        is_better = diameter_px and ratio_of(diameter_px * other, self._nucleus_px) < misfit
        return again if is_better else probability

    def _measure_predicted(self, probability: Probability, zoom: float) -> float:
        """Return the nucleus diameter in the centre of a probability, measured at half ``zoom``."""
        part = crop_middle(probability.transpose(2, 3, 1, 0), _sizing_side(zoom)).mean(axis=-1)
        height, width = part.shape[:2]
        size = round(height * zoom / 2), round(width * zoom / 2)
        scaled = resize(part.astype(np.float32), size).transpose(2, 0, 1)
        return measure_diameter(scaled) / (zoom / 2)

    def _predict_at(self, images: Sequence[Image], zooms: Sequence[float]) -> list[Probability]:
        """Return the probability of each image at the scales, relative to its zoom."""
        scales = self._settings.scales
        n_maps = [1 if _n_pixels(image) > ONE_MAP_PX else len(scales) for image in images]
        probabilities = [
            np.zeros((n, len(CHANNELS), *image.shape[:2]), _dtype(n * _n_pixels(image)))
            for n, image in zip(n_maps, images, strict=True)
        ]
        tiles = [
            tile
            for number, (image, zoom) in enumerate(zip(images, zooms, strict=True))
            for index, scale in enumerate(scales)
            for tile in cut_tiles(
                number,
                index,
                image.shape[:2],
                zoom * scale,
                tile_px=self._settings.tile_px,
                overlap_px=self._settings.overlap_px,
            )
        ]
        for tile, planes in self._predict_tiles(images, tiles):
            n = n_maps[tile.image]
            weight = tile.weight() * (n / len(scales))
            totals = probabilities[tile.image][tile.scale % n]
            for total, plane in zip(totals, planes, strict=True):
                total[tile.rows, tile.columns] += weight * resize(plane, weight.shape)
        return probabilities

    def _predict_tiles(
        self, images: Sequence[Image], tiles: Sequence[Tile]
    ) -> Iterator[tuple[Tile, Probability]]:
        """Yield each tile with its probability at its scaled size."""
        largest = find_largest(self._settings.scales)
        halved = [tile for tile in tiles if tile.scale == largest]
        others = [tile for tile in tiles if tile.scale != largest]
        for engine, chosen in ((self._engine, others), (self._half, halved)):
            for batch in batch_tiles(chosen, engine.batch_px):
                scaled = [resize(images[t.image][t.rows, t.columns], t.size) for t in batch]
                probabilities = engine(to_batch([pad_to_stride(image) for image in scaled]))
                for tile, probability in zip(batch, probabilities, strict=True):
                    yield tile, probability[:, : tile.size[0], : tile.size[1]]


def find_largest(scales: Sequence[float]) -> int | None:
    """Return the index of the largest of several scales; None if there is only one."""
    return max(range(len(scales)), key=scales.__getitem__) if len(scales) > 1 else None


def prediction_facts(settings: PredictionSettings, nucleus_px: float) -> dict[str, Any]:
    """Return everything that a `Predictor` depends on besides engine and networks, for hashing."""
    # Without a diameter the facts are those of versions that could not be given one.
    unused = set() if settings.diameter_px else {"diameter_px"}
    return {
        "format": CACHE_FORMAT,
        "prediction": settings.model_dump(mode="json", exclude=unused),
        "nucleus_px": nucleus_px,
        "contrast": [QUANTILES_PERCENT, LEAST_RANGE],
        "zoom_range": ZOOM_RANGE,
        "look": [SIZING_PX, LEAST_SIZING_ZOOM, SIZING_PASSES, TRUSTED_RATIO, PLAUSIBLE_RATIO],
        **({"final_look": REUSED_ZOOM} if settings.scales == (1,) else {}),
        "measure": asdict(WATERSHED_TO_MEASURE),
        "large_px": [HALF_PRECISION_PX, ONE_MAP_PX],
    }


def batches_of(images: Iterable[Image], batch_px: int) -> Iterator[list[Image]]:
    """Divide images into batches of at most ``batch_px`` pixels in total, or of one image.

    Examples
    --------
    >>> images = [np.zeros((10, 10, 3), np.uint8)] * 5
    >>> [len(batch) for batch in batches_of(images, 200)]
    [2, 2, 1]
    """
    batch: list[Image] = []
    for image in images:
        n_px = sum(each.shape[0] * each.shape[1] for each in (*batch, image))
        if batch and n_px > batch_px:
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def measure_diameter(probability: Probability) -> float:
    """Return the nucleus diameter in a probability (3, H, W), in pixels; 0 without nuclei."""
    return median_diameter(watershed_nuclei(probability, WATERSHED_TO_MEASURE))


def _sizing_side(zoom: float) -> int:
    """Return the maximum side of the centre used for sizing, in unscaled pixels."""
    return int(2 * SIZING_PX / zoom)


def ratio_of(a: float, b: float) -> float:
    """Return the ratio of two positive numbers, the larger to the smaller."""
    return max(a / b, b / a)


def crop_middle(array: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the centre of an array (H, W, ...), at most ``side`` pixels high and wide."""
    top, left = (max(n - side, 0) // 2 for n in array.shape[:2])
    return array[top : top + side, left : left + side]


def to_batch(images: Sequence[Image]) -> NDArray[np.uint8]:
    """Return images (H, W, 3) of one size as (B, 3, H, W)."""
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def pad_to_stride(image: Image) -> Image:
    """Pad an image (H, W, 3) at the bottom and right by reflection to multiples of 32."""
    height, width = image.shape[:2]
    padding = ((0, -height % STRIDE_PX), (0, -width % STRIDE_PX), (0, 0))
    return np.pad(image, padding, mode="reflect") if padding != ((0, 0),) * 3 else image


def resize(array: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Resize an image or plane to (height, width), with area averaging if it shrinks."""
    height, width = max(size[0], 1), max(size[1], 1)
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(array), (width, height), interpolation=method)


def _n_pixels(image: Image) -> int:
    return image[..., 0].size


def _dtype(n_pixels: int) -> Any:
    return np.float16 if n_pixels > HALF_PRECISION_PX else np.float32
