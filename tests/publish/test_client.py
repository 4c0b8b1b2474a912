"""The official client against a server on this computer, with every way it can fail."""

import json
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kaggle_dsb.publish import session
from kaggle_dsb.publish.client import Kaggle, KernelRun, PushedVersion, Verdict, connect
from kaggle_dsb.publish.errors import KaggleError
from kaggle_dsb.publish.session import wait_until
from tests.publish import fake_kaggle

refusal = fake_kaggle.refusal
REF = "ada/kaggle-dsb-bundle"
PAGE = "http://localhost/code/ada/kaggle-dsb-submit"
VERSION = PushedVersion("ada/kaggle-dsb-submit", 1, PAGE)
MIB = 1 << 20  # the client keeps what has arrived in whole pieces of this size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of two files."""
    made = tmp_path / "dataset"
    made.mkdir()
    (made / "a.txt").write_text("first")
    (made / "b.bin").write_bytes(bytes(range(256)))
    metadata = {"id": REF, "title": "kaggle-dsb bundle", "licenses": [{"name": "other"}]}
    (made / "dataset-metadata.json").write_text(json.dumps(metadata))
    return made


def fail(server: Any, method: str, *faults: Any) -> None:
    server.faults[method] += faults


def test_the_username_comes_with_the_credentials(kaggle: Kaggle) -> None:
    assert kaggle.username == "ada"


