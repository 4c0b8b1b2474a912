"""Each mistake in a call: its exit code and its whole message."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from kaggle_dsb import opening
from kaggle_dsb.cli import run
from kaggle_dsb.dataset.archive import ACCEPTED_FORMS

MISTAKES = {
    "missing folder": (
        ["submit", "--data", "absent", "--weights", "weights"],
        f"absent: no such file or folder; expected {ACCEPTED_FORMS}",
    ),
    "no weights": (
        ["submit", "--weights", "empty"],
        "empty: contains no fold<N>.safetensors; expected the folder of a finished training run; "
        "available: bundled",
    ),
    "unknown set": (
        ["submit", "--weights", "weights", "--set-name", "stage3"],
        "data: has no set 'stage3'; it has stage1_test, stage1_train",
    ),
    "unknown setting": (
        ["submit", "--weights", "weights", "--set", "prediction.tt=none"],
        "--set: unknown key prediction.tt; allowed here: tta, scales, diameter_px, tile_px, "
        "overlap_px",
    ),
    "unknown fold": (["train", "--fold", "7"], "fold 7 does not exist; available: 0, 1, all"),
    "tuning one fold": (
        ["tune", "--weights", "one"],
        "one: holds out images in one fold only; nested cross-validation needs two folds or more",
    ),
    "an experiment that changes nothing": (
        ["experiment", "try", "--against", "weights", "--set", "instances.min_area_px=12"],
        "weights: the variation has the same settings in network, augment, training, prediction, "
        "instances; change one with --set",
    ),
    "an experiment that would train its baseline again": (
        [
            "experiment",
            "try",
            "--against",
            "weights",
            "--set",
            "folds.seed=9",
            "--both",
            "training.epochs=2",
        ],
        "--both training.epochs=2: weights is already trained; pass training settings of the "
        "variation with --set",
    ),
    "an experiment on a fold that is not there": (
        ["experiment", "try", "--against", "weights", "--set", "training.seed=9", "--fold", "5"],
        "weights: has no network for fold 5; available: 0, 1",
    ),
    "nothing to score": (
        ["score", "absent.csv", "--truth", "data/stage1_solution.csv"],
        "absent.csv: no such file or folder; expected a submission CSV or a folder of label images",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_call_gets_one_line_and_exit_code_2(data, weights, mistake, capsys):
    call, message = MISTAKES[mistake]
    Path("empty").mkdir()
    shutil.copytree("weights", "one")
    Path("one/fold1.safetensors").unlink()
    Path("runs/mine").mkdir(parents=True)
    shutil.copy("weights/folds.csv", "runs/mine/folds.csv")
    assert run(call) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == f"error: {message}"
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not Path("submissions").exists()


@pytest.mark.parametrize(
    "call",
    [
        ["score", "--name", "nope"],
        ["report", "nope"],
        ["kaggle-submit", "--name", "nope", "--message", "x"],
    ],
)
def test_a_submission_that_is_not_there_is_told_before_the_data_are_prepared(here, call, capsys):
    assert run(call) == 2
    assert capsys.readouterr().err == (
        "error: submissions/nope: contains no submission.csv; create one with `kaggle-dsb submit`\n"
    )
    assert list(here.iterdir()) == []


def test_a_wrong_name_is_told_with_the_names_that_are_there(weights, capsys):
    shutil.copytree("weights", "runs/mine")
    for name in ("first", "second"):
        Path("submissions", name).mkdir(parents=True)
        Path("submissions", name, "submission.csv").write_text("ImageId,EncodedPixels\n")
    assert run(["report", "frist"]) == 2
    assert capsys.readouterr().err == (
        "error: submissions/frist: contains no submission.csv; create one with `kaggle-dsb "
        "submit`; existing submissions: first, second\n"
    )
    assert run(["submit", "--weights", "runs/mine/fold0.safetensors"]) == 2
    assert capsys.readouterr().err == (
        "error: runs/mine/fold0.safetensors: is a file; expected the folder of a finished "
        "training run; available: bundled, runs/mine\n"
    )


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {"set": "stage1_test", "images": 2, "limit": 2},
            "predicts only 2 images (--limit 2); predict again without --limit",
        ),
        (
            {"set": "images", "images": 2},
            "predicts images, but Kaggle scores only stage1_test or stage2_test_final",
        ),
    ],
)
def test_what_kaggle_would_refuse_is_told_before_the_data_are_read(here, made, message, capsys):
    folder = Path("submissions/first")
    folder.mkdir(parents=True)
    (folder / "submission.csv").write_text("ImageId,EncodedPixels\n")
    (folder / "made.json").write_text(json.dumps(made))
    assert run(["kaggle-submit", "--name", "first", "--message", "x"]) == 2
    assert capsys.readouterr().err == f"error: {folder / 'submission.csv'}: {message}\n"


def test_a_table_of_folds_that_is_not_there_is_told(data, capsys):
    assert run(["gallery", "--folds", "absent.csv"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: absent.csv: no such file; expected a table of folds, such as runs/NAME/folds.csv"
    )


def test_a_file_in_the_place_of_a_folder_is_told(data, capsys):
    assert run(["data", "--work", "one.csv"]) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith("/one.csv/cache: is below a file; expected a folder")
    )


def test_a_place_that_may_not_be_written_is_told(here, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "work")

    monkeypatch.setattr(opening, "say", refuse)
    assert run(["data"]) == 1
    assert capsys.readouterr().err == (
        "error: work: Permission denied; choose a location with read and write access\n"
    )
