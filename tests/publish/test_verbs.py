"""The verbs of the command line that reach Kaggle: exit codes, whole messages, nothing unasked."""

from pathlib import Path
from typing import Any

import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.publish import bundle

CSV = b"ImageId,EncodedPixels\na,1 1\n"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's kernels, beside the user's files, and a bundle that is quick to build."""
    Path("kernels").symlink_to(Path(__file__).parents[2] / "kernels")
    monkeypatch.setattr(bundle, "LACKING", {})
    monkeypatch.setattr(bundle, "build_own_wheel", lambda folder, **_: None)
    monkeypatch.setattr(bundle, "digest_inputs", lambda files: "inputs")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch"], "Missing argument 'KERNEL'. Choose from: submit, train"),
        (["push"], "Missing argument 'KERNEL'. Choose from: submit, train"),
        (["kaggle-submit", "--message", "first"], "Missing option '--name'"),
        (["kaggle-submit", "--name", "first"], "Missing option '--message'"),
    ],
)
def test_what_is_not_named_is_not_sent(
    server: Any,
    credentials: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert run(words) == 2
    assert capsys.readouterr().err == (f"error: {message} (see `kaggle-dsb {words[0]} --help`)\n")
    assert server.calls == []


def test_without_credentials_nothing_is_built_or_pushed(
    no_credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", "submit"]) == 2
    remark, error = capsys.readouterr().err.splitlines()
    assert remark == "weights: bundled, 4 networks"
    assert error.startswith("error: no Kaggle credentials found (looked for ")
    assert not Path("build").exists()


def test_without_the_kernels_nothing_is_built(
    server: Any, credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", "submit"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: kernels/submit/submit.py: no such file; run this in the project's folder"
    )
    assert not Path("build").exists()


def test_a_kernel_that_ran_exits_0(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.run_kernel = lambda request: ("COMPLETE", {"submission.csv": CSV}, "")
    assert run(["push", "submit"]) == 0
    assert capsys.readouterr().out == (
        "http://localhost/code/ada/kaggle-dsb-submit: complete, 2 files in build/output/submit\n"
    )
    assert set(server.datasets) == {"ada/kaggle-dsb-bundle"}


def test_a_kernel_that_failed_exits_1(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.run_kernel = lambda request: ("ERROR", {}, "Traceback")
    assert run(["push", "submit"]) == 1
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "the run ended with status error: Your notebook failed",
        "Traceback",
        "build/output/submit-failed/submission.csv: missing from the output of the run",
    ]


def test_a_kernel_is_left_to_run_and_fetched_later(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.run_kernel = lambda request: ("COMPLETE", {"submission.csv": CSV}, "")
    assert run(["push", "submit", "--no-wait"]) == 0
    page = "http://localhost/code/ada/kaggle-dsb-submit"
    assert capsys.readouterr().out == (
        f"{page}: pushed; get its output with `kaggle-dsb fetch submit`\n"
    )
    assert not Path("build/output").exists()
    assert run(["fetch", "submit"]) == 0
    assert capsys.readouterr().out == f"{page}: complete, 2 files in build/output/submit\n"
    assert server.calls.count("SaveKernel") == 1


def test_a_second_push_sends_the_kernel_and_not_the_bundle(
    server: Any, credentials: Path, kernels: None
) -> None:
    server.run_kernel = lambda request: ("COMPLETE", {"submission.csv": CSV}, "")
    assert [run(["push", "submit"]) for _ in range(2)] == [0, 0]
    assert server.calls.count("SaveKernel") == 2
    assert len(server.datasets["ada/kaggle-dsb-bundle"]) == 1


def test_a_dry_run_pushes_nothing(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", "submit", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "build/kernels/submit: would be pushed to ada's account, with bundled networks\n"
    )
    assert not [call for call in server.calls if "push" in str(call) or "create" in str(call)]
