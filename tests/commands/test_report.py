from pathlib import Path

import numpy as np

from kaggle_dsb.cli import run
from kaggle_dsb.config import load_settings, write_settings
from tests.commands.examples import QUICK


def test_the_out_of_fold_report_of_a_run_that_was_trained_further(data, weights):
    further = load_settings(
        weights / "config.toml", overrides=["training.start_from=runs/first", QUICK[1]]
    )
    write_settings(weights / "config.toml", further)
    assert run(["report", "--oof", "--weights", "weights"]) == 0
    assert "start_from = &#34;runs/first&#34;" in Path("reports/out-of-fold.html").read_text()


def test_a_submission_gets_a_page_and_pictures(data, weights, capsys):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    assert run(["report", "first"]) == 0
    plain = Path("submissions/first/report.html").stat().st_size
    assert run([*call, "--keep-probabilities"]) == 0
    assert np.load("submissions/first/probabilities/n3.npy").shape == (3, 50, 90)
    assert run(["report", "first"]) == 0
    assert Path("submissions/first/report.html").stat().st_size > plain + 1000
    assert run(["show", "n2", "--predicted", "submissions/first"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert Path(said[-1]).read_bytes().startswith(b"\x89PNG")
    assert Path("submissions/first/report.html").read_text().startswith("<!doctype html>")
