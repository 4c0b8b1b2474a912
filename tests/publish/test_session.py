"""Requests with a time limit, uploads that go on, and the errors of both."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kaggle_dsb.publish import session
from kaggle_dsb.publish.errors import KaggleError, UnreachableError, explain
from kaggle_dsb.publish.session import download_file, read, upload, wait_until

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "fold0.safetensors"
    made.write_bytes(CONTENT)
    return made


class Uploads:
    """Stands for a session that puts files to a server which keeps only some of the bytes."""

    def __init__(self, keeps: list[int | None], answers: list[int]) -> None:
        self.keeps = keeps
        self.answers = answers
        self.arrived = b""
        self.ranges: list[str] = []

    def __call__(self) -> "Uploads":
        return self

    def __enter__(self) -> "Uploads":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def mount(self, *_: object) -> None:
        pass

    def put(self, url: str, *, headers: dict[str, str], data: Any = None) -> requests.Response:
        self.ranges.append(headers.get("Content-Range", ""))
        reply = requests.Response()
        if data is None:
            reply.status_code = 308
            if self.arrived:
                reply.headers["Range"] = f"bytes=0-{len(self.arrived) - 1}"
            return reply
        self.arrived += data.read()[: self.keeps.pop(0)]
        reply.status_code = self.answers.pop(0)
        if reply.status_code == 0:
            raise requests.ConnectionError("gone")
        return reply


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Uploads]:
    fake = Uploads(keeps=[1000, None], answers=[0, 200])
    monkeypatch.setattr(session.requests, "Session", fake)
    return fake


def test_an_upload_that_broke_off_goes_on_with_the_bytes_that_are_missing(
    path: Path, uploads: Uploads
) -> None:
    with pytest.raises(requests.ConnectionError):
        upload(path, "http://localhost/upload", resume=False)
    assert upload(path, "http://localhost/upload", resume=True)
    assert uploads.arrived == CONTENT
    n_bytes = len(CONTENT)
    assert uploads.ranges == ["", f"bytes */{n_bytes}", f"bytes 1000-{n_bytes - 1}/{n_bytes}"]


def test_an_upload_of_which_nothing_arrived_begins_anew(path: Path, uploads: Uploads) -> None:
    uploads.keeps, uploads.answers = [None], [201]
    assert upload(path, "http://localhost/upload", resume=True)
    assert uploads.arrived == CONTENT


def test_an_upload_that_is_refused_is_told(path: Path, uploads: Uploads) -> None:
    uploads.keeps, uploads.answers = [0], [400]
    assert not upload(path, "http://localhost/upload", resume=False)


def test_a_busy_server_is_no_refusal(path: Path, uploads: Uploads) -> None:
    uploads.keeps, uploads.answers = [0], [503]
    with pytest.raises(requests.ConnectionError):
        upload(path, "http://localhost/upload", resume=False)


def test_a_file_that_cannot_be_fetched_leaves_the_earlier_one(
    path: Path, server: Any, endpoint: list[str]
) -> None:
    with pytest.raises(KaggleError) as caught:
        download_file(f"{endpoint[0]}/output/none", path)
    assert str(caught.value) == (
        "fetching fold0.safetensors: HTTP 404: not found; check the name and your access"
    )
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name]


def test_a_download_that_broke_off_is_tried_again(
    path: Path, server: Any, endpoint: list[str], sleeps: list[float]
) -> None:
    server.outcome = ("COMPLETE", {"a": CONTENT[::-1]}, "")
    server.break_after = [1000, 2000]
    download_file(f"{endpoint[0]}/output/a", path)
    assert path.read_bytes() == CONTENT[::-1]
    assert sleeps == [2, 4]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ReadTimeout(), "signing in: Kaggle did not answer in time; try again later"),
        (
            requests.exceptions.SSLError("certificate\nexpired"),
            "signing in: no secure connection (certificate expired)",
        ),
        (
            requests.exceptions.ProxyError("refused"),
            "signing in: no secure connection (refused)",
        ),
        (
            requests.exceptions.ChunkedEncodingError("x"),
            "signing in: the connection was lost (ChunkedEncodingError); run the same command "
            "again",
        ),
    ],
)
def test_every_broken_connection_is_told_and_may_pass(
    error: requests.RequestException, message: str
) -> None:
    explained = explain("signing in", error)
    assert isinstance(explained, UnreachableError)
    assert str(explained) == message


def test_waiting_goes_on_without_a_connection_and_ends_at_its_limit(sleeps: list[float]) -> None:
    answers = iter([UnreachableError("a"), None, UnreachableError("b"), "done"])

    def ask() -> str | None:
        answer = next(answers)
        if isinstance(answer, UnreachableError):
            raise answer
        return answer

    assert wait_until(ask, doing="the run", every_s=3, limit_s=60) == "done"
    assert sleeps == [3, 3, 3]


def test_the_pause_between_tries_is_what_kaggle_asks_but_never_endless(
    sleeps: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reply = requests.Response()
    reply.status_code = 429
    reply.headers["Retry-After"] = "9999"

    def refuse() -> None:
        raise requests.HTTPError(response=reply)

    with pytest.raises(UnreachableError):
        read("asking", refuse)
    assert sleeps == [session.LONGEST_PAUSE_S] * (session.TRIES - 1)
    assert re.findall(r"retrying in (\d+) s", capsys.readouterr().err) == ["120"] * 3
