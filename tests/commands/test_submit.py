import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.competition.label_files import read_labels, write_labels
from kaggle_dsb.files import digest_of
from kaggle_dsb.settings_files import load_settings, write_settings
from tests.commands.examples import QUICK, save_scorer, write_png


def test_submit_writes_a_checked_submission_and_what_made_it(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    folder = Path("submissions/first")
    written = pd.read_csv(folder / "submission.csv", keep_default_na=False)
    assert list(dict.fromkeys(written["ImageId"])) == ["n3", "n2"]
    made = json.loads((folder / "made.json").read_text())
    assert made["data"] == "data"
    assert made["cross_validation"] is None
    assert made["no_cross_validation"] == "the run has not been validated"
    assert set(made["weights_sha256"]) == {"fold0.safetensors", "fold1.safetensors"}
    assert 'tta = "none"' in (folder / "config.toml").read_text()
    assert read_labels(folder / "labels" / "n3.png").shape == (50, 90)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("submissions/first/submission.csv: 2 images, ")
    assert said[1].startswith("score: 0.")
    assert said[2:] == [
        "next: open submissions/first/labels; Kaggle has scored only stage2_test_final since the "
        "deadline: predict it with --set-name stage2_test_final",
        "weights: weights, 2 networks",
    ]


def read_found(name):
    """Return the bytes of a submission's CSV, which must hold nuclei of both images."""
    path = Path("submissions", name, "submission.csv")
    found = pd.read_csv(path).dropna()
    assert found["ImageId"].nunique() == 2
    return path.read_bytes()


def test_the_same_call_writes_the_same_bytes(data):
    for name in ("first", "again"):
        assert run(["submit", "--fast", "--name", name]) == 0
    assert read_found("first") == read_found("again")


def test_the_same_call_keeps_kaggles_score_of_the_same_nuclei(data, weights):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    path = Path("submissions/first/score.json")
    scored = json.loads(path.read_text())
    path.write_text(json.dumps({"score": 0, "kaggle": {"public_score": 0.5}}))
    assert run(call) == 0
    assert json.loads(path.read_text()) == scored | {"kaggle": {"public_score": 0.5}}


def test_submit_takes_a_folder_of_ones_own_images(here, weights, capsys):
    write_png(here / "mine" / "cells.tif", np.full((40, 33), 9, np.uint16))
    call = ["submit", "--data", "mine", "--weights", "weights", "--name", "my own", *QUICK]
    assert run(call) == 0
    folder = Path("submissions/my own")
    assert pd.read_csv(folder / "submission.csv")["ImageId"].unique().tolist() == ["cells"]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "next: open submissions/my own/labels, or run `kaggle-dsb report 'my own'`",
        "weights: weights, 2 networks",
    ]
    made = json.loads((folder / "made.json").read_text())
    assert made["cross_validation"] is None
    assert made["no_cross_validation"] == "the images are not the competition's"


def test_a_scorer_is_used_and_recorded_where_there_is_one(data, weights, capsys):
    for fold in (0, 1):
        save_scorer(weights, fold=fold, quality=0.0)
    shutil.copy(weights / "fold1.safetensors", weights / "fast.safetensors")
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    assert ": 2 images, 0 nuclei, checked" in capsys.readouterr().out  # none is worth a thing
    made = json.loads(Path("submissions/first/made.json").read_text())
    digests = made["weights_sha256"]
    assert "scorer1.safetensors" in digests
    assert digests["fast.safetensors"] == digests["fold1.safetensors"]  # it measures the nuclei
    (weights / "scorer1.safetensors").unlink()
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: weights: fold 1 has no candidate scorer, unlike other folds; train it with "
        "`kaggle-dsb tune`, or disable scorers with --set instances.candidate_scorer=false"
    )


def test_fast_takes_one_network_and_no_rotations(data, weights):
    assert run(["submit", "--weights", "weights", "--name", "fast", "--fast"]) == 0
    made = json.loads(Path("submissions/fast/made.json").read_text())
    assert list(made["weights_sha256"]) == ["fold0.safetensors"]
    assert load_settings(Path("submissions/fast/config.toml")).prediction.tta == "none"


def test_a_submission_is_scored_with_the_solution_of_its_set(data, weights, capsys):
    shutil.copytree(data / "stage1_test", data / "stage2_test_final")
    shutil.copy(data / "stage1_solution.csv", data / "stage2_solution_final.csv")
    call = ["submit", "--weights", "weights", "--set-name", "stage2_test_final", *QUICK]
    assert run(call) == 0
    assert (
        capsys.readouterr().out.splitlines()[1].endswith("against data/stage2_solution_final.csv")
    )


