import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.commands.validate import OutOfFold, Validation
from kaggle_dsb.dataset.disturb import DISTURBANCES
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.network.predict import WATERSHED_TO_MEASURE
from kaggle_dsb.workspace.run import open_run
from kaggle_dsb.workspace.source import open_source
from tests.commands.examples import QUICK, save_scorer, write_png


def test_validate_scores_each_image_with_the_network_that_has_not_seen_it(data, weights, capsys):
    call = ["validate", "--weights", "weights", *QUICK]
    assert run([*call, "--save", "oof.csv"]) == 0
    table = pd.read_csv("oof.csv")
    assert table[["ImageId", "fold"]].to_numpy().tolist() == [["n0", 0], ["n1", 1]]
    assert "out-of-fold score of weights" in capsys.readouterr().out
    assert run([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["score"] == pytest.approx(table["score"].mean())
    assert set(report["per_fold"]) == {"0", "1"}


def test_each_fold_is_predicted_by_its_own_network(data, weights):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    (only,) = map(np.load, Path("work/oof").glob("*/n1-*.npy"))
    table = "ImageId,type,group,fold\nn0,fluorescence,0,0\nn1,fluorescence,1,0\n"
    (weights / "folds.csv").write_text(table)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    first, second = map(np.load, Path("work/oof").glob("*/n1-*.npy"))
    assert (first != second).any()
    assert any((only == probability).all() for probability in (first, second))


def test_probabilities_of_another_measure_of_size_are_not_taken_for_these(
    data, weights, monkeypatch
):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    other = replace(WATERSHED_TO_MEASURE, body_threshold=0.3)
    monkeypatch.setattr("kaggle_dsb.network.predict.WATERSHED_TO_MEASURE", other)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    assert len(list(Path("work/oof").glob("*/n1-*.npy"))) == 2


def test_the_probability_of_an_image_is_not_taken_for_that_of_its_successor(data, weights):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    image = np.random.default_rng(0).integers(0, 256, (70, 61, 3)).astype(np.uint8)
    write_png(data / "stage1_train" / "n1" / "images" / "n1.png", image)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    first, second = map(np.load, Path("work/oof").glob("*/n1-*.npy"))
    assert (first != second).any()
    assert len(list(Path("work/oof").glob("*/n0-*.npy"))) == 1


def test_validation_tells_where_the_score_goes_and_draws_the_worst(data, weights, capsys):
    call = [
        "validate",
        "--weights",
        "weights",
        "--errors",
        "--worst",
        "1",
        "--output",
        "seen",
        *QUICK,
    ]
    write_png(Path("seen/worst-2-earlier.png"), np.zeros((9, 9), np.uint8))
    assert run(call) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("missed", "invented", "merged", "split", "outline"))
    drawn = sorted(path.name for path in Path("seen").iterdir())
    assert drawn[0] == "losses.png"
    assert drawn[1].startswith("worst-1-n")
    assert len(drawn) == 2


def test_validation_scores_every_disturbance(data, weights, capsys):
    assert run(["validate", "--weights", "weights", "--disturbed", *QUICK]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in DISTURBANCES)


def test_validate_scores_foreign_images_by_the_mean_of_all_networks(data, weights, foreign, capsys):
    call = ["validate", "--weights", "weights", "--foreign", "foreign", *QUICK]
    assert run([*call, "--save", "all.csv"]) == 0
    assert re.search(r"^generalisation +4 +0[.][0-9]+$", capsys.readouterr().out, re.MULTILINE)
    table = pd.read_csv("all.csv")
    assert table["source"].tolist() == [*["fluorescence, other sizes"] * 2, *["foreign"] * 2]
    assert table["fold"].isna().tolist() == [False, False, True, True]
    assert run([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    by_source = table.groupby("source")["score"].mean()
    assert report["generalisation"] == pytest.approx(by_source.mean(), abs=1e-6)
    assert report["sources"]["foreign"]["images"] == 2
    assert report["images"] == 2  # the out-of-fold score is that of the run's own images
    (mean,) = map(np.load, Path("work/oof").glob("*/foreign/f0-*.npy"))
    (weights / "fold1.safetensors").unlink()
    assert run(call) == 0
    alone = [np.load(path) for path in Path("work/oof").glob("*/foreign/f0-*.npy")]
    assert any((each != mean).any() for each in alone)


def test_validate_scores_a_foreign_source_that_a_fold_held_out_by_its_network(
    data, weights, foreign, capsys
):
    table = (
        "ImageId,source,type,group,fold\nn0,dsb2018,fluorescence,0,0\n"
        "n1,dsb2018,fluorescence,1,1\nf0,foreign,fluorescence,2,1\nf1,foreign,fluorescence,3,1\n"
    )
    (weights / "folds.csv").write_text(table)
    call = ["validate", "--weights", "weights", "--foreign", "foreign", *QUICK]
    assert run([*call, "--save", "all.csv"]) == 0
    assert pd.read_csv("all.csv")["fold"].tolist() == [0, 1, 1, 1]
    folder = {path.parent for path in Path("work/oof").glob("*/n1-*.npy")}
    assert {path.parent.parent for path in Path("work/oof").glob("*/foreign/f*.npy")} == folder


def test_images_added_to_a_source_after_training_are_scored_by_all_networks(data, weights, foreign):
    table = "ImageId,source,type,group,fold\nn0,dsb2018,fluorescence,0,0\n"
    rows = "n1,dsb2018,fluorescence,1,1\nf0,foreign,fluorescence,2,1\n"
    (weights / "folds.csv").write_text(table + rows)
    call = ["validate", "--weights", "weights", "--foreign", "foreign", *QUICK]
    assert run([*call, "--save", "all.csv"]) == 0
    folds = pd.read_csv("all.csv").set_index("ImageId")["fold"]
    assert folds[["n0", "n1", "f0"]].tolist() == [0, 1, 1]
    assert np.isnan(folds["f1"])


def test_two_sources_of_one_name_are_refused(data, weights, foreign, capsys):
    call = ["validate", "--weights", "weights", "--foreign", "foreign", "--foreign", "foreign"]
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: two sources are named foreign: rename the folder of one of them"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("validate --disturbed --save a.csv", "--save: has no effect with --disturbed"),
        ("validate --disturbed --errors", "--errors: has no effect with --disturbed"),
        ("validate --every 8", "--every: has no effect without --disturbed"),
        ("validate --worst 3", "--worst: has no effect without --errors"),
        ("validate --output seen", "--output: has no effect without --errors"),
        ("tune --outlines-only --trials 2", "--trials: has no effect with --outlines-only"),
        ("score a.csv --name first", "--name: has no effect with PREDICTED"),
        ("score a.csv --truth b.csv --set-name test", "--set-name: has no effect with --truth"),
        ("report --oof --truth a.csv", "--truth: has no effect with --oof"),
        ("report mine --set hardware.threads=1", "--set: has no effect with a submission"),
    ],
)
def test_an_option_without_effect_is_refused(call, message, capsys):
    assert run(call.split()) == 2
    assert capsys.readouterr().err == f"error: {message}; remove it\n"


@pytest.mark.parametrize(("name", "column"), [("images", "images"), ("all", "source all")])
def test_a_source_named_as_a_column_is_told_from_it(data, weights, foreign, name, column, capsys):
    foreign.rename(name)
    call = ["validate", "--weights", "weights", "--foreign", name, "--disturbed", *QUICK]
    assert run([*call, "--every", "2"]) == 0
    header, row = capsys.readouterr().out.splitlines()[2:4]
    assert header.split() == ["disturbance", "fluorescence", *column.split(), "all"]
    assert re.fullmatch(r"as it is( +[01][.]\d{4}){3}", row.strip())


def test_errors_and_disturbances_are_told_of_foreign_sources_too(
    data, weights, foreign, monkeypatch, capsys
):
    loaded = []

    def load(cache, set_name):
        loaded.append(set_name)
        return load_samples(cache, set_name)

    monkeypatch.setattr("kaggle_dsb.commands.diagnose.load_samples", load)
    call = ["validate", "--weights", "weights", "--foreign", "foreign", *QUICK]
    assert run([*call, "--errors", "--worst", "1", "--output", "seen"]) == 0
    assert loaded == ["stage1_train", "images"]  # each once
    assert [path.name[:9] for path in Path("seen/foreign").iterdir()] == ["worst-1-f"]
    assert re.search(r"^foreign +2 ", capsys.readouterr().out, re.MULTILINE)
    assert run([*call, "--disturbed", "--every", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["disturbance"] for row in rows} == set(DISTURBANCES)
    assert set(rows[0]) == {"disturbance", "fluorescence", "foreign", "all"}


def test_images_of_no_fold_are_scored_by_all_networks(weights, foreign, capsys):
    call = ["validate", "--weights", "weights", "--data", "foreign", *QUICK]
    assert run([*call, "--save", "new.csv"]) == 0
    printed = capsys.readouterr()
    assert "score of weights on images it was not trained on: " in printed.out
    assert "not recorded: weights was not trained on images of foreign" in printed.err
    table = pd.read_csv("new.csv")
    assert table["ImageId"].tolist() == ["f0", "f1"]
    assert set(table["source"]) == {"foreign"}
    assert table["fold"].isna().all()


def test_a_score_is_not_recorded_for_scorers_that_were_not_used(data, weights, monkeypatch, capsys):
    run_ = open_run(weights)
    save_scorer(weights, fold=0)
    validation = Validation(run_, [], was_trained_on_main=True, digests=run_.digests())
    source = open_source(data, work=Path("work"))
    scores = pd.DataFrame({"score": [0.5, 0.5]})
    result = OutOfFold(scores, {}, {})
    said = replace(validation, results=[(source, result)]).record(run_.load_settings())
    assert said == "not recorded: the networks or scorers have changed meanwhile"
    assert not (weights / "validation.json").exists()


def test_none_of_the_worst_images_needs_the_option_of_errors_too(data, weights, capsys):
    assert run(["validate", "--weights", "weights", "--worst", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --worst: has no effect without --errors; remove it"
    )
