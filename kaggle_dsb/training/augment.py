"""Augmentation of training crops.

A crop is cut and scaled, nuclei are copied within it, and albumentations transforms its geometry
and colours. Channel shuffle and nucleus copy-paste are what helped the winners most (topcoders,
first place; see the winning team's description on the competition's forum).
"""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import sends a request

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kaggle_dsb.aliases import Image, Labels
from kaggle_dsb.config import AugmentSettings

MAX_PASTED = 6
PASTE_PLACES = 10
ASPECT_JITTER, WIDE_ASPECT_JITTER = 0.15, 0.5  # maximum of abs(log(height / width))
STAINED_CHROMA = 10  # mean of maximum minus minimum channel, above which a crop is stained


class Augmenter:
    """Turns an image and its labels into one training crop.

    Parameters
    ----------
    settings : AugmentSettings
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self._settings = settings
        self._change_stain = _stain_transform(settings)
        self._transform = _compose(settings)

    def __call__(
        self, image: Image, labels: Labels, rng: np.random.Generator, *, zoom: float = 1
    ) -> tuple[Image, Labels]:
        """Cut and augment a crop; all randomness comes from ``rng``.

        Parameters
        ----------
        image : (H, W, 3) uint8
        labels : (H, W) int32
        rng : numpy.random.Generator
        zoom : float
            The factor that brings the nuclei to the training size; ``scale_range`` varies around
            it.

        Returns
        -------
        image : (crop_px, crop_px, 3) uint8
        labels : (crop_px, crop_px) int32
        """
        settings = self._settings
        image, labels = random_crop(image, labels, settings, rng, zoom=zoom)
        if rng.random() < settings.copy_paste_probability:
            image, labels = paste_nuclei(image, labels, rng)
        if is_stained(image):
            self._change_stain.set_random_seed(int(rng.integers(2**31)))
            image = self._change_stain(image=image)["image"]
        self._transform.set_random_seed(int(rng.integers(2**31)))
        # OpenCV's geometric transforms support uint16 but not int32.
        changed = self._transform(image=image, mask=labels.astype(np.uint16))
        return changed["image"], changed["mask"].astype(np.int32)


def is_stained(image: Image) -> bool:
    """Return whether an image (H, W, 3) is colourful, like stained tissue."""
    return bool((image.max(2).astype(np.float32) - image.min(2)).mean() > STAINED_CHROMA)


def _stain_transform(settings: AugmentSettings) -> A.Compose:
    """Vary haematoxylin and eosin, each along its own optical density vector."""
    change = A.HEStain(
        "random_preset",
        intensity_scale_range=(0.5, 1.6),
        intensity_shift_range=(-0.1, 0.2),
        augment_background=True,
        p=settings.stain_probability,
    )
    return A.Compose([change])


def _compose(settings: AugmentSettings) -> A.Compose:
    colour = settings.colour_probability
    return A.Compose(
        [
            A.SquareSymmetry(p=1),
            A.ElasticTransform(
                alpha=60,
                sigma=8,
                border_mode=cv2.BORDER_REFLECT_101,
                p=settings.elastic_probability,
            ),
            A.ChannelShuffle(p=settings.channel_shuffle_probability),
            A.ToGray(p=settings.grey_probability),
            A.InvertImg(p=settings.invert_probability),
            A.OneOf(
                [
                    A.HueSaturationValue(90, 40, 0),  # all hues
                    A.CLAHE(clip_limit=(1, 3)),
                    A.RandomGamma((60, 160)),
                ],
                p=colour,
            ),
            A.RandomBrightnessContrast(0.2, 0.3, p=colour),
            A.OneOf(
                [
                    A.GaussNoise(std_range=(0.01, 0.08)),
                    A.GaussianBlur(blur_limit=0, sigma_limit=(0.5, 2)),
                    A.MultiplicativeNoise((0.9, 1.1), elementwise=True),
                ],
                p=settings.blur_or_noise_probability,
            ),
        ]
    )


def random_crop(
    image: Image,
    labels: Labels,
    settings: AugmentSettings,
    rng: np.random.Generator,
    *,
    zoom: float = 1,
) -> tuple[Image, Labels]:
    """Cut a random window and scale it to ``crop_px``; images smaller than it are mirrored."""
    low, high = np.log(settings.scale_range)
    is_wide = rng.random() < settings.wide_aspect_probability
    aspect = rng.uniform(-0.5, 0.5, 2) * (WIDE_ASPECT_JITTER if is_wide else ASPECT_JITTER)
    scale = zoom * np.exp(rng.uniform(low, high) + aspect)
    window = np.maximum(np.rint(settings.crop_px / scale), 1).astype(int)
    missing = np.maximum(window - image.shape[:2], 0)
    if missing.any():
        image, labels = _mirror(image, missing), _mirror(labels, missing)
    top, left = (int(rng.integers(0, n - w + 1)) for n, w in zip(labels.shape, window, strict=True))
    inside = np.s_[top : top + window[0], left : left + window[1]]
    size = (settings.crop_px, settings.crop_px)
    method = cv2.INTER_AREA if window.min() > settings.crop_px else cv2.INTER_LINEAR
    # INTER_NEAREST would shift the labels by half a pixel against the image.
    scaled = cv2.resize(
        labels[inside].astype(np.uint16), size, interpolation=cv2.INTER_NEAREST_EXACT
    )
    cut: Image = cv2.resize(image[inside], size, interpolation=method)  # type: ignore[assignment]
    return cut, scaled.astype(np.int32)


def _mirror(array: NDArray, missing: NDArray[np.int64]) -> NDArray:  # type: ignore[type-arg]
    pad = [(int(n) // 2, int(n) - int(n) // 2) for n in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, pad, mode="symmetric")


def paste_nuclei(image: Image, labels: Labels, rng: np.random.Generator) -> tuple[Image, Labels]:
    """Copy up to six nuclei of a crop to free places in it, next to others where possible.

    A copy is rotated and flipped at random, and two pixels around it are blended into the
    background. Touching nuclei lose the most score, so of ten random places the free one with the
    most contact to other nuclei is chosen.
    """
    image, labels = image.copy(), labels.copy()
    boxes = _boxes_within(labels)
    if not boxes:
        return image, labels
    for _ in range(int(rng.integers(1, MAX_PASTED + 1))):
        label, box = boxes[int(rng.integers(len(boxes)))]
        rows, columns = (slice(max(s.start - 2, 0), s.stop + 2) for s in box)
        turn, flipped = int(rng.integers(4)), rng.random() < 0.5
        patch = np.rot90(image[rows, columns], turn)
        mask = np.rot90(labels[rows, columns] == label, turn)
        if flipped:
            patch, mask = patch[:, ::-1], mask[:, ::-1]
        place = _best_place(labels, mask, rng)
        if place is not None:
            _paste(image, labels, patch, mask, place)
    return image, labels


def _boxes_within(labels: Labels) -> list[tuple[int, tuple[slice, slice]]]:
    """List the nuclei that do not touch an edge of the crop, with their bounding boxes."""
    return [
        (label, box)
        for label, box in enumerate(ndimage.find_objects(labels), 1)
        if box is not None
        and all(s.start > 0 and s.stop < n for s, n in zip(box, labels.shape, strict=True))
    ]


def _best_place(
    labels: Labels, mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[slice, slice] | None:
    room = np.subtract(labels.shape, mask.shape) + 1
    if (room <= 0).any():
        return None
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    best, most = None, -1
    for _ in range(PASTE_PLACES):
        row, column = (int(v) for v in rng.integers(0, room))
        place = np.s_[row : row + mask.shape[0], column : column + mask.shape[1]]
        taken = labels[place] > 0
        contact = int((taken & near).sum())
        if contact > most and not (taken & mask).any():
            best, most = place, contact
    return best


def _paste(
    image: Image, labels: Labels, patch: Image, mask: NDArray[np.bool_], place: tuple[slice, slice]
) -> None:
    alpha = np.maximum(cv2.GaussianBlur(mask.astype(np.float32), (5, 5), 1), mask)[..., None]
    alpha = np.where((labels[place] > 0)[..., None], 0, alpha)
    image[place] = np.rint(alpha * patch + (1 - alpha) * image[place]).astype(np.uint8)
    labels[place][mask] = labels.max() + 1
