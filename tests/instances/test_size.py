import numpy as np
import pytest

from kaggle_dsb.instances.size import choose_zoom, median_diameter


def bars(*areas):
    """Lay out nuclei of these areas in one row; their shape does not matter."""
    return np.repeat(np.arange(1, len(areas) + 1), areas)[None].astype(np.int32)


def test_the_diameter_is_that_of_the_disc_of_the_same_area():
    assert median_diameter(bars(314)) == pytest.approx(20, abs=0.01)


def test_specks_do_not_outvote_nuclei():
    specks, nuclei = [4] * 60, [1963] * 13  # 2 and 50 pixels wide
    assert median_diameter(bars(*specks, *nuclei)) == pytest.approx(50, abs=0.1)


def test_gaps_in_the_labels_do_not_count():
    assert median_diameter(bars(314) * 7) == median_diameter(bars(314))


def test_without_nuclei_an_image_stays_at_its_scale():
    nothing = np.zeros((8, 8), np.int32)
    assert median_diameter(nothing) == 0
    assert choose_zoom(median_diameter(nothing), 28) == 1


@pytest.mark.parametrize(("diameter", "zoom"), [(1, 2.5), (14, 2), (28, 1), (900, 0.4)])
def test_a_zoom_stays_within_its_range(diameter, zoom):
    assert choose_zoom(diameter, 28) == zoom
