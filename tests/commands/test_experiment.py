from pathlib import Path

import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.commands import experiment
from kaggle_dsb.commands.experiment import Trial, append_trial
from kaggle_dsb.commands.validate import validate_sources
from kaggle_dsb.files import InputError
from kaggle_dsb.network import engines
from kaggle_dsb.network.engines import choose_engine
from kaggle_dsb.network.graph import read_model
from kaggle_dsb.network.quantize import write_ranges
from kaggle_dsb.report.statistics import compare_scores
from kaggle_dsb.settings_files import load_settings
from tests.commands.examples import QUICK, TINY_NETWORK

BOTH_QUICK = ["--both", "prediction.tta=none"]


def test_an_experiment_that_trains_nothing_new_compares_and_logs(data, weights, capsys):
    call = ["experiment", "try", "--against", "weights", "--log", "log.md"]
    assert run([*call, "--set", "instances.body_threshold=0.7"]) == 0
    assert "log.md: added one row" in capsys.readouterr().out
    quick = [*BOTH_QUICK, "--fold", "1"]
    assert run([*call, "--set", "instances.min_area_px=5", *quick]) == 0
    rows = [line for line in Path("log.md").read_text().splitlines() if line.startswith("| 20")]
    assert [row.split(" | ")[1] for row in rows] == [
        "instances.body_threshold=0.7",
        "instances.min_area_px=5 (both prediction.tta=none)",
    ]
    assert [row.split(" | ")[2] for row in rows] == ["2", "1"]
    assert not Path("runs/try").exists()


def test_an_experiment_trains_nothing_where_what_stands_cannot_be_read(data, weights, capsys):
    (weights / "fold1.safetensors").write_bytes(b"damaged")
    call = ["experiment", "try", "--against", "weights", "--fold", "1", "--log", "log.md"]
    assert run([*call, "--set", "training.seed=9", *QUICK]) == 2
    assert "weights/fold1.safetensors" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("runs/try").exists()


def test_a_trial_goes_below_its_own_title(tmp_path):
    log = tmp_path / "log.md"
    log.write_text("# Log\n\n| other |\n\n## Trials\n\nBelow are trials.\n\n## After\n")
    same = compare_scores(pd.Series({"a": 0.5}), pd.Series({"a": 0.5}))
    for tried in ("one", "two"):
        append_trial(log, Trial(tried, same, {}, 1.0))
    lines = log.read_text().splitlines()
    assert lines[:5] == ["# Log", "", "| other |", "", "## Trials"]
    rows = [line.split(" | ")[1] for line in lines[6:] if line.startswith("| 20")]
    assert rows == ["one", "two"]
    assert lines.index("Below are trials.") > lines.index(
        next(line for line in lines if " two " in line)
    )


@pytest.mark.slow
def test_an_experiment_trains_the_variation_on_the_folds_of_what_it_is_tried_against(
    data, capsys, monkeypatch
):
    tiny = [*TINY_NETWORK, "augment.crop_px=64", "folds.n_folds=2", "prediction.tta=none"]
    sets = [part for setting in tiny for part in ("--set", setting)]
    assert run(["train", "--name", "base", "--limit", "2", *sets]) == 0
    network = Path("runs/base/fold1.safetensors")
    write_ranges(network, read_model(network), nucleus_px=28)
    quantized = []

    def validate(source, foreign, run, settings, **more):
        networks = list(run.networks.values())
        quantized.append(choose_engine(settings.hardware, networks).is_quantized)
        return validate_sources(source, foreign, run, settings, **more)

    monkeypatch.setattr(engines, "has_int8", lambda: True)
    monkeypatch.setattr(experiment, "validate_sources", validate)
    call = ["experiment", "try", "--against", "runs/base", "--fold", "1", "--log", "log.md"]
    assert run([*call, "--set", "training.weight_decay=0.02"]) == 0
    assert quantized == [False, False]  # both alike, though only the baseline has ranges
    assert Path("runs/try/fold1.safetensors").exists()
    assert not Path("runs/try/fold0.safetensors").exists()
    assert Path("runs/try/folds.csv").read_text() == Path("runs/base/folds.csv").read_text()
    assert load_settings(Path("runs/try/config.toml")).training.weight_decay == 0.02
    assert "| training.weight_decay=0.02 | 1 |" in Path("log.md").read_text()
    # A trial that is run again costs what its training took.
    metrics = Path("runs/try/fold1/metrics.csv")
    pd.read_csv(metrics).assign(elapsed_s=3000.0).to_csv(metrics, index=False)
    assert run([*call, "--set", "training.weight_decay=0.02"]) == 0
    costs = [row.split(" | ")[-2] for row in Path("log.md").read_text().splitlines()[-2:]]
    assert costs == ["0 min", "100 min"]


