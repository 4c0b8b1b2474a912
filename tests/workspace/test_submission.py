from pathlib import Path

import pytest

from kaggle_dsb.dataset.read_options import ReadOptions
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
        f"{tmp_path / 'first' / 'made.json'}: was made from {tmp_path / 'gone'}, which cannot be "
        "found from this folder; pass the data with --data"
    )


def write_files(files, text):
    """Write what a submission of one image holds."""
    for path in (files.csv_file, files.settings_file, files.label_file("a")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    files.write_made({"text": text})


def list_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def write_derived(files):
    """Write what score, report and submit --export make of a submission."""
    files.write_score({"score": 0.5})
    files.report_file.write_text("page")
    files.export_folder.mkdir()
    (files.export_folder / "a.geojson").touch()


def test_a_draft_takes_the_place_of_the_earlier_submission_and_of_what_was_made_of_it(tmp_path):
    files = SubmissionFolder(tmp_path / "first")
    write_files(files, "earlier")
    write_derived(files)
    with files.locking():
        files.begin("key")
        write_files(files.draft, "new")
        # A process that was killed while it wrote has left this.
        (files.draft.labels_folder / ".a-writing-x.png").touch()
        files.finish()
    assert list_files(files.folder) == [
        ".lock",
        "config.toml",
        "labels/a.png",
        "made.json",
        "submission.csv",
    ]
    assert files.read_made() == {"text": "new"}
    assert files.csv_file.read_text() == files.label_file("a").read_text() == "new"


def test_what_was_made_of_the_same_nuclei_stays(tmp_path):
    files = SubmissionFolder(tmp_path / "first")
    write_files(files, "same")
    write_derived(files)
    files.begin("key")
    write_files(files.draft, "same")
    files.finish()
    assert {"score.json", "report.html", "export/a.geojson"} < set(list_files(files.folder))


def test_a_submission_stays_locked_until_it_is_finished(tmp_path):
    files = SubmissionFolder(tmp_path / "first")
    with files.locking():
        files.begin("key")
        write_files(files.draft, "new")
        files.finish()
        with pytest.raises(InputError), files.locking():
            pass


@pytest.mark.parametrize("n_renamed", range(4))
def test_a_submission_interrupted_while_it_takes_its_place_tells_nothing_false(
    tmp_path, monkeypatch, n_renamed
):
    files = SubmissionFolder(tmp_path / "first")
    write_files(files, "earlier")
    files.begin("key")
    write_files(files.draft, "new")
    replace, renamed = Path.replace, []

    def interrupt(path, target):
        if len(renamed) == n_renamed:
            raise KeyboardInterrupt
        renamed.append(path)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.finish()
    assert files.read_made() == {}
    # The same command makes anew what the draft no longer holds.
    files.begin("key")
    write_files(files.draft, "new")
    files.finish()
    assert files.read_made() == {"text": "new"}
    assert files.csv_file.read_text() == files.label_file("a").read_text() == "new"


def test_a_draft_is_kept_for_the_same_key_only(tmp_path):
    files = SubmissionFolder(tmp_path / "first")
    with files.locking():
        files.begin("key")
        files.draft.labels_folder.mkdir()
        files.draft.label_file("a").touch()
        files.begin("key")
        assert files.draft.label_file("a").exists()
        files.begin("other")
        assert not files.draft.label_file("a").exists()
        with pytest.raises(InputError) as raised, files.locking():
            pass
    assert str(raised.value) == (
        f"{files.folder}: another process is writing this submission; wait until it finishes"
    )


def test_images_are_read_as_those_that_a_submission_was_made_from(tmp_path):
    submission = SubmissionFolder(tmp_path / "first")
    assert submission.choose_read_options(ReadOptions()) == ReadOptions()
    submission.write_made({"read_options": {"channel": 2}})
    assert submission.choose_read_options(ReadOptions()) == ReadOptions(channel=2)
    assert submission.choose_read_options(ReadOptions(plane=3)) == ReadOptions(plane=3)


@pytest.mark.parametrize("recorded", [{"depth": 2}, {"channel": 0}])
def test_a_record_of_unknown_options_is_refused(recorded, tmp_path):
    submission = SubmissionFolder(tmp_path / "first")
    submission.write_made({"read_options": recorded})
    with pytest.raises(InputError) as error:
        submission.choose_read_options(ReadOptions())
    assert str(error.value) == (
        f"{submission.made_file}: invalid read options {recorded}; allowed: channel, plane, "
        "project, connected_components"
    )