def test_the_devices_of_a_settings_file_are_used(data, weights):
    Path("hardware.toml").write_text("[hardware]\ndevices = 2\n")
    call = ["submit", "--weights", "weights", "--name", "first", "--limit", "1", *QUICK]
    assert run([*call, "--config", "hardware.toml"]) == 0
    assert load_settings(Path("submissions/first/config.toml")).hardware.devices == 2


def test_a_sample_submission_of_another_form_is_read_or_refused(data, weights, capsys):
    path = data / "stage1_sample_submission.csv"
    text = path.read_text()
    path.write_text(text.replace(",", ";"), encoding="utf-16")
    assert run(["submit", "--weights", "weights", "--dry-run"]) == 0
    path.write_text(text.replace("ImageId", "id"))
    assert run(["submit", "--weights", "weights", "--dry-run"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: data/stage1_sample_submission.csv: line 1 is 'id,EncodedPixels'; it must have "
        "ImageId"
    )


def test_a_sample_submission_of_other_images_stops_the_submission(data, weights, capsys):
    (data / "stage1_sample_submission.csv").write_text("ImageId,EncodedPixels\nn2,1 1\n")
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: stage1_sample_submission.csv and stage1_test must list the same images: n3 is "
        "only among the images (1 images differ); download both files again"
    )
    assert not Path("submissions/first/submission.csv").exists()


def test_an_interrupted_submission_goes_on_where_it_stopped(data, weights, monkeypatch):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(["submit", "--weights", "weights", "--name", "whole", *QUICK]) == 0
    made = []

    def write(path, labels):
        if made:
            raise KeyboardInterrupt
        made.append(path.name)
        write_labels(path, labels)

    with monkeypatch.context() as patch:
        patch.setattr("kaggle_dsb.network.segmentation.write_labels", write)
        assert run(call) == 130
    assert {path.name for path in Path("submissions/first").iterdir()} == {".lock", "unfinished"}
    earlier = Path("submissions/first/unfinished/labels", made[0]).stat().st_mtime_ns
    assert run(call) == 0
    assert Path("submissions/first/labels", made[0]).stat().st_mtime_ns == earlier
    written = [
        Path("submissions", name, "submission.csv").read_bytes() for name in ("first", "whole")
    ]
    assert written[0] == written[1]
    assert not Path("submissions/first/unfinished").exists()


@pytest.mark.parametrize(
    "change",
    [
        ["--set", "instances.body_threshold=0.2"],
        ["--set", "hardware.precision=float32", "--set", "hardware.engine=torch"],
    ],
    ids=["other settings", "another engine"],
)
def test_what_an_interrupted_submission_left_is_not_taken_for_that_of_other_settings(
    data, weights, monkeypatch, change
):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr("kaggle_dsb.commands.submit._write_checked", _interrupt)
        assert run(call) == 130
    draft = Path("submissions/first/unfinished/labels")
    stale = {path.name: path.stat().st_mtime_ns for path in draft.iterdir()}
    assert len(stale) == 2
    assert run([*call, *change]) == 0
    for path in Path("submissions/first/labels").iterdir():
        assert path.stat().st_mtime_ns != stale[path.name]


def test_an_interrupted_submission_leaves_the_earlier_one_as_it_was(data, weights, monkeypatch):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    folder = Path("submissions/first")
    earlier = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr("kaggle_dsb.commands.submit._write_checked", _interrupt)
        assert run([*call, "--set", "instances.body_threshold=0.2"]) == 130
    assert {path: path.read_bytes() for path in earlier} == earlier


def _interrupt(*_):
    raise KeyboardInterrupt


def test_a_changed_image_is_predicted_anew(data, weights, monkeypatch):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr("kaggle_dsb.commands.submit._write_checked", _interrupt)
        assert run(call) == 130
    earlier = Path("submissions/first/unfinished/labels/n2.png").stat().st_mtime_ns
    write_png(data / "stage1_test" / "n2" / "images" / "n2.png", np.zeros((64, 64, 3), np.uint8))
    assert run(call) == 0
    assert Path("submissions/first/labels/n2.png").stat().st_mtime_ns != earlier


def test_a_part_of_the_test_images_is_checked_against_itself_and_said_to_be_a_part(
    data, weights, capsys
):
    call = ["submit", "--weights", "weights", "--name", "part", "--limit", "1", *QUICK]
    assert run(call) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("submissions/part/submission.csv: 1 images, ")
    assert said[0].endswith(" nuclei, checked, incomplete")
    assert said[-2] == "next: open submissions/part/labels, or run `kaggle-dsb report part`"
    assert pd.read_csv("submissions/part/submission.csv")["ImageId"].unique().tolist() == ["n2"]


