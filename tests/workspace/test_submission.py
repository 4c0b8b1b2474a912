import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.workspace.submission import SubmissionFolder, list_submissions


def test_a_submission_knows_its_files_and_reads_what_was_written(tmp_path):
    submission = SubmissionFolder(tmp_path / "first")
    assert (submission.read_made(), submission.read_score()) == ({}, {})
    submission.write_made({"data": "demo"})
    submission.write_score({"score": 0.5})
    assert submission.is_of_demo
    assert submission.read_score() == {"score": 0.5}
    assert submission.label_file("a") == tmp_path / "first" / "labels" / "a.png"
    assert submission.probability_file("a") == tmp_path / "first" / "probabilities" / "a.npy"
    assert list_submissions(tmp_path) == [submission]
    assert list_submissions(tmp_path / "absent") == []


def test_the_data_that_made_a_submission_are_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submission = SubmissionFolder(tmp_path / "first")
    assert submission.find_data() is None
    (tmp_path / "downloads").mkdir()
    submission.write_made({"data": "downloads"})
    assert str(submission.find_data()) == "downloads"
    submission.write_made({"data": "demo"})
    assert submission.find_data() is None


def test_data_that_are_gone_are_asked_for(tmp_path):
    submission = SubmissionFolder(tmp_path / "first")
    submission.write_made({"data": str(tmp_path / "gone")})
    with pytest.raises(InputError) as raised:
        submission.find_data()
    assert str(raised.value) == (
        f"{tmp_path / 'first' / 'made.json'}: was made from {tmp_path / 'gone'}, which is not "
        "there; name the data with --data"
    )
