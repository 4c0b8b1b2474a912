import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.commands.submit import Submission
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.workspace.source import open_source
from kaggle_dsb.workspace.submission import SubmissionFolder
from tests.commands.examples import QUICK

NUCLEUS = np.s_[2:6, 3:9]


@pytest.fixture
def submission(here):
    """A submission of two images of 16 bits, with a nucleus of intensity 700 each."""
    files = SubmissionFolder(here / "submissions" / "first")
    for name in ("a", "b"):
        image, labels = np.full((20, 30), 500, np.uint16), np.zeros((20, 30), np.int32)
        image[NUCLEUS], labels[NUCLEUS] = 700, 1
        (here / "mine").mkdir(exist_ok=True)
        assert cv2.imwrite(str(here / "mine" / f"{name}.png"), image)
        write_labels(files.label_file(name), labels)
    source = open_source(Path("mine"), work=here / "work")
    return Submission(files, source, "images", 2, 2, None)


def test_the_nuclei_of_all_images_are_measured_in_the_units_of_the_files(submission):
    (path,) = submission.export(["csv"])
    assert path == submission.files.export_folder / "measurements.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a", "b"]
    for row in rows:
        assert (row["centroid_row"], row["centroid_column"], row["area_px"]) == ("3.5", "5.5", "24")
        assert row["mean_intensity_red"] == row["mean_intensity_blue"] == "700"


def test_a_table_is_exported_beside_other_formats(submission):
    written = submission.export(["csv", "coco", "geojson"])
    names = {"a.geojson", "b.geojson", "coco.json", "measurements.csv"}
    assert {path.name for path in written} == names
    assert {path.name for path in submission.files.export_folder.iterdir()} == names


def test_submit_writes_a_table_of_measurements(data, weights, capsys):
    call = ["submit", "--weights", "weights", "--name", "first", "--export", "csv", *QUICK]
    assert run(call) == 0
    header = Path("submissions/first/export/measurements.csv").read_text().splitlines()[0]
    assert header.startswith("image,label,centroid_row,centroid_column,area_px,")
    assert "submissions/first/export: 1 files" in capsys.readouterr().out.splitlines()


def test_a_table_is_refused_before_any_work_where_scikit_image_is_missing(
    here, monkeypatch, capsys
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["submit", "--export", "csv"]) == 2
    assert capsys.readouterr().err == (
        "error: export format 'csv': scikit-image is not installed; install it with pip install "
        "scikit-image\n"
    )
