import json
from pathlib import Path

import numpy as np
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.settings_files import load_settings, write_settings
from tests.commands.examples import QUICK, write_png


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
    page = Path("submissions/first/report.html")
    assert '"border":"' not in page.read_text()
    assert run([*call, "--keep-probabilities"]) == 0
    assert np.load("submissions/first/probabilities/n3.npy").shape == (3, 3, 50, 90)
    assert run(["report", "first"]) == 0
    assert '"border":"' in page.read_text()
    assert run(["show", "n2", "--predicted", "submissions/first"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert Path(said[-1]).read_bytes().startswith(b"\x89PNG")
    assert page.read_text().startswith("<!doctype html>")


def test_a_report_takes_label_images_as_its_truth(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    (data / "stage1_solution.csv").unlink()
    assert run(["report", "first"]) == 0
    page = Path("submissions/first/report.html")
    without = page.read_text()
    assert run(["report", "first", "--truth", "submissions/first/labels"]) == 0
    assert ("score 1.000" in without, "score 1.000" in page.read_text()) == (False, True)
    assert run(["report", "first", "--truth", "absent"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: absent: no such file or folder; expected a solution CSV or a folder of label images"
    )


def test_a_prediction_of_another_size_is_not_shown(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    assert run(["show", "n2", "--predicted", "first"]) == 0
    write_labels(Path("other/n2.png"), np.zeros((9, 9), np.int32))
    assert run(["show", "n2", "--predicted", "other"]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("error: other: image n2 is 9 x 9 pixels; the image of this name is ")
    )


def test_what_made_a_submission_is_found_again_by_report_and_score(data, weights, capsys):
    data.rename("downloads")
    call = ["submit", "--data", "downloads", "--weights", "weights", "--limit", "1", *QUICK]
    assert run([*call, "--name", "first"]) == 0
    assert run(["report", "first"]) == 0
    assert run(["report", "submissions/first/"]) == 0
    for named in (["--name", "first"], ["submissions/first"], ["submissions/first/submission.csv"]):
        capsys.readouterr()
        assert run(["score", *named]) == 0
        assert " against downloads/stage1_solution.csv" in capsys.readouterr().out
    (predicted,) = (path.stem for path in Path("submissions/first/labels").iterdir())
    assert run(["show", predicted, "--predicted", "submissions/first"]) == 0
    Path("downloads").rename("elsewhere")
    assert run(["report", "first"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: submissions/first/made.json: was made from downloads, which cannot be found from "
        "this folder; pass the data with --data"
    )
    assert run(["report", "first", "--data", "elsewhere"]) == 0


def test_the_report_of_the_demo_set_opens_it_even_beside_other_data(small_demo, here, weights):
    assert run(["submit", "--weights", "weights", "--limit", "1", *QUICK]) == 0
    write_png(here / "data" / "cells.png", np.zeros((9, 9), np.uint8))
    assert run(["report", "demo"]) == 0
    assert Path("submissions/demo/report.html").exists()


@pytest.fixture
def alike(here):
    """Two sets with an image of the same name and another type, and the truth of each."""
    for name, look in (("aaa", 0), ("bbb", 2)):
        image, labels = make_image(3, look=look)
        write_png(here / "own" / name / "images" / "1.png", image)
        write_png(here / "own" / name / "labels" / "1.png", labels.astype(np.uint16))
    return here / "own"


def test_an_image_of_several_sets_is_shown_from_the_named_ones(alike, capsys):
    assert run(["show", "1", "--data", "own"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: '1' is in several sets; write aaa/1 or bbb/1"
    )
    assert run(["show", "bbb/1", "--data", "own"]) == 0
    assert capsys.readouterr().out == "pictures/1.png\n"
    assert run(["show", "aaa/1", "bbb/1", "--data", "own"]) == 0
    assert capsys.readouterr().out == "pictures/aaa_1.png\npictures/bbb_1.png\n"


def test_the_types_of_a_score_are_those_of_its_set(alike, capsys):
    for name, kind in (("aaa", "fluorescence"), ("bbb", "tissue")):
        call = ["score", f"own/{name}/labels", "--data", "own", "--set-name", name, "--json"]
        assert run(call) == 0
        assert list(json.loads(capsys.readouterr().out)["per_type"]) == [kind]


def test_a_report_names_the_set_that_the_data_lack(data, weights, foreign, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    assert run(["report", "first", "--data", "foreign"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: foreign: has no set stage1_test, which first predicts; it has images"
    )