def test_what_would_be_refused_is_refused_before_anything_is_predicted(here, weights, capsys):
    write_png(here / "mine" / "a,b.png", np.full((40, 33), 9, np.uint8))
    assert run(["submit", "--data", "mine", "--weights", "weights", "--name", "own"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: 'a,b': the file name becomes the ImageId, which must not contain a comma, quote, "
        "line break or other control character; rename it"
    )
    assert not Path("submissions").exists()


def test_a_submission_without_data_keeps_its_name(small_demo, here, weights):
    call = ["submit", "--weights", "weights", "--name", "first", "--limit", "1", *QUICK]
    assert run(call) == 0
    assert json.loads(Path("submissions/first/made.json").read_text())["data"] == "demo"
    assert not Path("submissions/demo").exists()


def test_settings_of_the_training_are_refused_where_they_would_have_no_effect(
    data, weights, capsys
):
    call = ["--weights", "weights", "--set", "network.encoder_name=resnet35"]
    for verb in ("submit", "validate"):
        assert run([verb, *call]) == 2
        assert capsys.readouterr().err == (
            "error: network.encoder_name = 'resnet35': the networks of weights were trained with "
            "'tu-test_efficientnet'; only settings in prediction, instances, hardware can be "
            "changed here\n"
        )


def test_a_validated_run_quotes_its_score_and_another_setting_none(data, weights):
    tta = load_settings(weights / "config.toml", overrides=["prediction.tta=none"])
    write_settings(weights / "config.toml", tta)
    assert run(["validate", "--weights", "weights"]) == 0
    earned = json.loads((weights / "validation.json").read_text())["score"]
    for name, changes, score in (("first", [], earned), ("other", ["min_area_px=5"], None)):
        sets = [part for change in changes for part in ("--set", f"instances.{change}")]
        assert run(["submit", "--weights", "weights", "--name", name, *sets]) == 0
        made = json.loads(Path(f"submissions/{name}/made.json").read_text())
        assert made["cross_validation"] == score
    assert made["no_cross_validation"] == (
        "instances.min_area_px is 5, but was 12 when the run was validated"
    )


@pytest.mark.slow
def test_processes_that_share_the_images_find_the_same_nuclei(data):
    assert run(["submit", "--fast", "--name", "alone"]) == 0
    assert run(["submit", "--fast", "--name", "together", "--devices", "2"]) == 0
    assert read_found("alone") == read_found("together")


def test_an_interrupted_submission_without_a_name_is_resumed_under_its_date(
    data, weights, monkeypatch
):
    call = ["submit", "--weights", "weights", *QUICK]
    interrupted = Path("submissions/2024-05-01-120000")
    with monkeypatch.context() as patch:
        patch.setattr("kaggle_dsb.commands.submit.name_submission", lambda _: interrupted.name)
        patch.setattr("kaggle_dsb.commands.submit._write_checked", _interrupt)
        assert run(call) == 130
    assert run(call) == 0
    assert [path.name for path in Path("submissions").iterdir()] == [interrupted.name]
    assert run([*call, "--set", "instances.body_threshold=0.2"]) == 0
    assert len(list(Path("submissions").iterdir())) == 2


def test_a_complete_submission_is_exported_without_predicting_again(
    data, weights, monkeypatch, capsys
):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    folder = Path("submissions/first")
    earlier = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert run([*call, "--export", "geojson"]) == 0
    assert "submissions/first: already predicted" in capsys.readouterr().err
    assert (folder / "export" / "n2.geojson").exists()
    assert {path: path.stat().st_mtime_ns for path in earlier} == earlier
    written = (folder / "submission.csv").read_bytes()
    (folder / "submission.csv").write_text("ImageId,EncodedPixels\n")
    assert run(call) == 0
    assert "already predicted" not in capsys.readouterr().err
    assert (folder / "submission.csv").read_bytes() == written


def test_a_submission_names_the_scorers_that_it_was_made_with(data, weights, monkeypatch):
    save_scorer(weights, fold=0)
    save_scorer(weights, fold=1)
    used = digest_of(weights / "scorer0.safetensors")

    def write(path, labels):
        save_scorer(weights, fold=0, quality=0.9)  # as by a tuning meanwhile
        write_labels(path, labels)

    monkeypatch.setattr("kaggle_dsb.network.segmentation.write_labels", write)
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    made = json.loads(Path("submissions/first/made.json").read_text())
    assert made["weights_sha256"]["scorer0.safetensors"] == used


def test_a_complete_submission_quotes_a_validation_that_came_later(data, weights):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    made = Path("submissions/first/made.json")
    settings = load_settings(weights / "config.toml", overrides=QUICK[1:])
    write_settings(weights / "config.toml", settings)
    assert run(call) == 0
    earlier = json.loads(made.read_text())
    assert earlier["no_cross_validation"] == "the run has not been validated"
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    assert run(call) == 0
    later = json.loads(made.read_text())
    assert later["made"] == earlier["made"]
    assert later["cross_validation"] is not None
    assert "no_cross_validation" not in later
