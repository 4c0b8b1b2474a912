import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.files import InputError
from kaggle_dsb.settings_files import find_settings_file, load_settings
from kaggle_dsb.training.sources import LabelledSource, divide, load_sources, make_folds
from kaggle_dsb.workspace.source import open_source
from tests.training.tiny import tiny


def small_source(name, groups):
    image = np.zeros((8, 8, 3), np.uint8)
    labels = np.zeros((8, 8), np.int32)
    samples = [Sample(f"{n:02}", image, labels) for n in range(len(groups))]
    group_of = {sample.id: group for sample, group in zip(samples, groups, strict=True)}
    return LabelledSource(name, samples, group_of)


@pytest.fixture
def cells():
    return small_source("cells", ["a", "a", "a", "b", "c"])


@pytest.fixture
def slides():
    return small_source("slides", ["a", "b"])


def test_what_is_held_out_is_not_trained_on(main_source, folds):
    data = divide([main_source], folds, fold=0, settings=tiny())
    assert [s.id for s in data.held_out] == ["i0"]
    assert [s.id for s in data.train] == ["i1", "i2", "i3"]


def test_each_type_is_drawn_with_its_share(main_source, folds):
    shares = tiny().training.type_shares
    weight = divide([main_source], folds, fold=0, settings=tiny()).train_weight
    assert weight == pytest.approx([shares.fluorescence, shares.tissue, shares.brightfield])


def test_an_image_in_no_fold_is_refused(main_source, folds):
    with pytest.raises(InputError) as error:
        divide([main_source], folds[1:], fold=0, settings=tiny())
    assert str(error.value) == (
        "image i0 is not in folds.csv (1 images missing); train with the images that the run was "
        "started with, or choose another --name"
    )


def test_a_fold_that_holds_nothing_out_is_refused(main_source, folds):
    with pytest.raises(InputError) as error:
        divide([main_source], folds, fold=5, settings=tiny())
    assert str(error.value) == (
        "fold 5 leaves 4 images to train on and holds out 0: both need at least one; the folds "
        "are [0, 1]"
    )


def test_shares_that_are_all_zero_are_refused(main_source, folds):
    none = {f"training.type_shares.{kind}=0" for kind in ("fluorescence", "tissue", "brightfield")}
    with pytest.raises(InputError, match="are 0 for all training images"):
        divide([main_source], folds, fold=0, settings=load_settings(overrides=sorted(none)))


def test_a_network_of_everything_is_trained_on_every_image(main_source, folds):
    data = divide([main_source], folds, fold=None, settings=tiny())
    assert [s.id for s in data.train] == ["i0", "i1", "i2", "i3"]
    assert not data.held_out


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_table_names_the_groups_of_a_folder_and_of_a_zip(tmp_path, is_packed):
    for number in range(4):
        path = tmp_path / "cells" / "images" / f"i{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
        (tmp_path / "cells" / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "cells" / "masks" / path.name), np.eye(8, dtype=np.uint8))
    text = "ImageId,group\ni0,a\ni1,b\ni2,b\ni3,a\n"
    (tmp_path / "cells" / "groups.csv").write_text(text)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "cells")
    path = tmp_path / ("packed.zip" if is_packed else "cells")
    (source,) = load_sources(open_source(path, work=tmp_path / "work"))
    assert source.group_of == {"i0": "a", "i1": "b", "i2": "b", "i3": "a"}
    (tmp_path / "cells" / "groups.csv").write_text(text + "i0,b\n")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "cells")
    changed = open_source(path, work=tmp_path / "work")
    with pytest.raises(InputError, match=rf"{path.name}/groups.csv: lists image i0 twice"):
        load_sources(changed)


def test_groups_of_extra_sources_are_dealt_out_whole(main_source, folds, cells, slides):
    table = make_folds([main_source, cells, slides], tiny(), known=folds)
    assert table[:4].equals(folds)
    assert table["source"].value_counts().to_dict() == {"cells": 5, "dsb2018": 4, "slides": 2}
    assert table[table["source"] == "cells"]["fold"].tolist() == [0, 0, 0, 1, 1]
    assert sorted(table[table["source"] == "slides"]["fold"]) == [0, 1]
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert table.groupby("group")["source"].nunique().eq(1).all()


