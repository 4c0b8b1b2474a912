from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_dsb.config import PredictionSettings
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.predict import (
    Predictor,
    blending_window,
    pad_to_stride,
    resize,
    tile_slices,
)

CPU = torch.device("cpu")


class Grey(torch.nn.Module):
    """Says of each pixel how bright it is: what goes in must come out where it was."""

    def forward(self, image):
        share = image.mean(1, keepdim=True) / 255
        return torch.logit(torch.cat([share, torch.zeros_like(share), share], 1), eps=1e-6)


def make_predictor(networks, *, nucleus_px=None, precision=torch.float32, **options):
    prediction = PredictionSettings(**options)
    return Predictor(networks, prediction, nucleus_px=nucleus_px, device=CPU, precision=precision)


def predict(images, network=None, **options):
    return list(make_predictor([network or Grey()], **options).predict(images))


def discs(radius):
    """Draw nine whole bright discs of one radius on black."""
    side = 4 * radius
    rows, columns = np.indices((side, side)) - 2 * radius
    disc = (np.hypot(rows, columns) <= radius) * np.uint8(255)
    return np.repeat(np.tile(disc, (3, 3))[..., None], 3, 2)


def noise(height, width, seed=0):
    grey = np.random.default_rng(seed).integers(0, 256, (height, width, 1))
    return np.repeat(grey, 3, 2).astype(np.uint8)


@pytest.mark.parametrize("tta", ["none", "flips", "rotations", "d4"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (256, 256), (253, 301), (33, 20)])
def test_an_identity_network_gives_back_the_image(tta, size):
    image = noise(*size)
    (probability,) = predict([image], tta=tta, scales=[1])
    expected = stretch_contrast(image)[..., 0] / 255
    assert probability.shape == (3, *size)
    assert probability.dtype == np.float32
    assert np.abs(probability[0] - expected).max() < 1e-4


@pytest.mark.parametrize("size", [(256, 256), (253, 301), (520, 696)])
def test_scaling_back_and_forth_keeps_a_smooth_image(size):
    rows, columns = np.indices(size)
    grey = (127 + 60 * np.sin(rows / 25) + 60 * np.cos(columns / 25)).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, 2)
    (probability,) = predict([image], scales=[0.75, 1, 1.5])
    assert probability.shape == (3, *size)
    assert probability.dtype == np.float32
    assert np.abs(probability[0] - stretch_contrast(image)[..., 0] / 255).max() < 0.02


def test_a_large_image_is_computed_in_tiles_that_join_without_a_seam():
    image = noise(300, 470)
    (whole,) = predict([image], tta="none", scales=[1])
    (tiled,) = predict([image], tta="none", scales=[1], tile_px=128, overlap_px=32)
    assert np.abs(whole - tiled).max() < 1e-5


def test_the_mean_over_networks_is_the_mean_of_probabilities():
    class Constant(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, image):
            return torch.full((len(image), 3, *image.shape[-2:]), self.value)

    networks = [Constant(-20.0), Constant(0.0)]
    (probability,) = make_predictor(networks).predict([noise(32, 32)])
    assert np.allclose(probability, 0.25, atol=1e-6)


def test_images_of_mixed_sizes_come_back_in_their_order():
    images = [noise(40, 40, 1), noise(40, 40, 2), noise(64, 32, 3), noise(40, 40, 4)]
    for image, probability in zip(images, predict(images, tta="none", scales=[1]), strict=True):
        assert np.abs(probability[0] - stretch_contrast(image)[..., 0] / 255).max() < 1e-4


@pytest.mark.parametrize("radius", [6, 10, 16, 25])
def test_the_size_of_nuclei_is_measured_and_the_image_scaled_to_it(radius):
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.find_zoom(discs(radius)) == pytest.approx(28 / (2 * radius), rel=0.1)


def test_specks_do_not_outvote_the_nuclei_whose_size_is_measured():
    image = discs(16)
    for row in (2, 66, 130):
        for column in range(2, 192, 16):
            image[row : row + 5, column : column + 5] = 255
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.find_zoom(image) == pytest.approx(28 / 32, rel=0.1)


def test_the_pale_cell_around_a_nucleus_is_not_what_is_measured():
    cell, nucleus = discs(24), discs(10)
    image = np.where(cell > 0, 140, 0).astype(np.uint8)  # a body probability of 0.55
    side = nucleus.shape[0] // 3
    for row, column in np.ndindex(3, 3):
        middle = [48 + 96 * at - side // 2 for at in (row, column)]
        window = image[middle[0] : middle[0] + side, middle[1] : middle[1] + side]
        np.maximum(window, nucleus[:side, :side], out=window)
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.find_zoom(image) == pytest.approx(28 / 20, rel=0.1)


def test_an_image_without_nuclei_is_left_at_its_scale():
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.find_zoom(np.zeros((64, 64, 3), np.uint8)) == 1


def test_a_scaled_image_gives_its_probability_at_the_images_own_size():
    image = discs(7)
    (probability,) = predict([image], nucleus_px=28, tta="flips")
    assert probability.shape == (3, 84, 84)
    assert ((probability[0] > 0.5) == (image[..., 0] > 127)).mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 50)])
def test_an_array_that_keeps_its_size_is_not_resampled(size):
    array = noise(*size)
    assert resize(array, size) is array


def test_resizing_averages_where_it_shrinks():
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((4, 4))).astype(np.float32)
    assert np.allclose(resize(board, (4, 4)), 0.5)


@given(st.integers(1, 5000), st.sampled_from([64, 256, 1024]), st.sampled_from([0, 32]))
@settings(deadline=None)
def test_tiles_cover_every_pixel_and_overlap_enough(length, tile, overlap):
    slices = tile_slices(length, tile, overlap)
    assert slices[0].start == 0
    assert slices[-1].stop == length
    assert all(s.stop - s.start == min(tile, length) for s in slices)
    assert all(b.start <= a.stop - overlap for a, b in pairwise(slices))


@given(st.integers(1, 100), st.integers(1, 100))
@settings(deadline=None, max_examples=30)
def test_padding_mirrors_to_the_next_multiple_of_32(height, width):
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    padded = pad_to_stride(image)
    assert padded.shape[-2] % 32 == padded.shape[-1] % 32 == 0
    assert padded.shape[-2] - height < 32
    assert (padded[..., :height, :width] == image).all()
    assert set(padded.unique().tolist()) <= set(image.unique().tolist())


def test_a_window_falls_to_its_edges_and_is_nowhere_zero():
    window = blending_window(20, 30, 8)
    assert window.min() > 0
    assert window[10, 15] == 1
    assert (np.diff(window[10, :8]) > 0).all()


def test_bfloat16_on_the_cpu_is_close_to_float32():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    results = [
        next(make_predictor([network], precision=p).predict([noise(64, 64)]))
        for p in (torch.float32, torch.bfloat16)
    ]
    assert np.abs(results[0] - results[1]).max() < 0.1
