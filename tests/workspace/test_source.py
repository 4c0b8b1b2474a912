import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from kaggle_dsb.dataset.archive import ACCEPTED_FORMS
from kaggle_dsb.dataset.demo import make_image, write_demo
from kaggle_dsb.dataset.originals import opening_originals
from kaggle_dsb.dataset.samples import list_sets, load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.workspace.source import (
    choose_test_set,
    find_truth,
    load_with_truth,
    open_set,
    open_source,
    read_solution_labels,
    require_train_set,
)


def write_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.fixture(scope="module")
def drawn(small_demo, tmp_path_factory):
    """Draw the demo set once; it has a training set and a test set with its solution."""
    folder = tmp_path_factory.mktemp("drawn") / "demo"
    write_demo(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_data_the_demo_set_is_drawn_unless_there_is_a_folder_data(here, drawn):
    calls = []
    source = open_source(
        None, work=here / "work", progress=lambda done, total: calls.append((done, total))
    )
    assert (source.is_demo, source.name) == (True, "demo")
    assert calls[-1][0] == calls[-1][1] == sum(source.prepared.images.values())
    Path("data").mkdir()
    Path("data/.DS_Store").touch()
    assert open_source(None, work=here / "work").is_demo
    shutil.rmtree("data")
    shutil.copytree(drawn, "data")
    assert not open_source(None, work=here / "work").is_demo
    assert open_source(None, work=here / "work", demo=True).is_demo


def test_a_source_is_named_by_its_path_from_here(here, drawn):
    shutil.copytree(drawn, "downloads/dsb")
    source = open_source(here / "downloads" / "dsb", work=here / "work")
    assert source.name == "downloads/dsb"


def test_a_source_in_the_home_folder_is_named_by_its_place_and_its_whole_name(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    write_png(here / "cells.v2" / "images" / "a.png", np.zeros((8, 8), np.uint8))
    source = open_source(Path("~/cells.v2"), work=here / "work")
    assert (source.name, source.dataset_name) == ("cells.v2", "cells.v2")


def test_a_source_on_another_drive_is_named_by_its_whole_path(here, drawn, monkeypatch):
    def refuse(_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    shutil.copytree(drawn, "dsb")
    source = open_source(Path("dsb"), work=here / "work")
    monkeypatch.setattr("kaggle_dsb.workspace.source.os.path.relpath", refuse)
    assert source.name == str(here / "dsb")


def test_a_source_in_tables_of_folds_is_its_whole_folder_name(here, monkeypatch):
    write_png(here / "cells.v2" / "images" / "a.png", np.zeros((8, 8), np.uint8))
    assert open_source(here / "cells.v2", work=here / "work").dataset_name == "cells.v2"
    monkeypatch.chdir(here / "cells.v2")
    assert open_source(Path(), work=here / "work").dataset_name == "cells.v2"


@pytest.mark.parametrize(
    ("name", "shown"), [("cells", "cells"), ("tissue", "source tissue"), ("all", "source all")]
)
def test_a_source_named_as_a_type_is_told_from_it_in_tables(here, name, shown):
    write_png(here / name / "images" / "a.png", np.zeros((8, 8), np.uint8))
    source = open_source(Path(name), work=here / "work")
    assert (source.dataset_name, source.shown_name) == (name, shown)


def test_a_limit_is_remembered_and_has_a_cache_of_its_own(here, drawn):
    whole = open_source(drawn, work=here / "work")
    part = open_source(drawn, work=here / "work", limit=1)
    assert (whole.limit, part.limit) == (None, 1)
    assert whole.cache != part.cache
    assert set(list_sets(part.cache).values()) == {1}
    assert len(part.sizes()) == 2
    assert len(read_solution_labels(part, "stage1_test")) == 1
    assert len(read_solution_labels(whole, "stage1_test")) > 1


def test_the_solution_is_the_truth_of_the_test_set_and_masks_of_the_others(here, drawn):
    source = open_source(drawn, work=here / "work")
    test_ids = read_solution_labels(source, "stage1_test").keys()
    assert test_ids == {sample.id for sample in load_samples(source.cache, "stage1_test")}
    assert read_solution_labels(source, "stage1_train") == {}
    name, labels = find_truth(source, test_ids)
    assert (name, labels.keys()) == (f"{drawn}/stage1_solution.csv", test_ids)
    sample, *_ = load_samples(source.cache, "stage1_train")
    name, labels = find_truth(source, {sample.id})
    assert name == f"{drawn}/stage1_train"
    assert np.array_equal(labels[sample.id], sample.labels)
    assert find_truth(source, {"another"}) is None


def test_a_wrong_solution_is_named_as_the_users_file_not_as_its_copy(here, drawn):
    shutil.copytree(drawn, "own")
    Path("own/stage1_solution.csv").write_text("a,b\n")
    source = open_source(Path("own"), work=here / "work")
    with pytest.raises(InputError) as raised:
        read_solution_labels(source, "stage1_test")
    assert str(raised.value) == "own/stage1_solution.csv: line 1 is 'a,b'; it must have ImageId"


def test_the_set_to_predict_is_the_one_named_else_a_test_set(here, drawn):
    source = open_source(drawn, work=here / "work")
    assert choose_test_set(source, None) == "stage1_test"
    assert choose_test_set(source, "stage1_train") == "stage1_train"
    with pytest.raises(InputError) as raised:
        choose_test_set(source, "stage3")
    assert str(raised.value) == f"{drawn}: has no set 'stage3'; it has stage1_test, stage1_train"
    with pytest.raises(InputError, match=r"stage1_train; `kaggle-dsb download` gets it$"):
        choose_test_set(source, "stage2_test_final")


def test_the_set_to_train_on_is_one_with_masks(here, drawn):
    source = open_source(drawn, work=here / "work")
    assert require_train_set(source) == "stage1_train"
    shutil.copytree(drawn / "stage1_test", "only/stage1_test")
    unlabelled = open_source(here / "only", work=here / "work")
    with pytest.raises(InputError) as raised:
        require_train_set(unlabelled)
    assert str(raised.value).startswith(
        f"{here / 'only'}: has no annotated set (only stage1_test); expected stage1_train"
    )


def test_annotations_without_nuclei_are_told_from_none(here):
    for folder in ("images", "masks"):
        write_png(here / "dark" / folder / "x.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError) as raised:
        require_train_set(open_source(here / "dark", work=here / "work"))
    assert str(raised.value) == f"{here / 'dark'}: its annotations contain no nuclei (images)"


def test_which_of_several_annotated_sets_is_meant_must_be_said(here):
    for name in ("monday", "test", "tuesday"):
        write_png(here / "own" / name / "images" / "x.png", np.zeros((9, 9), np.uint8))
        write_png(here / "own" / name / "masks" / "x.png", np.eye(9, dtype=np.uint8))
    with pytest.raises(InputError) as raised:
        require_train_set(open_source(here / "own", work=here / "work"))
    assert str(raised.value) == (
        f"{here / 'own'}: has several annotated sets (monday, tuesday); name the folder of one, "
        "and train on further ones with --extra"
    )
    shutil.rmtree(here / "own" / "tuesday")
    assert require_train_set(open_source(here / "own", work=here / "work")) == "monday"


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Training", "Testing"), ("cells_train", "cells_test")]
)
def test_sets_of_ones_own_are_told_by_their_names(here, train, test):
    for name in (train, test):
        write_png(here / "own" / name / "images" / "x.png", np.zeros((9, 9), np.uint8))
        write_png(here / "own" / name / "masks" / "x.png", np.eye(9, dtype=np.uint8))
    source = open_source(here / "own", work=here / "work")
    assert require_train_set(source) == train
    assert choose_test_set(source, None) == test


@pytest.fixture
def alike(here):
    """A labelled source whose two sets hold images of the same names."""
    for number, name in enumerate(("train", "test")):
        image, labels = make_image(number, look=0)
        write_png(here / "own" / name / "images" / "x.png", image[:64, :64])
        write_png(here / "own" / name / "masks" / "x.png", labels[:64, :64].astype(np.uint16))
    return open_source(Path("own"), work=here / "work")


def test_the_truth_of_images_that_two_sets_hold_is_that_of_the_named_set(alike):
    for name in ("train", "test"):
        found, labels = find_truth(alike, {"x"}, set_name=name)
        (sample,) = load_samples(alike.cache, name)
        assert found == f"own/{name}"
        assert np.array_equal(labels["x"], sample.labels)


def test_the_truth_is_read_without_the_images(alike):
    expected = find_truth(alike, {"x"}, set_name="train")
    shutil.rmtree(alike.cache / "train" / "images")
    found = find_truth(alike, {"x"}, set_name="train")
    assert found[0] == expected[0]
    assert np.array_equal(found[1]["x"], expected[1]["x"])


def test_images_that_two_sets_hold_need_the_name_of_one(alike):
    with pytest.raises(InputError) as caught:
        find_truth(alike, {"x"})
    assert (
        str(caught.value) == "own: test and train contain these images; choose one with --set-name"
    )


def test_one_set_has_a_cache_of_its_own(here, drawn):
    whole = open_source(drawn, work=here / "work")
    part = open_set(drawn, "stage1_test", work=here / "work")
    assert whole.cache != part.cache
    assert list_sets(part.cache) == {"stage1_test": 2}
    assert open_set(drawn, None, work=here / "work").cache == whole.cache


def test_samples_of_a_test_set_have_the_labels_of_its_solution(here, drawn):
    source = open_source(drawn, work=here / "work")
    truth = read_solution_labels(source, "stage1_test")
    for sample in load_with_truth(source, "stage1_test"):
        np.testing.assert_array_equal(sample.labels, truth[sample.id])
    loaded = load_samples(source.cache, "stage1_train")
    for sample, expected in zip(load_with_truth(source, "stage1_train"), loaded, strict=True):
        np.testing.assert_array_equal(sample.labels, expected.labels)


def test_what_the_package_wrote_here_is_not_read_as_data(here):
    write_png(Path("cell.png"), np.zeros((8, 8), np.uint8))
    first = open_source(Path(), work=Path("work"))
    for name in (
        "submissions/one/labels/cell.png",
        "runs/mine/curves.png",
        "pictures/cell.png",
        "reports/oof.png",
        "build/kernels/cell.png",
        "work/cache/another/images/cell.png",
        "work/demo/stage1_train/a/images/a.png",
    ):
        write_png(Path(name), np.ones((8, 8), np.uint8))
    again = open_source(Path(), work=Path("work"))
    assert again.prepared.images == first.prepared.images == {"images": 1}
    assert not again.prepared.is_new
    with opening_originals(
        again.origin, "images", options=again.options, skipped=again.skipped
    ) as read:
        assert not read("cell").any()


@pytest.mark.parametrize("name", ["pictures", "submissions/one/labels", "work/own"])
def test_a_folder_of_results_is_read_where_it_is_the_data(here, name):
    write_png(Path(name, "cell.png"), np.zeros((8, 8), np.uint8))
    write_png(Path(name, "below", "cell.png"), np.zeros((8, 8), np.uint8))
    assert open_source(Path(name), work=Path("work")).prepared.images == {"images": 2}


def test_a_folder_whose_images_are_all_in_a_folder_of_results_names_it(here):
    write_png(Path("pictures/cell.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError) as error:
        open_source(Path(), work=Path("work"))
    assert str(error.value) == (
        ".: contains no images, besides the package's own pictures, work; expected "
        f"{ACCEPTED_FORMS}"
    )


def test_the_caches_are_not_read_where_the_work_folder_is_the_data(here):
    write_png(Path("cell.png"), np.zeros((8, 8), np.uint8))
    open_source(Path(), work=Path(), limit=1)
    prepared = open_source(Path(), work=Path()).prepared
    assert (prepared.images, prepared.warnings) == ({"images": 1}, ())
