import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_dsb.config import PredictionSettings
from kaggle_dsb.instances.size import ZOOM_RANGE
from kaggle_dsb.instances.watershed import WatershedParameters
from kaggle_dsb.network import predict as predict_module
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.predict import (
    Predictor,
    SizeEstimate,
    pad_to_stride,
    prediction_facts,
    resize,
)
from kaggle_dsb.network.torch_engine import TorchEngine


class Grey(torch.nn.Module):
    """Says of each pixel how bright it is: what goes in must come out where it was."""

    def forward(self, image):
        share = image.mean(1, keepdim=True) / 255
        return torch.logit(torch.cat([share, torch.zeros_like(share), share], 1), eps=1e-6)


class Unscaled(Predictor):
    """Leaves images as they are."""

    def estimate_size(self, image):
        return SizeEstimate(1.0)

    def _check_size(self, image, zoom, probability):
        return probability


class Constant(torch.nn.Module):
    """A network with the same logit everywhere."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, image):
        return torch.full((len(image), 3, *image.shape[-2:]), self.value)


def make_predictor(networks, *, nucleus_px=None, precision="float32", **options):
    settings = PredictionSettings(**options)
    engine = TorchEngine(networks, tta=settings.tta, precision=precision)
    kind = Predictor if nucleus_px else Unscaled
    return kind(engine, settings, nucleus_px=nucleus_px)


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
    assert probability.shape == (1, 3, *size)
    assert probability.dtype == np.float32
    assert np.abs(probability[0, 0] - expected).max() < 1e-4


@pytest.mark.parametrize("size", [(256, 256), (253, 301), (520, 696)])
def test_scaling_back_and_forth_keeps_a_smooth_image(size):
    rows, columns = np.indices(size)
    grey = (127 + 60 * np.sin(rows / 25) + 60 * np.cos(columns / 25)).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, 2)
    (probability,) = predict([image], scales=[0.75, 1, 1.5])
    assert probability.shape == (3, 3, *size)
    assert probability.dtype == np.float32
    assert np.abs(probability[:, 0] - stretch_contrast(image)[..., 0] / 255).max() < 0.02


def test_a_large_image_is_computed_in_tiles_that_join_without_a_seam():
    image = noise(300, 470)
    (whole,) = predict([image], tta="none", scales=[1])
    (tiled,) = predict([image], tta="none", scales=[1], tile_px=128, overlap_px=32)
    assert np.abs(whole - tiled).max() < 1e-5


def test_networks_are_combined_by_their_mean_logit():
    networks = [Constant(-1.0), Constant(4.0)]
    (probability,) = make_predictor(networks, scales=[1]).predict([noise(32, 32)])
    assert np.allclose(probability, 1 / (1 + np.exp(-1.5)), atol=1e-6)


def test_one_certain_network_does_not_outvote_the_others():
    networks = [Constant(-60.0), Constant(4.0), Constant(4.0)]
    (probability,) = make_predictor(networks, scales=[1]).predict([noise(32, 32)])
    assert probability.min() > 0.5


@pytest.mark.parametrize(
    ("scales", "expected"),
    [([0.6, 1, 1.6], [2.5, 2.5, 2]), ([2, 1], [2, 2.5]), ([1.6], [2.5])],
)
def test_the_largest_of_several_scales_is_predicted_by_every_second_network(scales, expected):
    networks = [Constant(1.0), Constant(2.0), Constant(3.0), Constant(4.0)]
    (probability,) = make_predictor(networks, scales=scales).predict([noise(32, 32)])
    for planes, logit in zip(probability, expected, strict=True):
        assert np.allclose(planes, 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_images_of_mixed_sizes_come_back_in_their_order():
    images = [noise(40, 40, 1), noise(40, 40, 2), noise(64, 32, 3), noise(40, 40, 4)]
    for image, probability in zip(images, predict(images, tta="none", scales=[1]), strict=True):
        assert np.abs(probability[0, 0] - stretch_contrast(image)[..., 0] / 255).max() < 1e-4


@pytest.mark.parametrize("radius", [6, 10, 16, 25])
def test_the_size_of_nuclei_is_measured_and_the_image_scaled_to_it(radius):
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.estimate_size(discs(radius)).zoom == pytest.approx(28 / (2 * radius), rel=0.1)


def test_specks_do_not_outvote_the_nuclei_whose_size_is_measured():
    image = discs(16)
    for row in (2, 66, 130):
        for column in range(2, 192, 16):
            image[row : row + 5, column : column + 5] = 255
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.estimate_size(image).zoom == pytest.approx(28 / 32, rel=0.1)


def test_the_pale_cell_around_a_nucleus_is_not_what_is_measured():
    cell, nucleus = discs(24), discs(10)
    image = np.where(cell > 0, 140, 0).astype(np.uint8)  # a body probability of 0.55
    side = nucleus.shape[0] // 3
    for row, column in np.ndindex(3, 3):
        middle = [48 + 96 * at - side // 2 for at in (row, column)]
        window = image[middle[0] : middle[0] + side, middle[1] : middle[1] + side]
        np.maximum(window, nucleus[:side, :side], out=window)
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.estimate_size(image).zoom == pytest.approx(28 / 20, rel=0.1)


def test_an_image_without_nuclei_is_left_at_its_scale():
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.estimate_size(np.zeros((64, 64, 3), np.uint8)).zoom == 1


def test_a_scaled_image_gives_its_probability_at_the_images_own_size():
    image = discs(7)
    (probability,) = predict([image], nucleus_px=28, tta="flips")
    assert probability.shape == (3, 3, 84, 84)
    assert ((probability.mean(0)[0] > 0.5) == (image[..., 0] > 127)).mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 50)])
def test_an_array_that_keeps_its_size_is_not_resampled(size):
    array = noise(*size)
    assert resize(array, size) is array


def test_resizing_averages_where_it_shrinks():
    board = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((4, 4))).astype(np.float32)
    assert np.allclose(resize(board, (4, 4)), 0.5)


@given(st.integers(1, 100), st.integers(1, 100))
@settings(deadline=None, max_examples=30)
def test_padding_mirrors_to_the_next_multiple_of_32(height, width):
    image = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3)
    padded = pad_to_stride(image)
    assert padded.shape[0] % 32 == padded.shape[1] % 32 == 0
    assert padded.shape[0] - height < 32
    assert (padded[:height, :width] == image).all()
    assert set(padded.ravel().tolist()) <= set(image.ravel().tolist())


class Counting(Grey):
    """Remembers the shapes of what it was asked."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, image):
        self.shapes.append(tuple(image.shape))
        return super().forward(image)


