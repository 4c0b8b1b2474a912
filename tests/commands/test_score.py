import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.competition.label_files import read_labels, write_labels
from kaggle_dsb.competition.submission import write_submission
from kaggle_dsb.dataset.demo import make_image
from tests.commands.examples import QUICK, crop_on_a_nucleus, write_png


def test_a_submission_is_scored_as_a_table_and_as_json(data, weights, capsys):
    run(["submit", "--weights", "weights", "--name", "first", *QUICK])
    capsys.readouterr()
    assert run(["score", "--name", "first"]) == 0
    assert "mean precision by IoU threshold" in capsys.readouterr().out
    call = ["score", "submissions/first/submission.csv", "--truth", "data/stage1_solution.csv"]
    assert run([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["images"]) == {"n2", "n3"}
    assert len(report["per_threshold"]) == 10
    assert report["score"] == pytest.approx(
        np.mean([i["score"] for i in report["images"].values()])
    )


def test_the_truth_scores_one_against_itself_in_every_form(data, capsys):
    solution = pd.read_csv(data / "stage1_solution.csv", keep_default_na=False)
    solution[["ImageId", "EncodedPixels"]].to_csv("perfect.csv", index=False)
    for extra in (["--data", "data"], ["--truth", "data/stage1_solution.csv"]):
        assert run(["score", "perfect.csv", *extra, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["score"] == 1
    cache = next(Path("work/cache").iterdir())
    shutil.copytree(cache / "stage1_train" / "labels", "labels")
    assert run(["score", "labels", "--data", "data", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["score"], set(report["images"])) == (1, {"n0", "n1"})
    assert sum(kind["images"] for kind in report["per_type"].values()) == 2
    assert {kind["score"] for kind in report["per_type"].values()} == {1}


def test_predicted_images_without_truth_are_counted(here, capsys):
    labels = np.eye(9, dtype=np.int32)
    for path in ("true/a.png", "found/a.png", "found/b.png"):
        Path(path).parent.mkdir(exist_ok=True)
        write_labels(Path(path), labels)
    assert run(["score", "found", "--truth", "true"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "predicted images without ground truth, not scored: 1"
    ]


def test_a_submission_is_scored_by_the_set_that_it_predicts(data, weights, capsys):
    for name, number in (("train", 0), ("test", 1)):
        image, labels = crop_on_a_nucleus(*make_image(number, look=0), (64, 64))
        write_png(Path("own", name, "images", "x.png"), image)
        write_png(Path("own", name, "labels", "x.png"), labels.astype(np.uint16))
    for name in ("train", "test"):
        call = ["submit", "--data", "own", "--weights", "weights", "--name", name, *QUICK]
        assert run([*call, "--set-name", name]) == 0
        capsys.readouterr()
        assert run(["score", "--name", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["truth"] == f"own/{name}"


def submit_truth(foreign):
    """Make a submission, and put the truth in the place of what untrained networks predict."""
    run(["submit", "--data", "foreign", "--weights", "weights", "--name", "first", *QUICK])
    truth = {path.stem: read_labels(path) for path in sorted((foreign / "labels").iterdir())}
    write_submission(Path("submissions/first/submission.csv"), truth)


def test_the_score_of_a_submission_is_recorded_for_the_leaderboard(foreign, weights, capsys):
    submit_truth(foreign)
    assert run(["leaderboard", "--own"]) == 0
    assert "not scored: first" in capsys.readouterr().err
    assert run(["score", "first", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads(Path("submissions/first/score.json").read_text()) == report
    assert run(["leaderboard", "--own"]) == 0
    printed = capsys.readouterr()
    assert f"{report['score']:.4f}" in printed.out
    assert printed.err == ""


def test_training_labels_without_sizes_are_a_truth_too(data, capsys):
    solution = pd.read_csv(data / "stage1_solution.csv", keep_default_na=False)
    solution[["ImageId", "EncodedPixels"]].to_csv("truth.csv", index=False)
    assert run(["score", "truth.csv", "--truth", "truth.csv", "--data", "data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1


BAD_TABLES = {
    "ImageID,EncodedPixels\nn2,1 1\nn3,1 1\n": "line 1",
    ",ImageId,EncodedPixels\n0,n2,1 1\n1,n3,1 1\n": "line 1",
    'ImageId,EncodedPixels\nn2,"[1, 2]"\nn3,1 1\n': "line 2",
    "ImageId,EncodedPixels\nn2,1 1 5\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,9 2 1 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,1 5 3 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,4096 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,1 1\nn3,1 1\nn9,1 1\n": "n9",
    "ImageId,EncodedPixels\nn2,1 1\n": "n3",
    "": "empty",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_a_wrong_submission_is_refused_by_file_and_place(data, text, capsys):
    Path("bad.csv").write_text(text)
    assert run(["score", "bad.csv", "--truth", "data/stage1_solution.csv"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: bad.csv: ")
    assert BAD_TABLES[text] in said[0]


def test_a_likely_mistake_is_told_beside_the_score(foreign, capsys):
    for path in (foreign / "labels").iterdir():
        write_labels(Path("masks") / path.name, (read_labels(path) > 0).astype(int))
    assert run(["score", "masks", "--truth", "foreign/labels"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("note: no image of the prediction has more than one label, the ")
    assert said.out.startswith("score 0.0167 of masks against foreign/labels\n")


def test_a_control_character_of_a_file_name_does_not_reach_the_terminal(here, capsys):
    assert run(["score", "a\x1b[2J.csv", "--truth", "a\x1b[2J.csv"]) == 2
    assert capsys.readouterr().err == (
        "error: a\\x1b[2J.csv: no such file or folder; expected a solution CSV or a folder of "
        "label images\n"
    )


def test_a_score_against_a_truth_that_seems_wrong_is_not_recorded(foreign, weights, capsys):
    submit_truth(foreign)
    for path in (foreign / "labels").iterdir():
        write_labels(Path("masks") / path.name, np.ones_like(read_labels(path)))
    assert run(["score", "first"]) == 0
    assert capsys.readouterr().err.endswith("\nrecorded in submissions/first/score.json\n")
    recorded = Path("submissions/first/score.json").read_bytes()
    assert run(["score", "first", "--truth", "masks"]) == 0
    assert capsys.readouterr().err.endswith(
        "\nnot recorded: is masks the ground truth of this submission?\n"
    )
    assert Path("submissions/first/score.json").read_bytes() == recorded


def test_a_truth_of_another_size_than_the_image_is_named(data, weights, capsys):
    run(["submit", "--weights", "weights", "--name", "first", *QUICK])
    for name in ("n2", "n3"):
        write_labels(Path("other", f"{name}.png"), np.ones((40, 40), np.int32))
    for call in (["score", "first", "--data", "data"], ["report", "first"]):
        assert run([*call, "--truth", "other"]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            "error: other: image n2 is 40 x 40 pixels; the image of this name is 64 x 64"
        )
    table = pd.read_csv(data / "stage1_solution.csv", keep_default_na=False)
    table.assign(Height=90, Width=90).to_csv(data / "stage1_solution.csv", index=False)
    assert run(["score", "first"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: data/stage1_solution.csv: image n2 is 90 x 90 pixels; the image of this name is "
        "64 x 64"
    )


def test_images_of_one_name_and_different_sizes_do_not_hinder_a_score(here, capsys):
    for name, size in (("train", (40, 40)), ("test", (30, 40))):
        write_png(Path("own", name, "images", "x.png"), np.zeros(size, np.uint8))
        labels = np.zeros(size, np.uint16)
        labels[5:15, 5:15], labels[20:28, 20:30] = 1, 2
        write_labels(Path("own", name, "labels", "x.png"), labels)
        call = ["score", f"own/{name}/labels", "--truth", f"own/{name}/labels", "--data", "own"]
        assert run(call) == 0
        assert "score 1.0000" in capsys.readouterr().out


UNSCORABLE_TABLES = {
    "imageid,encodedpixels\nn2,1 1\n": "line 1 is 'imageid,encodedpixels'; it must have ImageId",
    "n2,1 1\nn3,1 1\n": "line 1 is 'n2,1 1'; it must have ImageId",
    "ImageId,EncodedPixels\n": "contains no rows; a submission has a row for every image",
    "ImageId,EncodedPixels\nn2.png,1 1\n": "image id 'n2.png' ends in .png; omit the suffix",
}


@pytest.mark.parametrize("text", UNSCORABLE_TABLES)
def test_a_wrong_submission_is_told_before_its_truth_is_sought(data, text, capsys):
    Path("bad.csv").write_text(text)
    assert run(["score", "bad.csv", "--data", "data"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: bad.csv: {UNSCORABLE_TABLES[text]}"
