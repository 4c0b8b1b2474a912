import re

from kaggle_dsb.cli import run
from kaggle_dsb.config import load_settings
from tests.commands.examples import QUICK, save_scorer


def test_tune_writes_what_it_chose_and_drops_a_scorer_that_does_not_gain(data, weights, capsys):
    save_scorer(weights, fold=0)
    assert run(["tune", "--weights", "weights", "--trials", "2", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "nested score, of the images that all were tried on" in said
    tuned = load_settings(weights / "config.toml").instances
    assert re.search(rf"^min_seed_px +{tuned.min_seed_px}$", said, re.MULTILINE)
    # Untrained networks score nothing either way, and so gain nothing by a scorer.
    assert not tuned.candidate_scorer
    assert not list(weights.glob("scorer*"))