def test_images_of_like_size_are_computed_together_where_the_device_gains_by_it():
    network = Counting()
    predictor = make_predictor([network], tta="none", scales=[1])
    predictor._engine.batch_px = 3 * 64 * 64
    images = [noise(60, 60, 1), noise(64, 64, 2), noise(60, 50, 3), noise(90, 40, 4)]
    probabilities = list(predictor.predict(images))
    assert sorted(network.shapes) == [(1, 3, 96, 64), (3, 3, 64, 64)]
    for image, probability in zip(images, probabilities, strict=True):
        (alone,) = predict([image], tta="none", scales=[1])
        assert (probability == alone).all()


def test_images_are_taken_as_they_are_needed():
    taken = []

    def images():
        for number in range(3):
            taken.append(number)
            yield noise(32, 32, number)

    probabilities = make_predictor([Grey()]).predict(images())
    next(probabilities)
    assert taken == [0, 1]


@pytest.mark.parametrize(("radius", "looks"), [(14, 1), (20, 1), (7, 2)])
def test_a_look_at_about_the_right_scale_is_the_prediction_of_a_single_network(radius, looks):
    network = Counting()
    predictor = make_predictor([network], nucleus_px=28, tta="none", scales=[1])
    (probability,) = predictor.predict([discs(radius)])
    assert len(network.shapes) == looks
    assert ((probability[0, 0] > 0.5) == (discs(radius)[..., 0] > 127)).mean() > 0.98


@pytest.mark.parametrize(
    ("options", "n_networks"),
    [({"scales": [0.8, 1.25]}, 1), ({"tta": "flips"}, 1), ({}, 2)],
    ids=["scales", "views", "networks"],
)
def test_a_look_does_not_stand_for_more_than_one_network_saw(options, n_networks):
    networks = [Counting() for _ in range(n_networks)]
    settings = {"tta": "none", "scales": [1]} | options
    list(make_predictor(networks, nucleus_px=28, **settings).predict([discs(14)]))
    assert len(networks[0].shapes) > 1


def test_a_look_far_from_the_right_scale_is_not_the_prediction():
    network = Counting()
    predictor = make_predictor([network], nucleus_px=28, tta="none", scales=[1])
    list(predictor.predict([discs(9)]))  # 18 pixels: a look at 1 instead of 1.56
    assert len(network.shapes) == 2


def test_another_network_can_measure_the_nuclei():
    class Blind(torch.nn.Module):
        def forward(self, image):
            return torch.full_like(image, -9.0)

    engines = [
        TorchEngine([network], tta="none", precision="float32") for network in (Blind(), Grey())
    ]
    settings = PredictionSettings(scales=[1])
    zooms = [
        Predictor(engines[0], settings, nucleus_px=28, sizing=sizing).estimate_size(discs(7)).zoom
        for sizing in (None, engines[1])
    ]
    assert zooms == [1, pytest.approx(2, rel=0.1)]