def test_a_variation_is_trained_on_the_sources_of_its_baseline(data, weights, foreign, capsys):
    table = weights / "folds.csv"
    rows = table.read_text().splitlines()
    named = [
        "ImageId,source,type,group,fold",
        *(row.replace(",", ",dsb2018,", 1) for row in rows[1:]),
    ]
    table.write_text("\n".join([*named, "f0,foreign,tissue,2,0", "f1,foreign,tissue,3,1"]) + "\n")
    call = ["experiment", "try", "--against", "weights", "--log", "log.md"]
    assert run([*call, "--set", "training.seed=9"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: weights: was also trained on foreign; pass it with --extra"
    )
    assert not Path("runs/try").exists()
    assert run([*call, "--set", "instances.min_area_px=5", "--extra", "foreign", *BOTH_QUICK]) == 0
    rows = [line for line in Path("log.md").read_text().splitlines() if line.startswith("| 20")]
    assert [row.split(" | ")[2] for row in rows] == ["4"]


def test_an_earlier_trial_of_other_folds_is_refused_before_it_is_trained(data, weights, capsys):
    turned = "ImageId,type,group,fold\nn0,fluorescence,0,1\nn1,fluorescence,1,0\n"
    Path("runs/try").mkdir(parents=True)
    Path("runs/try/folds.csv").write_text(turned)
    call = ["experiment", "try", "--against", "weights", "--set", "training.seed=9"]
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/try/folds.csv: its folds differ from weights/folds.csv; choose another NAME, "
        "or remove the folder"
    )


def test_images_that_only_one_of_the_runs_scored_are_named():
    one, other = (
        pd.DataFrame({"source": "cells", "ImageId": ids, "type": "tissue", "score": 0.5})
        for ids in (["a", "b"], ["a", "c"])
    )
    with pytest.raises(InputError) as raised:
        experiment._compare_scores("try", one, other, cost_s=1)
    assert str(raised.value) == (
        "the runs scored different images: 2 of 3 are in only one of them (cells/b, cells/c); "
        "score both on the same images"
    )


def test_a_source_that_the_baseline_does_not_know_is_refused(data, weights, foreign, capsys):
    call = ["experiment", "try", "--against", "weights", "--log", "log.md"]
    assert run([*call, "--set", "training.seed=9", "--extra", "foreign"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --extra foreign: weights was not trained on it"
    )


def test_a_variation_of_the_folds_is_refused(data, weights, capsys):
    call = ["experiment", "try", "--against", "weights", "--log", "log.md"]
    assert run([*call, "--set", "instances.min_area_px=5", "--set", "folds.seed=3"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: folds.seed = 3: a variation has the folds of weights"
    )


def test_a_log_that_cannot_be_written_is_refused_before_anything_is_predicted(weights, capsys):
    call = ["experiment", "try", "--against", "weights", "--set", "instances.min_area_px=5"]
    assert run([*call, "--log", "docs"]) == 2
    assert capsys.readouterr().err == "error: docs: must end in .md\n"
