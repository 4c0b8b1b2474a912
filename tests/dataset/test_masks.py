"""Masks and label images that look alike: soft edges, lossy files, palettes, inverted ones."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from kaggle_dsb.dataset.masks import decode_mask, is_lossy
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.dataset.truth import number_values

DISC = np.zeros((64, 64), np.uint8)
cv2.circle(DISC, (30, 33), 12, 255, cv2.FILLED)


def save(image: NDArray | Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(target, form, **options)
    return target.getvalue()


def blur(mask: NDArray[np.uint8], brightest: int) -> NDArray[np.uint8]:
    soft = cv2.GaussianBlur(mask, (0, 0), 1).astype(float)
    return np.rint(soft * brightest / soft.max()).astype(np.uint8)


def read_as_truth(tmp_path: Path, data: bytes) -> NDArray:
    for name, content in (("images", save(DISC, "PNG")), ("masks", data)):
        (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name / "x.png").write_bytes(content)
    prepared = prepare(tmp_path / "own", tmp_path / "cache")
    (sample,) = load_samples(prepared.cache, "images")
    return sample.labels


@pytest.mark.parametrize("brightest", [255, 254, 90])
def test_soft_edges_are_no_labels_whatever_the_brightest_grey(brightest):
    soft = blur(DISC, brightest)
    np.testing.assert_array_equal(decode_mask(save(soft, "PNG")) > 0, soft > 0)
    assert np.unique(decode_mask(save(soft, "PNG"))).tolist() == [0, 1]


def test_a_label_image_of_one_mask_with_soft_edges_is_one_nucleus():
    soft = cv2.blur(DISC, (3, 3))
    assert number_values(soft).labels.max() == 1
    assert number_values((soft // 2).astype(np.uint8)).labels.max() == 1


@pytest.mark.parametrize("values", [(127, 255), (128, 255), (85, 170, 255), (1, 2)])
def test_labels_up_to_white_are_each_a_nucleus(values):
    labels = np.zeros((40, 40), np.uint8)
    for number, value in enumerate(values):
        labels[2 + 8 * number : 6 + 8 * number, 4:8] = value
    labels[24:38, 10:38] = values[-1]
    labels[2 + 8 * (len(values) - 1) : 6 + 8 * (len(values) - 1), 4:8] = 0
    truth = number_values(labels)
    assert np.bincount(truth.labels.ravel())[1:].tolist() == [16] * (len(values) - 1) + [14 * 28]
    assert truth.warnings == []


@pytest.mark.parametrize("form", ["WEBP", "JPEG2000"])
def test_only_lossy_files_are_thresholded(form):
    lossy = {"WEBP": {"quality": 30}, "JPEG2000": {"irreversible": True, "quality_layers": [20]}}
    lossless = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}
    colours = np.dstack([DISC] * 3)
    assert is_lossy(save(colours, form, **lossy[form]))
    assert not is_lossy(save(colours, form, **lossless[form]))
    mask = decode_mask(save(colours, form, **lossy[form]))
    assert mask.dtype == bool
    assert np.count_nonzero(mask != (DISC > 0)) < 20


@pytest.mark.parametrize("colours", [2, 4])
def test_a_palette_whose_black_is_not_first_has_a_black_background(tmp_path, colours):
    labels = np.zeros((64, 64, 3), np.uint8)
    labels[5:20, 5:20] = (255, 255, 255)
    if colours == 4:
        labels[30:50, 10:20], labels[30:50, 30:60] = (255, 0, 0), (0, 0, 255)
    indices = Image.fromarray(labels).quantize(colours)
    palette = np.array(indices.getpalette()).reshape(-1, 3)
    turned = indices.remap_palette(range(colours)[::-1]) if not palette[0].any() else indices
    found = read_as_truth(tmp_path, save(turned, "PNG"))
    np.testing.assert_array_equal(found > 0, labels.any(axis=2))
    assert found.max() == colours - 1


def test_an_inverted_tiff_is_the_same_as_a_mask_and_as_labels(tmp_path):
    target = io.BytesIO()
    tifffile.imwrite(target, DISC, photometric="miniswhite")
    np.testing.assert_array_equal(decode_mask(target.getvalue()), DISC > 0)
    np.testing.assert_array_equal(read_as_truth(tmp_path, target.getvalue()), DISC > 0)
