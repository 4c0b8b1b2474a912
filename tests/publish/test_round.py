"""The whole round against a server on this computer: bundle, push, output, submit, score."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.io import imsave

from kaggle_dsb.commands.kaggle_submit import check_locally, submit_to_kaggle
from kaggle_dsb.commands.push import (
    FinishedRun,
    fetch_run,
    find_pushed,
    push_bundle,
    push_kernel,
    tail_log,
)
from kaggle_dsb.competition.submission import write_submission
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.publish import BUNDLE_FOLDER, bundle, session
from kaggle_dsb.publish.client import Kaggle, PushedVersion, Verdict
from kaggle_dsb.publish.errors import KaggleError
from kaggle_dsb.publish.kernel import prepare_kernel
from kaggle_dsb.workspace.source import Source, open_source
from tests.publish import fake_kaggle

KERNELS_FOLDER = Path(__file__).parents[2] / "kernels"
REF = "ada/kaggle-dsb-bundle"
CSV = b"ImageId,EncodedPixels\na,1 1\n"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle without wheels."""
    monkeypatch.setattr(bundle, "LACKING", {})
    monkeypatch.setattr(bundle, "build_own_wheel", lambda folder, **_: None)
    Path("fold0.safetensors").write_bytes(b"weights")
    bundle.build_bundle(BUNDLE_FOLDER, networks=[Path("fold0.safetensors")], about=[])
    return BUNDLE_FOLDER


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("source")
    write_demo(folder / "demo", n_train=1, n_test=2)
    return open_source(folder / "demo", work=folder / "work")


@pytest.fixture
def submission(source: Source, tmp_path: Path) -> Path:
    folder = tmp_path / "submissions" / "first"
    folder.mkdir(parents=True)
    samples = load_samples(source.cache, "stage1_test")
    empty = {sample.id: np.zeros(sample.image.shape[:2], int) for sample in samples}
    write_submission(folder / "submission.csv", empty)
    (folder / "made.json").write_text('{"set": "stage1_test"}')
    (folder / "score.json").write_text('{"score": 0.5}')
    return folder


def start(kaggle: Kaggle) -> PushedVersion:
    folder = prepare_kernel("submit", owner=kaggle.username, kernels=KERNELS_FOLDER)
    return push_kernel(kaggle, "submit", folder)


def push_submit(kaggle: Kaggle, server: Any, status: str, files: dict[str, bytes]) -> FinishedRun:
    log = json.dumps([{"stream_name": "stderr", "time": 1, "data": "one\ntwo\n"}])
    server.datasets[REF] = [{}]
    server.run_kernel = lambda request: (status, files, log)
    return fetch_run(kaggle, "submit", start(kaggle), every_s=0)


def test_the_bundle_is_created_then_versioned_when_it_has_changed(
    server: Any, kaggle: Kaggle, built: Path
) -> None:
    assert push_bundle(kaggle, built, notes="one") == REF
    Path("fold0.safetensors").write_bytes(b"other")
    bundle.build_bundle(built, networks=[Path("fold0.safetensors")], about=[])
    assert push_bundle(kaggle, built, notes="two") == REF
    first, second = server.datasets[REF]
    assert set(first) == set(second) == {"bundle.json", "fold0.safetensors"}
    assert (first["fold0.safetensors"], second["fold0.safetensors"]) == (b"weights", b"other")
    metadata = json.loads((built / "dataset-metadata.json").read_text())
    assert metadata["id"] == REF


