import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.commands.report import OutOfFoldInput, report_out_of_fold, report_submission
from kaggle_dsb.competition.submission import read_solution, write_submission
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import load_samples, sizes
from kaggle_dsb.files import InputError
from kaggle_dsb.workspace.source import Source
from tests.report.examples import ABOUT, disturb


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder / "demo", n_train=2, n_test=2)
    return Source(
        folder / "demo", folder / "cache", True, prepare(folder / "demo", folder / "cache")
    )


@pytest.fixture
def submission(source, tmp_path):
    """Write a submission with errors for the demo's test images."""
    folder = tmp_path / "first"
    folder.mkdir()
    truth = read_solution(source.cache / "stage1_solution.csv", sizes(source.cache, "stage1_test"))
    write_submission(
        folder / "submission.csv", {id_: disturb(labels) for id_, labels in truth.items()}
    )
    made = {"set": "stage1_test", "commit": "0123abc", "elapsed_s": 3.7, "weights": "bundled"}
    (folder / "made.json").write_text(json.dumps(made))
    (folder / "config.toml").write_text("[prediction]\n")
    return folder


def rows_of(path):
    text = path.read_text()
    return json.loads(re.search(r'id="page-json">(.*?)</script>', text, re.DOTALL).group(1))["rows"]


def test_a_submission_whose_truth_is_known_gets_scores(source, submission):
    path = report_submission(source, submission)
    assert path == submission / "report.html"
    assert all(0.3 < row["score"] < 1 for row in rows_of(path))
    assert all(fact in path.read_text() for fact in ("0123abc", "bundled", "[prediction]"))


def test_a_solution_can_be_named(source, submission, tmp_path):
    solution = pd.read_csv(source.cache / "stage1_solution.csv")
    first_id = solution["ImageId"].iloc[0]
    solution[solution["ImageId"] == first_id].to_csv(tmp_path / "truth.csv", index=False)
    rows = rows_of(report_submission(source, submission, truth=tmp_path / "truth.csv"))
    assert {row["id"] for row in rows if row["score"] is not None} == {first_id}


def test_a_submission_without_truth_gets_counts(source, submission, tmp_path):
    write_demo(tmp_path / "demo", n_train=2, n_test=2)
    (tmp_path / "demo" / "stage1_solution.csv").unlink()
    prepared = prepare(tmp_path / "demo", tmp_path / "cache")
    blind = Source(tmp_path / "demo", tmp_path / "cache", True, prepared)
    rows = rows_of(report_submission(blind, submission))
    assert all(row["score"] is None and row["nPredicted"] > 0 for row in rows)


def test_out_of_fold_predictions_get_folds_and_maps(source, tmp_path):
    samples = load_samples(source.cache, "stage1_train")
    for sample in samples:
        body = (sample.labels > 0).astype(np.float16)
        np.save(tmp_path / f"{sample.id}.npy", np.stack([body, 0 * body, body]))
    fold_of = {sample.id: number for number, sample in enumerate(samples)}
    labels = {sample.id: sample.labels for sample in samples}
    files = {sample.id: tmp_path / f"{sample.id}.npy" for sample in samples}
    inputs = OutOfFoldInput(files, fold_of, labels, ABOUT)
    path = report_out_of_fold(source, inputs, path=tmp_path / "oof.html")
    assert {row["fold"] for row in rows_of(path)} == {0, 1}
    assert '"border":"' in path.read_text()


def test_a_missing_probability_is_named(source, tmp_path):
    id_ = load_samples(source.cache, "stage1_train")[0].id
    inputs = OutOfFoldInput({id_: tmp_path / f"{id_}.npy"}, {id_: 0}, {}, ABOUT)
    with pytest.raises(
        InputError, match=f"^{re.escape(str(tmp_path / id_))}.npy: cannot be read as"
    ):
        report_out_of_fold(source, inputs, path=tmp_path / "oof.html")


def test_what_changed_since_another_submission_is_on_the_page(source, submission, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(submission, other)
    path = report_submission(source, submission, against=other)
    assert all(row["gain"] == 0 and row["agreement"] == 1 for row in rows_of(path))
    assert "most changed" in path.read_text()


def test_a_folder_without_a_submission_is_refused(source, tmp_path):
    message = f"{tmp_path}: contains no submission.csv; create one with `kaggle-dsb submit`"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        report_submission(source, tmp_path)
