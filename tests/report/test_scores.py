import json
import re

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.commands.compare import compare_runs
from kaggle_dsb.competition.metric import ImageScore
from kaggle_dsb.files import InputError
from kaggle_dsb.report.scores import (
    HITS,
    describe_score,
    precision_table,
    read_scores,
    summarise_groups,
    tabulate,
)

HITS_A, HITS_B = (4,) * 5 + (2,) * 5, (1,) * 10


def write_csv(path, scores=(0.5, 0.25), ids=("a", "b")):
    rows = [
        {"ImageId": id_, "type": kind, "fold": fold, "score": score, "n_true": 4, "n_predicted": 4}
        | dict(zip(HITS, hits, strict=True))
        for id_, kind, fold, score, hits in zip(
            ids, ("tissue", "fluorescence"), (0, 1), scores, (HITS_A, HITS_B), strict=True
        )
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def write_json(path, **changes):
    image = {"score": 0.5, "type": "tissue", "n_true": 4, "n_predicted": 4, "hits": HITS_A}
    path.write_text(json.dumps({"score": 0.5, "images": {"a": image | changes}}))
    return path


def refuses(message, path):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_scores(path)


def test_a_table_of_validate_is_read(tmp_path):
    scores = read_scores(write_csv(tmp_path / "a.csv"))
    assert scores.index.tolist() == ["a", "b"]
    assert scores.loc["a", ["score", "type", "fold", "hits_95"]].tolist() == [0.5, "tissue", 0, 2]


def test_a_submission_is_read_from_its_folder(tmp_path):
    write_json(tmp_path / "score.json")
    scores = read_scores(tmp_path)
    assert scores.loc["a", ["score", "n_true", "hits_50"]].tolist() == [0.5, 4, 4]
    assert scores["fold"].isna().all()


def test_precision_is_that_of_the_score(tmp_path):
    table = precision_table(read_scores(write_csv(tmp_path / "a.csv")))
    assert table.loc["a"].tolist() == ImageScore(4, 4, HITS_A).precision.tolist()
    assert table.columns.tolist()[0] == 50


def test_a_summary_gives_each_type_its_mean_and_interval(tmp_path):
    table = summarise_groups(read_scores(write_csv(tmp_path / "a.csv")), "type")
    assert table.loc["tissue"].tolist() == [1, 0.5, 0.5, 0.5, 0.5, 0.0]
    assert table.index.tolist() == ["fluorescence", "tissue"]


def test_a_line_tells_the_mean_its_interval_and_the_spread_of_the_folds(tmp_path):
    csv, score = write_csv(tmp_path / "a.csv"), write_json(tmp_path / "score.json")
    assert describe_score(read_scores(csv)) == (
        "0.3750, 95 % CI 0.250 to 0.500, over 2 images; folds from 0.250 to 0.500, sd 0.125"
    )
    assert describe_score(read_scores(score)) == "0.5000, 95 % CI 0.500 to 0.500, over 1 images"


def test_tables_tell_folds_types_and_thresholds(tmp_path):
    tables = tabulate(read_scores(write_csv(tmp_path / "a.csv")))
    assert list(tables) == ["by fold", "by image type", "mean precision by IoU threshold"]
    assert tables["by fold"].index.tolist() == [0, 1]
    thresholds = tables["mean precision by IoU threshold"]
    assert thresholds.loc["0.50"].round(4).tolist() == [0.5714, 0.1429, 1.0]


def test_a_submission_has_no_table_of_folds(tmp_path):
    tables = tabulate(read_scores(write_json(tmp_path / "score.json")))
    assert list(tables) == ["by image type", "mean precision by IoU threshold"]


def test_two_tables_are_compared_over_all_and_by_type(tmp_path):
    a, b = write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv", scores=(0.6, 0.25))
    result = compare_runs(a, b)
    assert [name for name, _ in result.rows()] == ["all", "fluorescence", "tissue"]
    assert result.overall.difference.mean == pytest.approx(0.05)
    assert result.to_json()["comparisons"]["tissue"]["difference"] == pytest.approx(0.1)
    assert result.to_json()["comparisons"]["fluorescence"]["verdict"] == "undecided"


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "no.csv"
    refuses(f"{path}: no such file; expected a CSV from `validate --save` or a score.json", path)


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ImageId,EncodedPixels\na,1 1\n")
    refuses(f"{path}: has no column score; expected a table written by `validate --save`", path)


def test_another_json_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    refuses(
        f"{path}: is not a score.json; expected one of a submission, or of `score --json`", path
    )


def test_an_image_named_twice_is_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", ids=("a", "a"))
    refuses(f"{path}: lists image a twice, must list each once", path)


def test_an_id_that_two_sources_use_is_told_apart_by_them(tmp_path):
    path = write_csv(tmp_path / "a.csv", ids=("1", "1"))
    pd.read_csv(path).assign(source=["cells", "slides"]).to_csv(path, index=False)
    assert read_scores(path)["score"].to_dict() == {"cells/1": 0.5, "slides/1": 0.25}


def test_an_image_or_a_source_may_be_named_na(tmp_path):
    path = write_csv(tmp_path / "a.csv", ids=("NA", "NA"))
    table = pd.read_csv(path, keep_default_na=False).assign(source=["NA", "null"])
    table.to_csv(path, index=False)
    assert read_scores(path)["score"].to_dict() == {"NA/NA": 0.5, "null/NA": 0.25}


def test_an_image_without_a_score_is_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", scores=(0.5, np.nan))
    refuses(f"{path}: image b has no score", path)


def test_a_score_that_is_no_number_is_named(tmp_path):
    path = write_csv(tmp_path / "a.csv", scores=(0.5, "x"))
    with pytest.raises(InputError) as caught:
        read_scores(path)
    assert str(caught.value) == f"{path}: image b has score 'x', must be a number"


def test_a_table_that_cannot_be_read_is_told_in_one_line(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,2\n"3')
    with pytest.raises(InputError) as caught:
        read_scores(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)