def test_an_unchanged_bundle_is_not_sent_again(
    server: Any, kaggle: Kaggle, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push_bundle(kaggle, built, notes="one")
    capsys.readouterr()
    push_bundle(kaggle, built, notes="two")
    assert len(server.datasets[REF]) == 1
    assert capsys.readouterr().err == f"{REF}: unchanged since the last push, not uploaded again\n"


def test_a_bundle_that_is_gone_from_kaggle_is_sent_again(
    server: Any, kaggle: Kaggle, built: Path
) -> None:
    push_bundle(kaggle, built, notes="one")
    server.datasets.clear()
    push_bundle(kaggle, built, notes="one")
    assert len(server.datasets[REF]) == 1


def test_a_data_set_that_kaggle_cannot_prepare_is_an_error(
    server: Any, kaggle: Kaggle, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.datasets[REF] = [{}]
    monkeypatch.setattr(server, "GetDatasetStatus", lambda request: {"status": "FAILED"})
    with pytest.raises(KaggleError) as caught:
        push_bundle(kaggle, built, notes="one")
    assert str(caught.value) == f"{REF}: Kaggle could not prepare the data set (status failed)"


def test_a_kernel_is_pushed_run_and_fetched(server: Any, kaggle: Kaggle) -> None:
    pushed = push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    assert pushed.faults == []
    assert pushed.version.page == "http://localhost/code/ada/kaggle-dsb-submit"
    assert (pushed.folder / "submission.csv").read_bytes() == CSV
    assert tail_log(pushed.files[-1]) == ["one", "two"]
    request = server.kernels["ada/kaggle-dsb-submit"]
    assert request["text"] == (KERNELS_FOLDER / "submit" / "submit.py").read_text()
    assert request["datasetDataSources"] == [REF]
    assert request["competitionDataSources"] == ["data-science-bowl-2018"]
    assert (request["enableInternet"], request["machineShape"]) == (False, "NvidiaTeslaT4")


def test_a_run_that_fails_is_told_with_the_end_of_its_log(server: Any, kaggle: Kaggle) -> None:
    pushed = push_submit(kaggle, server, "ERROR", {})
    assert pushed.faults == [
        "the run ended with status error: Your notebook failed",
        "one",
        "two",
        "build/output/submit-failed/submission.csv: missing from the output of the run",
    ]


def test_output_that_is_no_submission_is_told(server: Any, kaggle: Kaggle) -> None:
    pushed = push_submit(kaggle, server, "COMPLETE", {"submission.csv": b"<html>\n"})
    assert pushed.faults == [
        "build/output/submit-failed/submission.csv: starts with '<html>', expected "
        "'ImageId,EncodedPixels'"
    ]


def test_output_of_a_failed_run_is_kept_apart_from_that_of_an_earlier_run(
    server: Any, kaggle: Kaggle
) -> None:
    earlier = push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    failed = push_submit(kaggle, server, "COMPLETE", {"other.csv": CSV})
    assert failed.faults == [
        "build/output/submit-failed/submission.csv: missing from the output of the run"
    ]
    there = {path for path in earlier.folder.parent.rglob("*") if path.is_file()}
    assert there == {*earlier.files, *failed.files}
    push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    assert not failed.folder.exists()


def test_output_that_cannot_be_fetched_leaves_the_earlier_run_and_its_output(
    server: Any, kaggle: Kaggle
) -> None:
    earlier = push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    server.faults["GET output"].append(fake_kaggle.refusal(404, "Gone"))
    with pytest.raises(KaggleError) as caught:
        push_submit(kaggle, server, "COMPLETE", {"submission.csv": b"", "later.txt": b"x"})
    assert str(caught.value) == (
        "fetching later.txt: HTTP 404: not found; check the name and your access"
    )
    there = {path for path in earlier.folder.parent.rglob("*") if path.is_file()}
    assert there == set(earlier.files)
    assert (earlier.folder / "submission.csv").read_bytes() == CSV


def test_an_earlier_run_that_is_over_is_not_taken_for_the_one_pushed(
    server: Any, kaggle: Kaggle
) -> None:
    push_submit(kaggle, server, "ERROR", {})
    pushed = push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    assert (pushed.version.number, pushed.faults) == (2, [])
    # A third version that is pushed elsewhere meanwhile is not asked about either.
    server.versions[pushed.version.ref] = 3
    assert kaggle.kernel_run(pushed.version).status == "complete"


def test_waiting_holds_out_while_there_is_no_network(
    server: Any, kaggle: Kaggle, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals = [fake_kaggle.refusal(503, "Busy")] * 3 * session.TRIES
    server.faults["GetKernelSessionStatus"] += refusals
    pushed = push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    assert pushed.faults == []
    assert capsys.readouterr().err.count("failed, retrying in") == 3 * (session.TRIES - 1)


def test_waiting_ends_when_kaggle_refuses(server: Any, kaggle: Kaggle) -> None:
    server.faults["GetKernelSessionStatus"].append(fake_kaggle.refusal(401, "Expired"))
    with pytest.raises(KaggleError) as caught:
        push_submit(kaggle, server, "COMPLETE", {})
    assert str(caught.value) == (
        "querying the status of ada/kaggle-dsb-submit: HTTP 401 (Expired): invalid or expired "
        "credentials; create new ones at https://www.kaggle.com/settings/api"
    )


def test_a_run_is_fetched_later_without_pushing_again(server: Any, kaggle: Kaggle) -> None:
    server.datasets[REF] = [{}]
    server.run_kernel = lambda request: ("COMPLETE", {"submission.csv": CSV}, "")
    version = start(kaggle)
    assert find_pushed(kaggle, "submit") == version
    fetched = fetch_run(kaggle, "submit", find_pushed(kaggle, "submit"), every_s=0)
    assert (fetched.folder / "submission.csv").read_bytes() == CSV
    assert server.calls.count("SaveKernel") == 1


def test_a_kernel_that_was_pushed_elsewhere_is_fetched_at_its_latest(kaggle: Kaggle) -> None:
    assert find_pushed(kaggle, "train") == PushedVersion(
        "ada/kaggle-dsb-train", None, "https://www.kaggle.com/code/ada/kaggle-dsb-train"
    )


def test_without_its_bundle_a_kernel_is_no_success(server: Any, kaggle: Kaggle) -> None:
    with pytest.raises(KaggleError) as caught:
        start(kaggle)
    assert str(caught.value) == (
        f"pushing build/kernels/submit: Kaggle does not know the dataset {REF}, or you have no "
        "access to it; the kernel was pushed without it and will fail"
    )


def test_a_submission_is_checked_submitted_and_its_scores_kept(
    server: Any, kaggle: Kaggle, submission: Path, source: Source
) -> None:
    path = check_locally(submission, source)
    verdict = submit_to_kaggle(kaggle, submission, "the first", every_s=0)
    assert verdict == Verdict("complete", 0.55, 0.61, "")
    assert server.submissions[0]["content"] == path.read_bytes()
    kept = json.loads((submission / "score.json").read_text())
    assert kept["score"] == 0.5
    entry = {key: kept["kaggle"][key] for key in ("number", "status", "message")}
    assert entry == {"number": 1000, "status": "complete", "message": "the first"}
    assert (kept["kaggle"]["public_score"], kept["kaggle"]["private_score"]) == (0.55, 0.61)


def test_a_verdict_is_not_recorded_for_a_csv_that_replaced_the_one_sent(
    kaggle: Kaggle, submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Kaggle.find_submission

    def replace_first(self: Kaggle, number: int) -> Verdict | None:
        (submission / "submission.csv").write_text("ImageId,EncodedPixels\n")
        return find(self, number)

    monkeypatch.setattr(Kaggle, "find_submission", replace_first)
    assert submit_to_kaggle(kaggle, submission, "the first", every_s=0).public_score == 0.55
    entry = json.loads((submission / "score.json").read_text())["kaggle"]
    assert (entry["status"], entry["public_score"]) == ("pending", None)


def test_waiting_is_taken_up_again_without_a_second_submission(
    server: Any, kaggle: Kaggle, submission: Path
) -> None:
    server.faults["ListSubmissions"].append(fake_kaggle.refusal(401, "expired"))
    with pytest.raises(KaggleError):
        submit_to_kaggle(kaggle, submission, "the first", every_s=0)
    assert submit_to_kaggle(kaggle, submission, "the first", every_s=0).public_score == 0.55
    assert len(server.submissions) == 1
    submit_to_kaggle(kaggle, submission, "the first", every_s=0)
    assert len(server.submissions) == 2


def test_a_submission_that_kaggle_cannot_score_is_an_error(
    server: Any, kaggle: Kaggle, submission: Path
) -> None:
    server.score = {"status": "ERROR", "errorDescription": "Index was outside\nthe bounds"}
    with pytest.raises(KaggleError) as caught:
        submit_to_kaggle(kaggle, submission, "the first", every_s=0)
    assert str(caught.value) == (
        f"{submission / 'submission.csv'}: Kaggle could not score it: Index was outside the bounds"
    )
    assert json.loads((submission / "score.json").read_text())["kaggle"]["status"] == "error"


def test_a_faulty_csv_is_not_submitted(submission: Path, source: Source) -> None:
    path = submission / "submission.csv"
    path.write_text("ImageID,EncodedPixels\n")
    with pytest.raises(InputError) as caught:
        check_locally(submission, source)
    assert str(caught.value).startswith(f"not submitted, 3 errors, the first: {path}: line 1 ")


def test_a_submission_that_is_not_there_is_told(source: Source, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_locally(tmp_path / "none", source)
    assert str(caught.value) == (
        f"{tmp_path / 'none' / 'submission.csv'}: no such file; create it with `kaggle-dsb submit "
        "--name …`"
    )


def test_the_demo_is_not_submitted(submission: Path, source: Source) -> None:
    with pytest.raises(InputError) as caught:
        check_locally(submission, replace(source, is_demo=True))
    assert str(caught.value) == (
        f"{submission / 'submission.csv'}: predicts the demo set; pass the competition's files "
        "with --data"
    )


def test_images_of_ones_own_are_not_submitted(submission: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    imsave(tmp_path / "mine" / "a.png", np.zeros((8, 8, 3), np.uint8), check_contrast=False)
    source = open_source(tmp_path / "mine", work=tmp_path / "work")
    (submission / "made.json").unlink()
    with pytest.raises(InputError) as caught:
        check_locally(submission, source)
    assert str(caught.value) == (
        f"{submission / 'submission.csv'}: predicts images, but Kaggle scores only stage1_test or "
        "stage2_test_final"
    )


def test_a_submission_of_stage_1_is_warned_of(
    submission: Path, source: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    path = check_locally(submission, source)
    assert capsys.readouterr().err == (
        f"warning: {path}: predicts stage1_test, but since the deadline Kaggle scores only "
        "stage2_test_final; predict it with --set-name stage2_test_final\n"
    )


def test_a_message_must_say_something(server: Any, kaggle: Kaggle, submission: Path) -> None:
    with pytest.raises(InputError) as caught:
        submit_to_kaggle(kaggle, submission, " ")
    assert str(caught.value) == "the message is empty; describe the submission in a few words"


def test_no_file_that_is_made_or_sent_holds_a_secret(
    server: Any, kaggle: Kaggle, built: Path, submission: Path, tmp_path: Path
) -> None:
    push_bundle(kaggle, built, notes="one")
    push_submit(kaggle, server, "COMPLETE", {"submission.csv": CSV})
    submit_to_kaggle(kaggle, submission, "the first", every_s=0)
    assert fake_kaggle.read_secrets_in(tmp_path) == []
    sent = [content for _, content in server.blobs.values()]
    sent += [json.dumps(request).encode() for request in server.kernels.values()]
    assert not any(fake_kaggle.KEY.encode() in content for content in sent)


def test_the_search_for_secrets_finds_one(tmp_path: Path) -> None:
    (tmp_path / "kaggle.json").write_text(fake_kaggle.KEY)
    assert fake_kaggle.read_secrets_in(tmp_path) == [str(tmp_path / "kaggle.json")]
