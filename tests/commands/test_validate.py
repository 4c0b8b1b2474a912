import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.disturb import DISTURBANCES
from kaggle_dsb.network.predict import WATERSHED_TO_MEASURE
from tests.commands.examples import QUICK


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
    (before,) = map(np.load, Path("work/oof").glob("*/n1.npy"))
    table = "ImageId,type,group,fold\nn0,fluorescence,0,0\nn1,fluorescence,1,0\n"
    (weights / "folds.csv").write_text(table)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    first, second = map(np.load, Path("work/oof").glob("*/n1.npy"))
    assert (first != second).any()
    assert any((before == one).all() for one in (first, second))


def test_probabilities_of_another_measure_of_size_are_not_taken_for_these(
    data, weights, monkeypatch
):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    monkeypatch.setitem(WATERSHED_TO_MEASURE, "body_threshold", 0.3)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    assert len(list(Path("work/oof").glob("*/n1.npy"))) == 2


def test_diagnose_tells_where_the_score_goes_and_draws_the_worst(data, weights, capsys):
    call = ["diagnose", "--weights", "weights", "--worst", "1", "--output", "seen", *QUICK]
    assert run(call) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("missed", "invented", "merged", "split", "outline"))
    drawn = sorted(path.name for path in Path("seen").iterdir())
    assert drawn[0] == "losses.png"
    assert drawn[1].startswith("worst-1-n")
    assert len(drawn) == 2


def test_robustness_scores_every_disturbance(data, weights, capsys):
    assert run(["robustness", "--weights", "weights", *QUICK]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in DISTURBANCES)
