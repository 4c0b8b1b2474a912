import time

import pytest

from kaggle_dsb.dataset.groups import deal_groups, group_by_name, read_groups
from kaggle_dsb.files import InputError


@pytest.mark.parametrize(
    ("ids", "groups"),
    [
        (["p01_1", "p01_2", "p02_1", "p02_2"], ["p01_", "p01_", "p02_", "p02_"]),
        (["A1 dapi", "A2 dapi", "B1 dapi", "B2 dapi"], ["A dapi", "A dapi", "B dapi", "B dapi"]),
        (["s_003", "s_024", "s_025", "s_50", "s_99"], ["s_0", "s_0", "s_1", "s_2", "s_3"]),
    ],
    ids=["patients", "ending behind the number", "blocks of numbers"],
)
def test_the_group_of_an_image_is_its_name_without_the_last_number(ids, groups):
    assert group_by_name(ids) == dict(zip(ids, groups, strict=True))


@pytest.mark.parametrize(
    "ids",
    [["left", "right", "top"], ["00ab1c", "3fe29d", "9a7c1b"], ["crop1", "crop2", "crop77"]],
    ids=["words", "hashes", "few numbers"],
)
def test_names_that_have_nothing_in_common_tell_no_groups(ids):
    assert group_by_name(ids) is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_groups_is_read(tmp_path, separator):
    path = tmp_path / "groups.csv"
    path.write_text("ImageId,group\na,1\nb,x y\nc,1\n".replace(",", separator))
    assert read_groups(path, ["a", "b"]) == {"a": "1", "b": "x y"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,group\na,1\n", "line 1 is 'id,group'; it must have ImageId"),
        ("", "the file is empty; its first line must be a header"),
        ("ImageId,group\na,1\n", "has no group for image b (2 images missing)"),
        ("ImageId,group\na,1\nb,1\nb,2\nc,1\n", "lists image b twice, must list each once"),
        ("ImageId,group\na,1\nb,\nc,1\n", "has no group for image b (1 images missing)"),
        (
            "ImageId,group\na.png,1\nb.png,1\nc.png,1\n",
            "has no group for image a (3 images missing); write the ImageId without the suffix, "
            "not a.png",
        ),
    ],
)
def test_a_table_of_groups_that_says_too_little_is_refused(tmp_path, text, message):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_groups(path, ["a", "b", "c"])
    assert str(error.value) == f"{path}: {message}"


def test_groups_stay_whole_and_folds_are_about_alike():
    sizes = {"a": 7, "b": 5, "c": 4, "d": 3, "e": 1}
    group_of = {f"{group}{n}": group for group, size in sizes.items() for n in range(size)}
    fold_of = deal_groups(group_of, 3)
    assert len({(group_of[id_], fold) for id_, fold in fold_of.items()}) == 5
    assert sorted(list(fold_of.values()).count(fold) for fold in range(3)) == [6, 7, 7]


def test_the_last_folds_stay_empty_where_groups_are_fewer_than_folds():
    assert deal_groups({"a": 0, "b": 0}, 3) == {"a": 0, "b": 0}


def test_errors_name_the_table_of_groups_that_the_user_knows(tmp_path):
    path, shown = tmp_path / "cache.csv", tmp_path / "own.zip" / "groups.csv"
    path.write_text("id,group\na,1\n")
    with pytest.raises(InputError) as error:
        read_groups(path, ["a"], shown=shown)
    assert str(error.value) == f"{shown}: line 1 is 'id,group'; it must have ImageId"


def test_a_long_table_with_its_last_image_twice_is_refused_at_once(tmp_path):
    rows = [f"image{number},a" for number in range(200_000)]
    path = tmp_path / "groups.csv"
    path.write_text("\n".join(["ImageId,group", *rows, rows[-1]]))
    started = time.monotonic()
    with pytest.raises(InputError, match="lists image image199999 twice"):
        read_groups(path, ["image0"])
    assert time.monotonic() - started < 20  # 25 s for 20,000 rows where it was quadratic
