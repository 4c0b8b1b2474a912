import json
import re

import numpy as np

from kaggle_dsb.cli import run
from kaggle_dsb.commands import tune
from kaggle_dsb.instances.outline_rule import NUMBERS, KnownOutlines, read_known
from kaggle_dsb.instances.scorer import load_scorer
from kaggle_dsb.network.quantize import read_ranges
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.training import patch_networks
from kaggle_dsb.workspace.run import open_run
from tests.commands.examples import QUICK, save_scorer


def test_tune_writes_what_it_chose_and_drops_a_scorer_that_does_not_gain(data, weights, capsys):
    save_scorer(weights, fold=0)
    assert run(["tune", "--weights", "weights", "--trials", "2", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "score of each source, tuned on the others" in said
    tuned = load_settings(weights / "config.toml").instances
    assert re.search(rf"^min_seed_px +{tuned.min_seed_px}$", said, re.MULTILINE)
    # Untrained networks score nothing either way, and so gain nothing by a scorer.
    assert not tuned.candidate_scorer
    assert not list(weights.glob("scorer*"))
    for path in open_run(weights).networks.values():
        assert read_ranges(path)  # for prediction in 8 bits


def test_tuning_on_further_sources_remembers_which_scorer_has_not_seen_them(
    data, weights, foreign, monkeypatch
):
    # What is found with untrained networks depends on luck; that scorers gain does not here, nor
    # that their networks do.
    monkeypatch.setattr("kaggle_dsb.commands.tune.mean_over_sources", lambda *_: [0.0, 1.0])
    errors = iter([1.0, 0.5] * 99)
    monkeypatch.setattr(patch_networks, "_squared_error", lambda *_: next(errors))
    call = ["tune", "--weights", "weights", "--trials", "1", *QUICK]
    assert run([*call, "--extra", "foreign"]) == 0
    tuning = json.loads((weights / "tuning.json").read_text())
    assert tuning["scorer_folds"] == {"foreign": 0}
    assert set(tuning["scores"]) == {"fluorescence, other sizes", "foreign", "generalisation"}
    run_ = open_run(weights)
    assert set(run_.scorers) == {0, 1}
    assert all(load_scorer(path).network for path in run_.scorers.values())
    assert run_.scorer_folds(None, "foreign") == [0]
    assert run_.scorer_folds(None, "another") == [0, 1]
    assert run_.scorer_folds(1, "foreign") == [1]


def test_tune_keeps_what_it_learns_of_where_annotators_end_nuclei(data, weights, monkeypatch):
    shown = []

    def learn(cases, **_):
        shown.extend((case.id, case.fold) for case in cases)
        appearances = np.arange(2 * len(NUMBERS), dtype=np.float32).reshape(2, -1)
        return KnownOutlines(appearances, np.float32([0.25, 0.5]), np.array([0, 1]))

    monkeypatch.setattr(tune, "learn_outlines", learn)
    assert run(["tune", "--weights", "weights", "--trials", "1", *QUICK]) == 0
    assert sorted(shown) == [("n0", 0), ("n1", 1)]
    known = read_known(weights / "outlines.csv")
    assert known.folds.tolist() == [0, 1]
    assert known.thresholds.tolist() == [0.25, 0.5]
    assert known.appearances.ravel().tolist() == list(range(2 * len(NUMBERS)))


def test_outlines_alone_are_learned_anew_and_the_rest_stays(data, weights, capsys):
    save_scorer(weights, fold=0)
    save_scorer(weights, fold=1)
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    (weights / "validation.json").write_text("{}")
    assert run(["tune", "--weights", "weights", "--outlines-only", *QUICK]) == 0
    assert capsys.readouterr().out == "weights/outlines.csv\n"
    after = {path.name: path.read_bytes() for path in weights.iterdir() if path.name[0] != "."}
    after.pop("outlines.csv")
    assert after == before  # and what was validated was cut otherwise


def test_a_refused_tuning_leaves_no_validation_beside_new_ranges(data, weights):
    (weights / "fold1.safetensors").unlink()
    (weights / "validation.json").write_text("{}")
    assert run(["tune", "--weights", "weights", *QUICK]) == 2
    assert read_ranges(weights / "fold0.safetensors")
    assert not (weights / "validation.json").exists()


def test_tuning_on_images_that_the_run_does_not_know_changes_nothing(weights, foreign, capsys):
    (weights / "validation.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    assert run(["tune", "--data", "foreign", "--weights", "weights", *QUICK]) == 2
    assert "foreign: contains none of the images in" in capsys.readouterr().err
    assert {
        path.name: path.read_bytes() for path in weights.iterdir() if path.name[0] != "."
    } == before
