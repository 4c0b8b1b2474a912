from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.dataset.folds import (
    group_images,
    hold_out_alike,
    read_folds,
    select_source,
    split_folds,
    write_folds,
)
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.files import InputError

BUNDLED = Path(__file__).parents[2] / "kaggle_dsb" / "weights"


def test_crops_of_one_slide_are_in_one_group_and_other_slides_in_others(slides):
    group = group_images(slides)
    for name in "abc":
        assert len({group[id_] for id_ in slides if id_[0] == name}) == 1
    assert len(set(group.values())) == 3


def test_two_fields_of_one_acquisition_are_in_one_group():
    rng = np.random.default_rng(0)
    fields = [rng.poisson(12, (64, 64, 1)).repeat(3, 2).astype(np.uint8) for _ in range(2)]
    other = rng.poisson(30, (64, 64, 1)).repeat(3, 2).astype(np.uint8)
    group = group_images({"one": fields[0], "two": fields[1], "other": other})
    assert group["one"] == group["two"] != group["other"]


def test_images_of_different_size_are_never_in_one_group():
    grey = np.full((20, 20, 3), 7, np.uint8)
    group = group_images({"small": grey[:10], "large": grey})
    assert group["small"] != group["large"]


def many_groups():
    rng = np.random.default_rng(1)
    images = {}
    for number in range(24):
        ground = 20 + 3 * number if number < 16 else 150 + 4 * number
        field = rng.normal(ground, 1 + number / 8, (32, 32, 1)).repeat(3, 2)
        images[f"{number:02d}"] = field.clip(0, 255).astype(np.uint8)
    return images


def test_each_image_is_in_one_fold_and_each_group_in_one_fold():
    folds = split_folds(many_groups(), n_folds=3, seed=0)
    assert sorted(folds["ImageId"]) == sorted(many_groups())
    assert set(folds["fold"]) == {0, 1, 2}
    assert (folds.groupby("group")["fold"].nunique() == 1).all()


def test_folds_hold_each_type_in_like_numbers():
    folds = split_folds(many_groups(), n_folds=3, seed=0)
    counts = folds.groupby(["type", "fold"]).size().unstack(fill_value=0)
    assert (counts.max(axis=1) - counts.min(axis=1) <= 3).all()


def test_the_same_seed_gives_the_same_folds_in_whatever_order_images_come():
    images = many_groups()
    backwards = dict(reversed(images.items()))
    first, again = (split_folds(i, n_folds=3, seed=4) for i in (images, backwards))
    pd.testing.assert_frame_equal(first, again)


def test_types_rarer_than_folds_are_dealt_out_all_the_same():
    images = {"dark": np.full((9, 9, 3), 9, np.uint8), "bright": np.full((9, 9, 3), 200, np.uint8)}
    assert sorted(split_folds(images, n_folds=2, seed=0)["fold"]) == [0, 1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("group_of", "sizes"), [("abcc", [2, 2]), ("abbcccdddd", [5, 5])], ids=["four", "ten"]
)
def test_the_folds_of_a_single_type_are_of_like_size(group_of, sizes, seed):
    images = {str(n): np.full((9, 9, 3), 9, np.uint8) for n in range(len(group_of))}
    named = {str(n): group for n, group in enumerate(group_of)}
    folds = split_folds(images, n_folds=2, seed=seed, group_of=named)
    assert folds["fold"].value_counts().tolist() == sizes
    assert (folds.groupby("group")["fold"].nunique() == 1).all()


def test_the_seed_decides_which_groups_of_a_single_type_share_a_fold():
    images = {str(n): np.full((9, 9, 3), 9, np.uint8) for n in range(8)}
    named = {id_: id_ for id_ in images}
    first, other = (split_folds(images, n_folds=2, seed=n, group_of=named) for n in (0, 1))
    assert first["fold"].tolist() != other["fold"].tolist()


