"""Pictures for the tests of the page: demo images with errors put into their labels."""

import base64
import zlib

import numpy as np

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.report.page import About
from kaggle_dsb.report.results import ImageResult

N_PICTURES = 6


def disturb(labels):
    """Return labels with a nucleus missing, two merged and one invented."""
    predicted = labels.copy()
    predicted[predicted == 1] = 0
    predicted[predicted == 3] = 2
    background = predicted[:6, :6] == 0
    predicted[:6, :6][background] = labels.max() + 1
    return predicted


def make_picture(number, *, with_truth=True, with_maps=True):
    image, labels = make_image(number, look=number)
    body = (labels > 0).astype(np.float32)
    return ImageResult(
        id=f"{number:02d}{'ab' * 31}",
        type=image_type(image),
        image=image,
        predicted=disturb(labels),
        truth=labels if with_truth else None,
        probability=np.stack([body, 0.5 * body]) if with_maps else None,
        fold=number % 2 if with_truth else None,
    )


ABOUT = About("first <try>", {"commit": "0123abc", "data": "demo"}, 'settings = "all & every"\n')


def unpack_labels(text, shape):
    """Undo `kaggle_dsb.report.display.pack_labels`, as the page does."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").reshape(shape)
    return steps.cumsum(axis=0, dtype=np.uint16).astype(np.int32)
