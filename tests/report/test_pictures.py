import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaggle_dsb.commands.show import show_images
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.report.pictures import draw_picture
from tests.cases import draw

TRUTH = draw("11.22", "11.22", ".....")
IMAGE = np.zeros((3, 5, 3), np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    from kaggle_dsb.workspace.source import Source

    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder / "demo", n_train=3, n_test=1)
    prepared = prepare(folder / "demo", folder / "cache")
    return Source(folder / "demo", folder / "cache", True, prepared)


def width_of(path):
    with Image.open(path) as picture:
        return picture.width


def draw_and_measure(tmp_path, **labels):
    path = tmp_path / "picture.png"
    draw_picture(path, "name", IMAGE, **labels)
    return width_of(path)


def test_what_is_not_known_gets_no_panel(tmp_path):
    width = draw_and_measure(tmp_path, truth=None, predicted=None)
    two = draw_and_measure(tmp_path, truth=TRUTH, predicted=None)
    three = draw_and_measure(tmp_path, truth=TRUTH, predicted=TRUTH)
    assert two - width == three - two > 380


@pytest.mark.filterwarnings("error")
def test_a_name_that_the_font_lacks_is_drawn_without_a_warning(tmp_path):
    draw_picture(tmp_path / "picture.png", "細胞", IMAGE, truth=None, predicted=None)
    assert width_of(tmp_path / "picture.png")


def test_show_writes_a_picture_for_each_image(source, tmp_path):
    samples = load_samples(source.cache, "stage1_train")[:2]
    write_labels(tmp_path / "labels" / f"{samples[0].id}.png", samples[0].labels)
    ids = [samples[0].id[:10], samples[1].id]
    paths = show_images(source, ids, predicted=tmp_path / "labels", output=tmp_path / "out")
    assert paths == [tmp_path / "out" / f"{sample.id}.png" for sample in samples]
    first, second = map(width_of, paths)
    assert first > second


def test_an_id_that_nothing_begins_with_is_refused(source, tmp_path):
    first = load_samples(source.cache, "stage1_test")[0].id[:12]
    message = (
        f"{source.origin}: no image id starts with 'zz'; give an id or a prefix of one, such "
        f"as {first}"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        show_images(source, ["zz"], output=tmp_path)


def test_an_id_that_several_begin_with_is_refused(source, tmp_path):
    with pytest.raises(
        InputError, match=r"^'' is a prefix of 4 ids \(.*, \.\.\.\); give more characters$"
    ):
        show_images(source, [""], output=tmp_path)


def test_a_folder_without_labels_is_refused(source, tmp_path):
    id_ = load_samples(source.cache, "stage1_train")[0].id
    message = (
        f"{tmp_path}: contains no label images; expected ID.png, ID.tif or ID.npy for each image"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        show_images(source, [id_], predicted=Path(tmp_path), output=tmp_path)
