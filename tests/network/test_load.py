"""What a run's folder says about cutting probabilities into nuclei."""

import numpy as np

from kaggle_dsb.instances.outline_rule import KnownOutlines, write_known
from kaggle_dsb.network.load import load_finder, outline_rule
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.workspace.run import open_run


def test_the_settings_tell_where_nuclei_end_unless_there_are_known_outlines(tmp_path):
    (tmp_path / "fold0.safetensors").write_bytes(b"")
    settings = load_settings(
        overrides=["instances.outline_threshold=0.45", "instances.glow_threshold=0.2"]
    )
    rule = load_finder(open_run(tmp_path), settings, folds=[0]).outline
    assert (rule.dark, rule.glowing, rule.known) == (0.45, 0.2, None)


def test_known_outlines_count_for_networks_that_have_seen_their_images(tmp_path):
    for fold in (0, 1):
        (tmp_path / f"fold{fold}.safetensors").write_bytes(b"")
    appearances = np.arange(42, dtype=np.float32).reshape(3, 14)
    thresholds = np.array([0.5, 0.25, 0.3], np.float32)
    write_known(
        tmp_path / "outlines.csv", KnownOutlines(appearances, thresholds, np.array([0, 1, 1]))
    )
    run, settings = open_run(tmp_path), load_settings()
    counted = {
        folds: outline_rule(run, settings, folds=folds).known.thresholds.tolist()
        for folds in ((0,), (1,), (0, 1))
    }
    assert counted == {(0,): [0.25, np.float32(0.3)], (1,): [0.5], (0, 1): thresholds.tolist()}
