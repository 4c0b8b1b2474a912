import os
from pathlib import Path

import pytest

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.settings_files import load_settings, write_settings
from kaggle_dsb.workspace.run import BUNDLED, find_run, list_runs, open_run, resolve_run

FOLDS = "ImageId,type,group,fold\na,fluorescence,0,0\nb,fluorescence,1,1\n"


def make_run(folder, *, folds=(0, 1), scorers=(), validated=True):
    folder.mkdir(parents=True)
    for fold in folds:
        (folder / f"fold{fold}.safetensors").write_bytes(b"network %d" % fold)
    for fold in scorers:
        (folder / f"scorer{fold}.safetensors").write_bytes(b"scorer %d" % fold)
    (folder / "folds.csv").write_text(FOLDS)
    write_settings(folder / "config.toml", Settings())
    run = open_run(folder)
    if validated:
        run.write_validation({"score": 0.5}, Settings(), data="data")
    return run


def test_a_run_knows_its_networks_and_scorers_by_fold(tmp_path):
    run = make_run(tmp_path / "mine", folds=(0, 1, 10), scorers=(1,))
    assert list(run.networks) == [0, 1, 10]
    assert run.scorers == {1: tmp_path / "mine" / "scorer1.safetensors"}
    assert run.network_file(10) == run.networks[10]
    assert run.scorer_file(1) == run.scorers[1]
    assert run.metrics_file(1) == tmp_path / "mine" / "fold1" / "metrics.csv"
    assert run.name == str(tmp_path / "mine")
    assert open_run(BUNDLED).name == "bundled"


def test_the_fast_network_is_the_distilled_one_else_the_first_folds(tmp_path):
    run = make_run(tmp_path / "mine", scorers=(0, 1))
    assert run.fast() == run.select([0])
    (run.folder / "fast.safetensors").write_bytes(b"fast")
    assert list(run.fast().networks.values()) == [run.folder / "fast.safetensors"]


def test_nuclei_are_measured_by_the_network_of_everything_where_all_folds_predict(tmp_path):
    run = make_run(tmp_path / "mine")
    assert run.sizing_network([0, 1]) == run.networks[0]
    (run.folder / "fast.safetensors").write_bytes(b"fast")
    assert run.sizing_network([0, 1]) == run.folder / "fast.safetensors"
    # It has seen what a fold holds out.
    assert run.sizing_network([1]) == run.networks[1]
    assert run.fast().sizing_network([0]) == run.folder / "fast.safetensors"


def test_a_network_alone_has_not_seen_its_fold_and_the_one_of_everything_has(tmp_path):
    run = make_run(tmp_path / "mine", folds=(0, 1, 2))
    assert run.unseen_fold([1]) == 1
    assert run.unseen_fold([1, 2]) is None
    assert run.fast().unseen_fold([0]) == 0
    (run.folder / "fast.safetensors").write_bytes(b"fast")
    assert run.fast().unseen_fold([0]) is None


def test_what_cuts_probabilities_counts_among_the_files_of_a_run(tmp_path):
    run = make_run(tmp_path / "mine", scorers=[0])
    before = run.digests()
    run.outlines_file.write_text("fold\n")
    after = run.digests()
    assert "scorer0.safetensors" in before
    assert after.keys() - before.keys() == {"outlines.csv"}


def test_a_folder_without_a_network_is_refused(tmp_path):
    message = (
        f"{tmp_path}: contains no fold<N>.safetensors; expected the folder of a finished "
        "training run; available: bundled"
    )
    with pytest.raises(InputError) as raised:
        find_run(tmp_path)
    assert str(raised.value) == message


def test_the_newest_whole_validated_run_is_taken_unasked(tmp_path):
    first = make_run(tmp_path / "first")
    assert find_run(runs=tmp_path) == first
    assert list_runs(tmp_path) == [first]
    assert find_run(runs=tmp_path / "absent") == open_run(BUNDLED)


def test_a_run_is_as_new_as_its_newest_network(tmp_path):
    old, new = make_run(tmp_path / "old"), make_run(tmp_path / "new")
    for time, path in enumerate([*old.networks.values(), *new.networks.values()]):
        os.utime(path, (time, time))
    (old.folder / "curves.png").touch()
    os.utime(new.folder, (0, 0))
    assert list_runs(tmp_path) == [new, old]


PARTIAL = {
    "has not been validated": {"validated": False},
    "has no network of fold 1": {"folds": (0,)},
}