def test_a_large_image_is_looked_at_in_its_middle_and_kept_in_half_precision(monkeypatch):
    monkeypatch.setattr(predict_module, "SIZING_PX", 64)
    monkeypatch.setattr(predict_module, "HALF_PRECISION_PX", 2**16)
    network = Counting()
    image = np.tile(discs(14), (2, 2, 1))
    (probability,) = make_predictor(
        [network], nucleus_px=28, tta="none", scales=[1], tile_px=128, overlap_px=32
    ).predict([image])
    assert probability.dtype == np.float16
    assert max(max(shape) for shape in network.shapes) <= 128
    assert ((probability[0, 0] > 0.5) == (image[..., 0] > 127)).mean() > 0.99


def test_of_a_huge_image_only_the_mean_over_the_scales_is_kept(monkeypatch):
    options = {"tta": "none", "scales": [0.5, 1]}
    (each,) = predict([noise(64, 64)], **options)
    monkeypatch.setattr(predict_module, "ONE_MAP_PX", 64 * 64 - 1)
    (mean,) = predict([noise(64, 64)], **options)
    assert each.shape == (2, 3, 64, 64)
    assert mean.shape == (1, 3, 64, 64)
    assert np.abs(each[0] - each[1]).max() > 0.1
    assert np.allclose(mean[0], each.mean(0), atol=1e-6)


class MistakenAtFirst(Grey):
    """Sees the wrong size in the first look only."""

    def __init__(self, wrong):
        super().__init__()
        self._wrong = [wrong]

    def forward(self, image):
        if self._wrong:
            height, width = image.shape[-2:]
            image = torch.from_numpy(self._wrong.pop()).permute(2, 0, 1)[None].float()
            image = image[..., :height, :width]
        return super().forward(image)


def test_an_image_whose_size_was_mistaken_is_predicted_again():
    image = discs(8)  # 96 x 96 pixels
    predictor = make_predictor(
        [MistakenAtFirst(discs(22)[:96, :96])], nucleus_px=28, tta="none", scales=[1]
    )
    zooms = []
    predict_at = predictor._predict_at
    predictor._predict_at = lambda images, at: zooms.extend(at) or predict_at(images, at)
    list(predictor.predict([image]))
    assert zooms == [pytest.approx(28 / 44, rel=0.1), pytest.approx(28 / 16, rel=0.1)]


@pytest.mark.parametrize(
    ("diameter_px", "zoom"), [(28, 1), (14, 2), (9.0, ZOOM_RANGE[1]), (1000, ZOOM_RANGE[0])]
)
def test_a_known_diameter_replaces_every_look_at_the_image(diameter_px, zoom):
    network = Counting()
    options = {"nucleus_px": 28, "tta": "none", "scales": [1]}
    given = make_predictor([network], diameter_px=diameter_px, **options)
    assert given.estimate_size(discs(14)) == SizeEstimate(zoom)
    (probability,) = given.predict([discs(14)])
    side = -(-round(168 * zoom) // 32) * 32
    assert network.shapes == [(1, 3, side, side)]
    later = make_predictor([Grey()], **options).with_diameter(diameter_px)
    assert (next(later.predict([discs(14)])) == probability).all()


def test_a_predictor_is_unchanged_by_the_one_made_of_it_for_a_diameter():
    predictor = make_predictor([Grey()], nucleus_px=28, tta="none")
    assert predictor.with_diameter(14).estimate_size(discs(14)).zoom == 2
    assert predictor.estimate_size(discs(14)).zoom == pytest.approx(1, rel=0.1)


def test_the_facts_without_a_diameter_are_those_of_the_versions_before_it():
    facts = prediction_facts(PredictionSettings(), 28)
    assert facts["prediction"].keys() == {"tta", "scales", "tile_px", "overlap_px"}
    given = prediction_facts(PredictionSettings(diameter_px=12), 28)
    assert given == facts | {"prediction": facts["prediction"] | {"diameter_px": 12}}


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("kaggle_dsb.network.predict", "CACHE_FORMAT", 99),
        ("kaggle_dsb.network.predict", "QUANTILES_PERCENT", (1, 99)),
        ("kaggle_dsb.network.predict", "LEAST_RANGE", 12.0),
        ("kaggle_dsb.network.predict", "ZOOM_RANGE", (0.5, 2)),
        ("kaggle_dsb.network.predict", "SIZING_PASSES", 1),
        ("kaggle_dsb.network.predict", "SIZING_PX", 256),
        ("kaggle_dsb.network.predict", "WATERSHED_TO_MEASURE", WatershedParameters(0.5, 0.6, 1, 1)),
    ],
)
def test_whatever_determines_a_probability_is_among_its_facts(place, name, value, monkeypatch):
    facts = prediction_facts(PredictionSettings(), 28)
    monkeypatch.setattr(f"{place}.{name}", value)
    assert prediction_facts(PredictionSettings(), 28) != facts


def test_bfloat16_on_the_cpu_is_close_to_float32():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    results = [
        next(make_predictor([network], precision=p).predict([noise(64, 64)]))
        for p in ("float32", "bfloat16")
    ]
    assert np.abs(results[0] - results[1]).max() < 0.1
