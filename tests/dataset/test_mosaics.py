from kaggle_dsb.dataset.mosaics import mosaic_layout
from kaggle_dsb.dataset.neighbours import Neighbours


def test_mosaics_are_laid_out_from_their_seams():
    seams = [
        Neighbours("a", "b", "right"),
        Neighbours("a", "c", "below"),
        Neighbours("c", "d", "right"),
        Neighbours("x", "y", "below"),
    ]
    assert mosaic_layout(seams) == [
        {"a": (0, 0), "b": (0, 1), "c": (1, 0), "d": (1, 1)},
        {"x": (0, 0), "y": (1, 0)},
    ]