def test_a_token_signs_in_too(
    server: Any, no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", fake_kaggle.TOKEN)
    assert connect().username == "ada"


def test_signing_in_with_a_token_holds_out_a_passing_failure(
    server: Any, no_credentials: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", fake_kaggle.TOKEN)
    fail(server, "IntrospectToken", refusal(503, "Busy"))
    assert connect().username == "ada"
    assert sleeps == [2.0]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refusal(500, "Oh"), "HTTP 500 (Oh): Kaggle has a problem on its side; try again later"),
        (
            fake_kaggle.Fault(200, b"<html>", {"Content-Type": "text/html"}),
            "Kaggle's reply is not JSON, perhaps a proxy's or a maintenance page; try again later",
        ),
    ],
)
def test_a_token_that_cannot_be_checked_is_told(
    server: Any,
    no_credentials: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Any,
    message: str,
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", fake_kaggle.TOKEN)
    fail(server, "IntrospectToken", *[fault] * session.TRIES)
    with pytest.raises(KaggleError) as caught:
        connect()
    assert str(caught.value) == f"signing in: {message}"


def test_without_a_network_a_token_is_not_called_wrong(
    no_credentials: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", fake_kaggle.TOKEN)
    with pytest.raises(KaggleError) as caught:
        connect()
    assert str(caught.value).startswith("signing in: no network connection to localhost:9; ")


def test_the_client_starts_in_a_home_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    code = "from kaggle_dsb.publish.client import connect; print(connect().username)"
    environment = {"HOME": str(tmp_path / "home"), "KAGGLE_USERNAME": "ada", "KAGGLE_KEY": "x"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]} | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ada\n", "")


def test_without_credentials_the_searched_places_are_named(no_credentials: Path) -> None:
    with pytest.raises(KaggleError) as caught:
        connect()
    assert str(caught.value) == (
        "no Kaggle credentials found (looked for KAGGLE_API_TOKEN, ~/.kaggle/access_token, "
        "KAGGLE_USERNAME with KAGGLE_KEY, kaggle.json, ~/.kaggle/credentials.json (as `kaggle "
        f"auth login` writes it) in {no_credentials / 'config'}); create a token at "
        "https://www.kaggle.com/settings/api and put it in KAGGLE_API_TOKEN or "
        "~/.kaggle/access_token"
    )


def test_a_token_that_kaggle_does_not_know_is_refused(
    server: Any, no_credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_wrong")
    with pytest.raises(KaggleError) as caught:
        connect()
    assert str(caught.value) == (
        "KAGGLE_API_TOKEN: Kaggle rejected these credentials; create new ones at "
        "https://www.kaggle.com/settings/api"
    )


def test_a_wrong_key_is_told_at_the_first_request(
    server: Any, credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    with pytest.raises(KaggleError) as caught:
        connect().measure_competition()
    assert str(caught.value) == (
        "listing the competition's files: HTTP 401 (Unauthorized): invalid or expired "
        "credentials; create new ones at https://www.kaggle.com/settings/api"
    )


def test_rules_not_accepted_name_the_page_to_click(server: Any, kaggle: Kaggle) -> None:
    fail(server, "DownloadDataFiles", refusal(403, "You must accept this competition's rules"))
    with pytest.raises(KaggleError) as caught:
        kaggle.download_competition(Path("unused"))
    assert str(caught.value) == (
        "downloading the competition's files: HTTP 403 (You must accept this competition's rules): "
        "not allowed; accept the competition's rules at "
        "https://www.kaggle.com/competitions/data-science-bowl-2018/rules, or check the owner"
    )


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (404, "not found; check the name and your access"),
        (
            409,
            "conflict; wait for an earlier upload to finish, or use another name",
        ),
        (500, "Kaggle has a problem on its side; try again later"),
    ],
)
def test_a_refusal_is_told_in_kaggles_words_with_advice(
    server: Any, kaggle: Kaggle, tmp_path: Path, status: int, advice: str
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("ImageId,EncodedPixels\n")
    fail(server, "StartSubmissionUpload", refusal(status, "Sorry"))
    with pytest.raises(KaggleError) as caught:
        kaggle.submit(path, "first")
    assert str(caught.value) == f"submitting {path}: HTTP {status} (Sorry): {advice}"
    assert server.submissions == []


def test_too_many_requests_wait_as_long_as_kaggle_asks(
    server: Any, kaggle: Kaggle, sleeps: list[float]
) -> None:
    fail(server, "ListDataFiles", refusal(429, "Slow down", Retry_After="7"))
    server.files["a.zip"] = b"12345"
    assert kaggle.measure_competition() == 5
    assert sleeps == [7.0]


def test_too_many_requests_for_too_long_are_an_error(server: Any, kaggle: Kaggle) -> None:
    fail(server, "ListDataFiles", *[refusal(429, "Slow down", Retry_After="7")] * session.TRIES)
    with pytest.raises(KaggleError) as caught:
        kaggle.measure_competition()
    assert str(caught.value) == (
        "listing the competition's files: HTTP 429 (Slow down): too many requests; try again in a "
        "few minutes"
    )


def test_reading_goes_on_after_a_passing_failure(
    server: Any, kaggle: Kaggle, sleeps: list[float]
) -> None:
    fail(server, "ListDataFiles", refusal(503, "Busy"), refusal(500, "Busy"))
    assert kaggle.measure_competition() == 0
    assert sleeps == [2.0, 4.0]


def test_a_submission_is_not_repeated_after_a_failure(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("ImageId,EncodedPixels\n")
    fail(server, "CreateSubmission", refusal(500, "Oh"))
    with pytest.raises(KaggleError):
        kaggle.submit(path, "first")
    assert server.calls.count("CreateSubmission") == 1


def test_no_answer_is_a_timeout(
    server: Any, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(session, "TRIES", 1)
    fail(server, "ListDataFiles", fake_kaggle.Fault(is_silent=True))
    with pytest.raises(KaggleError) as caught:
        kaggle.measure_competition()
    assert str(caught.value) == (
        "listing the competition's files: Kaggle did not answer in time; try again later"
    )


def test_a_reply_that_is_no_json_is_told(server: Any, kaggle: Kaggle) -> None:
    page = fake_kaggle.Fault(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
    fail(server, "ListDataFiles", page)
    with pytest.raises(KaggleError) as caught:
        kaggle.measure_competition()
    assert str(caught.value) == (
        "listing the competition's files: Kaggle's reply is not JSON, perhaps a proxy's or a "
        "maintenance page; try again later"
    )


def test_without_a_network_the_host_is_named(credentials: Path, sleeps: list[float]) -> None:
    with pytest.raises(KaggleError) as caught:
        connect().measure_competition()
    assert str(caught.value) == (
        "listing the competition's files: no network connection to localhost:9; check the "
        "connection (in a Kaggle notebook, turn the internet on)"
    )


def test_a_broken_download_goes_on_where_it_broke_off(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("stage1_test.zip", bytes(4 * MIB))
    server.files["data-science-bowl-2018.zip"] = content.getvalue()
    server.break_after = [2 * MIB + 5, MIB + 5]
    path = kaggle.download_competition(tmp_path)
    assert path == tmp_path / "data-science-bowl-2018.zip"
    assert path.read_bytes() == content.getvalue()
    assert server.ranges == [f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]


def test_a_later_call_takes_up_an_earlier_download(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096 * 7
    server.files["data-science-bowl-2018.zip"] = content
    server.break_after = [MIB] * 6
    with pytest.raises(KaggleError) as caught:
        kaggle.download_competition(tmp_path)
    assert str(caught.value) == (
        "downloading the competition's files: the connection was lost (ChunkedEncodingError); run "
        "the same command again"
    )
    path = kaggle.download_competition(tmp_path)
    assert path.read_bytes() == content
    assert server.ranges[-1] == f"bytes={6 * MIB}-"


def test_a_data_set_is_created_then_versioned(server: Any, kaggle: Kaggle, folder: Path) -> None:
    assert kaggle.dataset_status(REF) is None
    kaggle.upload_dataset(folder, is_new=True, notes="one")
    assert kaggle.dataset_status(REF) == "ready"
    (folder / "a.txt").write_text("second")
    kaggle.upload_dataset(folder, is_new=False, notes="two")
    names = {"b.bin": bytes(range(256))}
    assert server.datasets[REF] == [names | {"a.txt": b"first"}, names | {"a.txt": b"second"}]


def test_a_file_that_does_not_arrive_stops_the_data_set(
    server: Any, kaggle: Kaggle, folder: Path
) -> None:
    fail(server, "upload", fake_kaggle.Fault(400))
    with pytest.raises(KaggleError) as caught:
        kaggle.upload_dataset(folder, is_new=True, notes="one")
    assert str(caught.value) in [
        f"{name}: the upload failed; run the same command again" for name in ("a.txt", "b.bin")
    ]
    assert server.datasets == {}


def write_kernel(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "submit.py").write_text("print(1)\n")
    metadata = {
        "id": "ada/kaggle-dsb-submit",
        "title": "kaggle-dsb submit",
        "code_file": "submit.py",
        "language": "python",
        "kernel_type": "script",
        "enable_internet": False,
        "dataset_sources": [],
    }
    (folder / "kernel-metadata.json").write_text(json.dumps(metadata | changes))
    return folder


def test_a_pushed_kernel_runs_and_its_output_is_fetched(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    files = {"submission.csv": b"ImageId,EncodedPixels\n", "stage1_test/made.json": b"{}"}
    server.run_kernel = lambda request: ("COMPLETE", files, "a log")
    version = kaggle.push_kernel(write_kernel(tmp_path / "kernel"))
    assert version == VERSION
    pushed = server.kernels["ada/kaggle-dsb-submit"]
    assert (pushed["text"], pushed["enableInternet"]) == ("print(1)\n", False)
    states = [kaggle.kernel_run(version) for _ in range(3)]
    assert states == [KernelRun(status, "") for status in ("queued", "running", "complete")]
    fetched = kaggle.fetch_output(version, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in fetched] == [
        "stage1_test/made.json",
        "submission.csv",
        "kaggle-dsb-submit.log",
    ]
    assert [path.read_bytes() for path in fetched] == [
        b"{}",
        b"ImageId,EncodedPixels\n",
        b"a log",
    ]


def test_a_source_that_kaggle_does_not_know_is_an_error(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    folder = write_kernel(tmp_path / "kernel", dataset_sources=["ada/no-such-set"])
    with pytest.raises(KaggleError) as caught:
        kaggle.push_kernel(folder)
    assert str(caught.value) == (
        f"pushing {folder}: Kaggle does not know the dataset ada/no-such-set, or you have no "
        "access to it; the kernel was pushed without it and will fail"
    )


def test_output_outside_its_folder_is_refused(server: Any, kaggle: Kaggle, tmp_path: Path) -> None:
    server.outcome = ("COMPLETE", {"../evil.txt": b"x"}, "")
    with pytest.raises(KaggleError) as caught:
        kaggle.fetch_output(VERSION, tmp_path / "out")
    assert str(caught.value) == (
        "'../evil.txt': an output file must lie inside the kernel's folder"
    )


def test_output_that_cannot_be_fetched_is_not_kept_as_a_file(
    server: Any, kaggle: Kaggle, tmp_path: Path
) -> None:
    server.outcome = ("COMPLETE", {"submission.csv": b"x"}, "")
    fail(server, "GET output", fake_kaggle.Fault(404, b"<Error>"))
    with pytest.raises(KaggleError) as caught:
        kaggle.fetch_output(VERSION, tmp_path / "out")
    assert str(caught.value) == (
        "fetching submission.csv: HTTP 404: not found; check the name and your access"
    )
    assert not (tmp_path / "out").exists()


def test_a_submission_is_scored(server: Any, kaggle: Kaggle, tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("ImageId,EncodedPixels\n")
    number = kaggle.submit(path, "a message")
    assert server.submissions[0]["content"] == path.read_bytes()
    assert server.submissions[0]["description"] == "a message"
    assert kaggle.find_submission(number) == Verdict("pending", None, None, "")
    assert kaggle.find_submission(number) == Verdict("complete", 0.55, 0.61, "")
    assert kaggle.find_submission(7) is None


def test_an_upload_that_fails_is_no_submission(server: Any, kaggle: Kaggle, tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("ImageId,EncodedPixels\n")
    fail(server, "upload", fake_kaggle.Fault(400))
    with pytest.raises(KaggleError) as caught:
        kaggle.submit(path, "a message")
    assert (
        str(caught.value) == f"submitting {path}: Kaggle replied: Could not submit to competition"
    )


def test_waiting_ends(sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 6.0])
    monkeypatch.setattr(session.time, "monotonic", lambda: next(times))
    with pytest.raises(KaggleError) as caught:
        wait_until(lambda: None, doing="the run", every_s=3, limit_s=5)
    assert str(caught.value) == "the run: no answer within 5 s; check its page on Kaggle"
    assert sleeps == [3]


def test_nothing_that_is_printed_or_raised_holds_a_secret(
    server: Any, kaggle: Kaggle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.files["data-science-bowl-2018.zip"] = b"x" * 10
    kaggle.download_competition(tmp_path)
    fail(server, "ListDataFiles", refusal(401, "Unauthorized"))
    with pytest.raises(KaggleError) as caught:
        kaggle.measure_competition()
    printed = capfd.readouterr()
    said = printed.out + printed.err + str(caught.value) + repr(kaggle)
    assert fake_kaggle.KEY not in said
    assert printed.out == ""
