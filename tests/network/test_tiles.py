from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_dsb.network.tiles import batch_tiles, blending_weights, cut_tiles, tile_slices


@given(st.integers(1, 5000), st.sampled_from([64, 256, 1024]), st.sampled_from([0, 32]))
@settings(deadline=None)
def test_tiles_cover_every_pixel_and_overlap_enough(length, tile, overlap):
    slices = tile_slices(length, tile, overlap)
    assert slices[0].start == 0
    assert slices[-1].stop == length
    assert all(s.stop - s.start == min(tile, length) for s in slices)
    assert all(b.start <= a.stop - overlap for a, b in pairwise(slices))


@given(st.integers(1, 3000), st.sampled_from([64, 256]), st.sampled_from([0, 31, 63]))
@settings(deadline=None, max_examples=50)
def test_the_weights_of_tiles_add_up_to_one_and_are_nowhere_zero(length, tile, overlap):
    slices = tile_slices(length, tile, overlap)
    total = np.zeros(length)
    for part, weight in zip(slices, blending_weights(slices, overlap), strict=True):
        assert weight.min() > 0
        total[part] += weight
    assert np.allclose(total, 1, atol=1e-6)


@given(st.integers(1, 900), st.integers(1, 900), st.floats(0.3, 3))
@settings(deadline=None, max_examples=50)
def test_tiles_of_an_image_are_small_and_weigh_one_together(height, width, zoom):
    total = np.zeros((height, width))
    tiles = cut_tiles(3, 1, (height, width), zoom, tile_px=256, overlap_px=32)
    for tile in tiles:
        assert (tile.image, tile.scale) == (3, 1)
        assert max(tile.size) <= 256
        total[tile.rows, tile.columns] += tile.weight()
    assert np.allclose(total, 1, atol=1e-5)
    batches = list(batch_tiles(tiles, 2 * 256 * 256))
    assert sum(map(len, batches)) == len(tiles)
    for batch in batches:
        assert len({tile.padded_size for tile in batch}) == 1
        padded = batch[0].padded_size
        assert len(batch) == 1 or len(batch) * padded[0] * padded[1] <= 2 * 256 * 256
