"""The bundle of a run: what a kernel needs to predict with it as this computer does."""

import shutil

import pytest

from kaggle_dsb.commands.bundle import bundle_run
from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.publish import bundle
from kaggle_dsb.workspace.run import open_run


@pytest.fixture(autouse=True)
def without_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LACKING", {})
    monkeypatch.setattr(bundle, "build_own_wheel", lambda folder, **_: None)


def test_a_kernel_measures_sizes_and_quotes_the_score_as_at_home(here, weights):
    fast = weights / "fast.safetensors"
    shutil.copy(weights / "fold0.safetensors", fast)
    ranges_file(fast).write_text("{}")
    run = open_run(weights)
    settings = run.load_settings()
    run.write_validation({"score": 0.5}, settings, data="dsb2018")
    on_kaggle = open_run(bundle_run(run, here / "bundle").folder)
    sizing = on_kaggle.sizing_network([0, 1])
    assert sizing.read_bytes() == fast.read_bytes()
    assert sizing.name == fast.name
    assert ranges_file(sizing).read_text() == "{}"
    assert on_kaggle.cross_validation(settings) == (0.5, "")


def test_a_run_without_them_is_bundled_too(here, weights):
    names = {path.name for path in bundle_run(open_run(weights), here / "bundle").folder.iterdir()}
    assert names == {
        "bundle.json",
        "config.toml",
        "dataset-metadata.json",
        "fold0.safetensors",
        "fold1.safetensors",
        "folds.csv",
    }
