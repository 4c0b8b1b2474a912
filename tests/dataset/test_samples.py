import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import (
    SetSummary,
    describe,
    list_sets,
    load_samples,
    require_labels,
    sizes,
)
from kaggle_dsb.files import InputError


@pytest.fixture
def cache(tmp_path: Path, write_set: Callable, pictures: dict) -> Path:
    write_set(tmp_path / "data" / "stage1_train", pictures)
    wide = np.zeros((3, 9, 3), np.uint8)
    write_set(tmp_path / "data" / "stage1_test", {"c": (wide, []), "d": (wide, [])})
    return prepare(tmp_path / "data", tmp_path / "cache").cache


def test_samples_hold_what_the_source_held(cache: Path, pictures: dict) -> None:
    samples = load_samples(cache, "stage1_train")
    assert [sample.id for sample in samples] == ["a", "b"]
    for sample in samples:
        image, masks = pictures[sample.id]
        np.testing.assert_array_equal(sample.image, image[..., 2::-1])
        assert (sample.image.dtype, sample.labels.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(sample.labels > 0, np.any(masks, axis=0))


def test_a_set_without_masks_has_no_labels(cache: Path) -> None:
    assert [sample.labels for sample in load_samples(cache, "stage1_test")] == [None, None]


def test_an_image_without_masks_is_named_where_they_are_needed(cache: Path) -> None:
    sample = load_samples(cache, "stage1_test")[0]
    with pytest.raises(InputError) as caught:
        require_labels(sample)
    assert str(caught.value) == (
        "image c: has no masks, but every image of a labelled set needs them; add them, or remove "
        "the image"
    )


def test_sets_and_sizes_are_known_without_an_image(cache: Path) -> None:
    for path in cache.rglob("*.png"):
        path.unlink()
    assert list_sets(cache) == {"stage1_test": 2, "stage1_train": 2}
    assert sizes(cache, "stage1_test") == {"c": (3, 9), "d": (3, 9)}


def test_the_summary_counts_nuclei_sizes_and_the_types_a_classifier_names(cache: Path) -> None:
    summary = describe(cache, lambda image: "dark" if image.max() == 0 else "light")
    assert summary == [
        SetSummary("stage1_test", 2, 0, {(3, 9): 2}, {"dark": 2}),
        SetSummary("stage1_train", 2, 3, {(4, 6): 2}, {"light": 2}),
    ]


def test_an_unknown_set_is_told_which_there_are(cache: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_samples(cache, "train")
    assert str(caught.value) == f"{cache}: has no set 'train'; it has stage1_test, stage1_train"


@pytest.mark.parametrize("ask", [list_sets, lambda cache: sizes(cache, "stage1_test")])
def test_a_folder_that_is_no_cache_is_told(tmp_path: Path, ask: Callable) -> None:
    with pytest.raises(InputError) as caught:
        ask(tmp_path)
    assert str(caught.value) == f"{tmp_path}: contains no prepared data; prepare the data first"


WRONG_SIZE = cv2.imencode(".png", np.ones((6, 4), np.uint16))[1].tobytes()


@pytest.mark.parametrize(
    "content", [None, b"", b"text", WRONG_SIZE], ids=["gone", "empty", "text", "wrong size"]
)
def test_a_file_gone_or_damaged_is_named(cache: Path, content: bytes | None) -> None:
    path = cache / "stage1_train" / "labels" / "b.png"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_samples(cache, "stage1_train")
    assert str(caught.value) == (
        f"{path}: is missing or not an image of 4 x 6 pixels; delete the cache and prepare the "
        "data again"
    )


def test_a_missing_image_with_an_unprintable_name_is_named_in_a_printable_line(
    tmp_path: Path,
) -> None:
    index = tmp_path / "images" / "index.csv"
    index.parent.mkdir()
    index.write_text("ImageId,height,width,nuclei\na\xa0b,2,3,\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_samples(tmp_path, "images")
    assert str(caught.value) == (
        f"'{tmp_path}/images/images/a\\xa0b.png': is missing or not an image of 2 x 3 pixels; "
        "delete the cache and prepare the data again"
    )


def test_an_index_with_other_columns_is_refused(cache: Path) -> None:
    path = cache / "stage1_train" / "index.csv"
    path.write_text("id,height\n")
    with pytest.raises(InputError) as caught:
        sizes(cache, "stage1_train")
    assert str(caught.value) == (
        f"{path}: has columns ['id', 'height'], must have ['ImageId', 'height', 'width', 'nuclei']"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"a,x,3,1\n",
        b"a,2\n",
        b"\xff\n",
        b"a," + b"9" * 5000 + b",3,1\n",
        b"a\0,2,3,1\n",
        b"../a,2,3,1\n",
    ],
)
def test_a_damaged_index_is_named(tmp_path: Path, content: bytes) -> None:
    index = tmp_path / "stage1_train" / "index.csv"
    index.parent.mkdir()
    index.write_bytes(b"ImageId,height,width,nuclei\n" + content)
    message = f"{index}: is damaged; delete the cache and prepare the data again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_samples(tmp_path, "stage1_train")