@pytest.mark.parametrize("fault", PARTIAL)
def test_a_partial_run_is_not_taken_unasked_and_that_is_said(tmp_path, fault):
    make_run(tmp_path / "mine", **PARTIAL[fault])
    run = find_run(runs=tmp_path)
    assert run.name == "bundled"
    assert run.describe(runs=tmp_path) == (
        f"bundled, 4 networks ({tmp_path / 'mine'} {fault}; select it with --weights "
        f"{tmp_path / 'mine'})"
    )
    assert find_run(tmp_path / "mine").networks  # named, it is


def test_a_run_of_the_demo_set_is_not_taken_unasked(tmp_path):
    run = make_run(tmp_path / "mine")
    run.write_validation({"score": 0.9}, Settings(), data="demo")
    assert run.find_fault() == "was trained on the demo set"


def test_a_run_without_its_folds_is_not_taken_unasked(tmp_path):
    run = make_run(tmp_path / "mine")
    run.folds_file.unlink()
    assert run.find_fault() == "has no folds.csv"


@pytest.mark.parametrize(
    "text", ["ImageId,type\na,tissue\n", "ImageId,fold\na,1.0\n", "\xff,fold\n1"]
)
def test_a_run_whose_folds_cannot_be_read_is_not_taken_unasked(tmp_path, text):
    run = make_run(tmp_path / "mine")
    run.folds_file.write_text(text, encoding="latin-1")
    assert run.find_fault() == "has a folds.csv that cannot be read"


def test_the_whole_run_with_its_own_settings_has_earned_its_score(tmp_path):
    run = make_run(tmp_path / "mine", scorers=(0, 1))
    assert run.cross_validation(Settings()) == (0.5, "")
    threads = load_settings(overrides=["hardware.threads=1"])
    assert run.cross_validation(threads) == (0.5, "")


def test_an_older_validation_counts_for_the_runs_own_settings(tmp_path):
    run = make_run(tmp_path / "mine", validated=False)
    run.validation_file.write_text('{"score": 0.5}')
    assert run.cross_validation(Settings()) == (0.5, "")
    other = load_settings(overrides=["instances.min_area_px=5"])
    assert run.cross_validation(other) == (
        None,
        "instances.min_area_px is 5, but was 12 when the run was validated",
    )


def test_other_settings_networks_or_no_validation_earn_no_score(tmp_path):
    run = make_run(tmp_path / "mine")
    without_views = load_settings(overrides=["prediction.tta=none"])
    assert run.cross_validation(without_views) == (
        None,
        "prediction.tta is 'none', but was 'rotations' when the run was validated",
    )
    partial = (None, "not all networks of the run are used")
    assert run.select([1]).cross_validation(Settings()) == partial
    run.networks[0].write_bytes(b"trained further")
    assert run.cross_validation(Settings()) == (
        None,
        "the networks have changed since they were validated",
    )
    run.validation_file.unlink()
    assert run.cross_validation(Settings()) == (None, "the run has not been validated")


def test_settings_that_the_networks_were_trained_with_cannot_be_changed(tmp_path):
    run = make_run(tmp_path / "mine")
    assert run.load_settings(overrides=["prediction.tta=none"]).prediction.tta == "none"
    with pytest.raises(InputError) as raised:
        run.load_settings(overrides=["network.encoder_name=resnet35"])
    assert str(raised.value) == (
        f"network.encoder_name = 'resnet35': the networks of {run.name} were trained with "
        "'tu-tf_efficientnet_lite2'; only settings in prediction, instances, hardware can be "
        "changed here"
    )


def test_the_bundled_networks_can_be_named(tmp_path):
    make_run(tmp_path / "mine")
    assert find_run(Path("bundled"), runs=tmp_path) == open_run(BUNDLED)


def test_a_run_can_be_named(tmp_path):
    run = make_run(tmp_path / "mine")
    assert find_run(Path("mine"), runs=tmp_path) == run
    assert find_run(tmp_path / "mine", runs=tmp_path) == run
    assert resolve_run(Path("other"), runs=tmp_path) == Path("other")


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(Path("bundled"))
    assert find_run(Path("bundled")).folder == Path("bundled")


def test_a_run_whose_validation_cannot_be_read_is_not_taken_unasked(tmp_path):
    run = make_run(tmp_path / "mine")
    run.validation_file.write_text("{")
    assert run.find_fault() == "has a validation.json that cannot be read"


def test_a_hidden_folder_is_no_run(tmp_path):
    make_run(tmp_path / ".ipynb_checkpoints")
    assert find_run(runs=tmp_path).name == "bundled"
