import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kaggle_dsb.files import InputError
from kaggle_dsb.report.sources import (
    GENERALISATION,
    draw_sources,
    generalisation,
    read_sources,
    summarise_sources,
    tabulate_sources,
)

SCORES = pd.DataFrame(
    {
        "source": ["big"] * 4 + ["small"],
        "kind": ["a", "a", "a", "b", "c"],
        "score": [0.2, 0.4, 0.6, 0.8, 1.0],
    }
)


def height_of(path):
    with Image.open(path) as picture:
        return picture.height


def test_each_source_counts_alike_however_many_images_it_has():
    assert generalisation(SCORES) == pytest.approx((0.5 + 1) / 2)


def test_the_table_has_a_row_a_source_one_a_kind_where_there_are_several_and_their_mean():
    table = tabulate_sources(SCORES)
    assert table.index.tolist() == ["big", "big: a", "big: b", "small", GENERALISATION]
    assert table["images"].tolist() == [4, 3, 1, 1, 5]
    assert table["score"].to_numpy() == pytest.approx([0.5, 0.4, 0.8, 1.0, 0.75])


def test_the_summary_says_what_the_table_does():
    summary = summarise_sources(SCORES)
    table = tabulate_sources(SCORES)["score"]
    assert summary[GENERALISATION] == table[GENERALISATION]
    assert summary["sources"]["big"]["kinds"]["b"] == {"images": 1, "score": 0.8}


def test_the_sources_are_read_from_what_validate_saves(tmp_path):
    SCORES.assign(ImageId=list("abcde"), fold=0).to_csv(tmp_path / "a.csv", index=False)
    ids = [
        id_ if source == kind else f"{source}/{id_}"
        for id_, source, kind in zip("abcde", SCORES["source"], SCORES["kind"], strict=True)
    ]
    assert read_sources(tmp_path / "a.csv").equals(SCORES.set_index(pd.Index(ids)))


def test_a_table_that_does_not_tell_the_sources_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    SCORES[["score", "kind"]].assign(ImageId=list("abcde")).to_csv(path, index=False)
    message = f"{path}: has no column source; expected a table written by `validate --save`"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_sources(path)


def test_the_picture_grows_with_the_sources_and_shows_the_baseline(tmp_path):
    draw_sources(tmp_path / "one.png", SCORES[SCORES["source"] == "small"])
    draw_sources(tmp_path / "all.png", SCORES)
    assert height_of(tmp_path / "all.png") > height_of(tmp_path / "one.png")
    draw_sources(tmp_path / "both.png", SCORES, baseline=SCORES.assign(score=0.1))
    with Image.open(tmp_path / "all.png") as alone, Image.open(tmp_path / "both.png") as both:
        assert not np.array_equal(np.asarray(alone), np.asarray(both))