def test_more_folds_than_groups_are_refused(slides):
    with pytest.raises(InputError) as error:
        split_folds(slides, n_folds=5, seed=0)
    assert str(error.value) == (
        "cannot make 5 folds of 12 images in 3 groups: set folds.n_folds to at most 3, or write "
        "groups.csv (ImageId,group) beside the images, with a group for each if they are unrelated"
    )
    with pytest.raises(InputError, match="in 1 group: write groups"):
        split_folds(slides, n_folds=2, seed=0, group_of=dict.fromkeys(slides, "one"))


def test_a_table_of_folds_comes_back_as_it_was_written(tmp_path):
    folds = split_folds(many_groups(), n_folds=3, seed=0)
    write_folds(tmp_path / "folds.csv", folds)
    pd.testing.assert_frame_equal(read_folds(tmp_path / "folds.csv"), folds)


HEADER = "ImageId,type,group,fold\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\n1,2\n",
            "has columns ['a', 'b'], must have ['ImageId', 'source', 'type', 'group', 'fold']",
        ),
        (
            HEADER + "x,tissue,0,0\nx,tissue,0,0\n",
            "lists image x twice, must list each once",
        ),
        (
            HEADER + "x,moon,0,0\n",
            "has type 'moon', must be one of fluorescence, tissue, brightfield",
        ),
        (HEADER + ",tissue,0,0\n", "line 2 has no ImageId"),
        ("ImageId,source,type,group,fold\nx,,tissue,0,0\n", "line 2 has no source"),
        (HEADER + "x,tissue,0,0,1\n", "has lines of more than 5 values"),
        (
            HEADER + "x,tissue,0,0\ny,tissue,1,b\n",
            "line 3 has fold b, must be a non-negative integer",
        ),
        (HEADER + "x,tissue,0,-1\n", "line 2 has fold -1, must be a non-negative integer"),
        (HEADER + "x,tissue,0.5,0\n", "line 2 has group 0.5, must be a non-negative integer"),
        (HEADER + "x,tissue,,0\n", "line 2 has group nan, must be a non-negative integer"),
        (
            HEADER + "x,tissue,0,0\ny,tissue,0,0,1\n",
            "cannot be read as a table of folds (Error tokenizing data. C error: "
            "Expected 4 fields in line 3, saw 5)",
        ),
        (
            HEADER + "x,tissue,3,0\ny,tissue,3,1\n",
            "splits group 3 across folds, must keep it whole",
        ),
    ],
)
def test_a_wrong_table_of_folds_is_refused(tmp_path, text, message):
    path = tmp_path / "folds.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_folds(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.kaggle_data
def test_the_bundled_folds_are_those_the_code_makes_of_the_competitions_images(competition):
    images = {s.id: s.image for s in load_samples(competition.cache, "stage1_train")}
    bundled = select_source(read_folds(BUNDLED / "folds.csv"), "dsb2018")
    made = split_folds(images, n_folds=4, seed=0)
    pd.testing.assert_frame_equal(made, bundled)


def test_a_table_of_an_older_version_is_of_the_competitions_images(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("ImageId,type,group,fold\na,tissue,0,1\n")
    assert read_folds(path)["source"].tolist() == ["dsb2018"]


def test_two_sources_may_name_their_images_alike(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text(
        "ImageId,source,type,group,fold\n1,dsb2018,tissue,0,1\n1,mine,tissue,1,0\n2,mine,tissue,1,0\n"
    )
    table = read_folds(path)
    assert select_source(table, "mine")["fold"].tolist() == [0, 0]
    assert select_source(table, "other")["fold"].tolist() == [1]


def test_an_image_or_a_source_may_be_named_na(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("ImageId,source,type,group,fold\nNA,null,tissue,0,1\n")
    assert read_folds(path)[["ImageId", "source"]].to_numpy().tolist() == [["NA", "null"]]


def test_tables_hold_out_alike_where_shared_images_are_in_the_same_folds():
    first = pd.DataFrame({"ImageId": ["a", "b"], "source": "dsb2018", "fold": [0, 1]})
    more = pd.DataFrame({"ImageId": ["a", "c"], "source": "dsb2018", "fold": [0, 0]})
    other = pd.DataFrame({"ImageId": ["a", "c"], "source": "dsb2018", "fold": [1, 0]})
    assert hold_out_alike(first, more)
    assert not hold_out_alike(first, other)
