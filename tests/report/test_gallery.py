import numpy as np
import pandas as pd
from PIL import Image

from kaggle_dsb.report.gallery import Mosaic, assemble, draw_mosaics, draw_sheet, make_thumb
from kaggle_dsb.report.style import FOLD_COLOURS


def crop(level):
    return np.full((20, 30, 3), level, np.uint8)


def colours_of(path):
    with Image.open(path) as picture:
        return {tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)}


def rgb(colour):
    return tuple(bytes.fromhex(colour[1:]))


def test_crops_are_put_where_they_belong():
    images = {"a": crop(10), "b": crop(20), "c": crop(30)}
    picture = assemble(images, {"a": (0, 0), "b": (0, 1), "c": (1, 1)})
    assert picture.shape == (40, 60, 3)
    assert picture[::20, ::30, 0].tolist() == [[10, 20], [255, 30]]


def test_a_thumbnail_is_the_middle_square():
    image = np.full((40, 80, 3), 200, np.uint8)
    image[:, :20] = image[:, 60:] = 250
    assert make_thumb(image, 10).tolist() == np.full((10, 10, 3), 200).tolist()


def test_a_sheet_has_a_cell_for_each_type_and_fold_that_holds_images(tmp_path):
    images = {name: crop(200) for name in "abc"}
    rows = [("a", "tissue", 0), ("b", "tissue", 1), ("c", "brightfield", 0)]
    table = pd.DataFrame(rows, columns=["ImageId", "type", "fold"])
    draw_sheet(tmp_path / "a.png", images, table)
    colours = colours_of(tmp_path / "a.png")
    assert {rgb(FOLD_COLOURS[0]), rgb(FOLD_COLOURS[1])} <= colours
    assert rgb(FOLD_COLOURS[2]) not in colours


def test_a_page_holds_twelve_mosaics_framed_by_fold(tmp_path):
    images = {"a": crop(200), "b": crop(210)}
    mosaic = Mosaic({"a": (0, 0), "b": (0, 1)}, frozenset({1}))
    (tmp_path / "groups-3.png").touch()  # of an earlier call
    pages = draw_mosaics(tmp_path, images, [mosaic] * 13)
    assert sorted(tmp_path.iterdir()) == pages
    assert [page.name for page in pages] == ["groups-1.png", "groups-2.png"]
    assert rgb(FOLD_COLOURS[1]) in colours_of(pages[1])
    assert rgb(FOLD_COLOURS[0]) not in colours_of(pages[1])