def test_a_fold_may_hold_out_an_extra_source_as_a_whole(main_source, folds, cells, slides):
    settings = tiny("folds.extra=sources")
    third = small_source("third", ["a", "b"])
    sources = [main_source, cells, slides, third]
    table = make_folds(sources, settings, known=folds)
    fold_of = table.groupby("source")["fold"].unique().map(list).to_dict()
    assert fold_of == {"dsb2018": [0, 1], "cells": [0], "slides": [1], "third": [0]}
    data = divide(sources, table, fold=1, settings=settings)
    assert len(data.train) == 1 + 5 + 2
    assert len(data.held_out) == 3 + 2


def test_without_known_folds_the_main_source_is_split_too(main_source, cells):
    table = make_folds([main_source, cells], tiny("folds.n_folds=2"))
    assert table["source"].tolist() == ["dsb2018"] * 4 + ["cells"] * 5
    assert set(table["fold"]) == {0, 1}


def test_sources_that_a_run_knows_keep_their_folds(main_source, folds, cells, slides):
    known = make_folds([main_source, slides], tiny(), known=folds)
    table = make_folds([main_source, cells, slides], tiny("folds.extra=sources"), known=known)
    assert table[: len(known)].equals(known)


def test_other_images_under_a_known_name_are_dealt_out_beside_the_known_ones(main_source, folds):
    other = folds.assign(ImageId=["a", "b", "c", "d"])
    table = make_folds([main_source], tiny("folds.n_folds=2"), known=other)
    assert table[:4].equals(other)
    assert table["ImageId"][4:].tolist() == ["i0", "i1", "i2", "i3"]
    assert set(table["group"][4:]) & set(other["group"]) == set()


def weights_by_source(sources, table, settings, fold):
    data = divide(sources, table, fold=fold, settings=settings)
    name_of = {id(s): source.name for source in sources for s in source.samples}
    weight = pd.Series(data.train_weight).groupby([name_of[id(s)] for s in data.train]).sum()
    return weight.round(6).to_dict()


def test_extra_sources_share_what_is_set_for_them(main_source, folds, cells, slides):
    sources = [main_source, cells, slides]
    table = make_folds(sources, tiny(), known=folds)
    assert weights_by_source(sources, table, tiny(), 0) == {
        "dsb2018": 1,
        "cells": 0.4,
        "slides": 0.4,
    }
    settings = tiny("training.source_shares.slides=0.1", "training.extra_share=0.5")
    assert weights_by_source(sources, table, settings, None) == {
        "dsb2018": 1,
        "cells": 0.5,
        "slides": 0.1,
    }


def test_within_a_source_large_groups_do_not_outvote_small_ones(main_source, folds, cells):
    sources = [main_source, cells]
    table = make_folds(sources, tiny(), known=folds)
    weight = divide(sources, table, fold=None, settings=tiny()).train_weight[4:]
    assert weight[3] / weight[0] == pytest.approx(3**0.5)
    assert weight[3] == weight[4]


def test_the_profile_of_sources_draws_from_each_as_it_says(main_source, folds):
    settings = load_settings(find_settings_file(Path("sources")))
    table = folds.assign(fold=[0, 1, 2, 3])
    names = ["tnbc", "nuinsseg", "bsst265", "mnfinder"]
    sources = [main_source, *(small_source(name, ["a", "b"]) for name in names)]
    table = make_folds(sources, settings, known=table)
    for fold, left_out in enumerate(names):
        weights = weights_by_source(sources, table, settings, fold)
        expected = {"tnbc": 0.07, "nuinsseg": 0.13, "bsst265": 0.12, "mnfinder": 0.08}
        expected.pop(left_out)
        assert {name: weights[name] for name in expected} == expected
        assert left_out not in weights
    assert weights_by_source(sources, table, settings, None)["dsb2018"] == pytest.approx(0.6)
    training, augment = settings.training, settings.augment
    assert (augment.crop_px, augment.scale_range) == (192, (0.55, 1.9))
    assert (training.epochs, training.crops_per_epoch, training.batch_size) == (16, 1000, 8)
    assert training.learning_rate == 1e-3
    assert training.weight_decay == Settings().training.weight_decay


def test_a_new_main_source_has_the_folds_of_the_settings_beside_known_ones(cells):
    known = make_folds([small_source("other", "abcd")], tiny("folds.n_folds=4"))
    extra = small_source("extra", "abcd")
    table = make_folds([cells, extra], tiny("folds.n_folds=2"), known=known)
    assert set(table["fold"][table["source"] != "other"]) == {0, 1}
