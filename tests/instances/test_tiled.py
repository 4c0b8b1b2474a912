from dataclasses import dataclass

import numpy as np
import pytest

from kaggle_dsb.instances import tiled
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_rule import OutlineRule
from kaggle_dsb.instances.tiled import find_in_tiles, find_nuclei
from kaggle_dsb.instances.watershed import WatershedParameters
from tests.instances.drawn import OUTLINE


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiled, "TILE_PX", 64)
    monkeypatch.setattr(tiled, "MARGIN_PX", 24)
    monkeypatch.setattr(tiled, "LARGE_PX", 10_000)


def draw_probability(height, width, seed=0):
    """Draw discs of many sizes, some on the seams, as a probability of float16."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    body = np.zeros((height, width))
    for row in range(12, height, 26):
        for column in range(12, width, 26):
            body[np.hypot(rows - row, columns - column) <= rng.integers(4, 11)] = 1
    return np.stack([body, np.zeros_like(body), body]).astype(np.float16)[np.newaxis]


FINDER = NucleusFinder(WatershedParameters(0.5, 0.5, min_seed_px=3, min_area_px=3), [], OUTLINE)


@pytest.mark.parametrize("size", [(200, 170), (64, 300), (129, 128)])
def test_tiles_find_the_same_nuclei_as_the_whole(small_tiles, size):
    probability = draw_probability(*size)
    image = np.zeros((*size, 3), np.uint8)
    whole = FINDER.find(probability, image)
    parts = find_in_tiles(FINDER, probability, image)
    assert parts.max() == whole.max() > 10
    pairs = np.unique(np.column_stack([whole.ravel(), parts.ravel()]), axis=0)
    assert len(pairs) == whole.max() + 1  # each is one of the other, pixel by pixel


def test_only_a_large_image_is_cut_into_tiles(small_tiles):
    sizes = []

    @dataclass(frozen=True)
    class Recording:
        outline: OutlineRule = OUTLINE
        is_glowing: bool | None = None

        def find(self, probability, image):
            assert image.shape[:2] == probability.shape[2:]
            sizes.append(image.shape[:2])
            return np.zeros(image.shape[:2], np.int32)

    for size in [(100, 100), (101, 100)]:
        labels = find_nuclei(
            Recording(), np.zeros((1, 3, *size), np.float16), np.zeros((*size, 3), np.uint8)
        )
        assert labels.shape == size
    assert sizes == [(100, 100), (88, 88), (88, 60), (61, 88), (61, 60)]


def test_nuclei_end_alike_in_all_tiles(small_tiles):
    """One half of the image glows, the other is darker than its ground."""
    probability = draw_probability(200, 170)
    image = np.full((200, 170, 3), 100, np.uint8)
    image[probability[0, 0] > 0] = 180
    image[150:][probability[0, 0, 150:] > 0] = 90
    asked, told = [], []

    class Rule(OutlineRule):
        def threshold(self, image, *, is_glowing):
            asked.append(image.shape)
            return super().threshold(image, is_glowing=is_glowing)

    @dataclass(frozen=True)
    class Recording:
        outline: OutlineRule
        is_glowing: bool | None = None

        def find(self, probability, image):
            told.append((self.outline.dark, self.outline.glowing, self.is_glowing))
            return np.zeros(image.shape[:2], np.int32)

    find_in_tiles(Recording(Rule(dark=0.4, glowing=0.2)), probability, image)
    assert asked == [(200, 170, 3)]
    assert len(told) > 1
    assert set(told) == {(0.2, 0.2, True)}
