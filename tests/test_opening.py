"""Finding what a verb is to work on: submissions and training runs by name."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.files import InputError
from kaggle_dsb.opening import (
    find_submission,
    find_submission_of,
    open_networks,
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_submission(name, *, age_s):
    folder = Path("submissions", name)
    folder.mkdir(parents=True)
    made = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=age_s)
    (folder / "made.json").write_text(json.dumps({"made": made.isoformat()}))
    (folder / "submission.csv").write_text("ImageId,EncodedPixels\n")


def test_without_a_name_the_newest_submission_is_meant(here, capsys):
    for name, age_s in (("first", 20), ("second", 10), ("third", 30)):
        make_submission(name, age_s=age_s)
    assert find_submission(None).name == "second"
    assert capsys.readouterr().err == "submission: second, the newest\n"


def test_without_any_submission_there_is_no_newest(here):
    with pytest.raises(
        InputError,
        match=r"^submissions: contains no submission; create one with `kaggle-dsb submit`$",
    ):
        find_submission(None)


def test_a_submission_to_score_may_be_named_by_name_folder_or_csv(here):
    make_submission("first", age_s=0)
    for path in ("first", "submissions/first", "submissions/first/submission.csv"):
        found = find_submission_of(Path(path))
        assert found is not None
        assert found.folder == Path("submissions/first")
    assert find_submission_of(Path("other.csv")) is None
    with pytest.raises(
        InputError,
        match=r"^other: no such file, folder or submission; existing submissions: first$",
    ):
        find_submission_of(Path("other"))


def test_a_file_comes_before_a_submission_of_its_name(here):
    make_submission("first", age_s=0)
    Path("first").mkdir()
    assert find_submission_of(Path("first")) is None


def test_the_leaderboard_tells_which_submissions_are_not_scored(here, capsys):
    make_submission("first", age_s=0)
    assert run(["leaderboard", "--own"]) == 0
    assert capsys.readouterr().err == "not scored: first; score with `kaggle-dsb score NAME`\n"


def test_settings_of_a_file_come_before_those_of_fast(here):
    Path("two.toml").write_text("[prediction]\nscales = [1, 2]\n")
    _, settings = open_networks(Path("bundled"), Path("two.toml"), fast=True)
    assert (settings.prediction.scales, settings.prediction.tta) == ((1, 2), "none")
