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
def kernels() -> None:
    """The project's kernels, beside the user's files."""
    Path("kernels").symlink_to(Path(__file__).parents[2] / "kernels")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push"], "Missing argument 'name'."),
        (["kaggle-submit", "--message", "first"], "Missing option '--name'."),
        (["kaggle-submit", "--name", "first"], "Missing option '--message'."),
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
    assert capsys.readouterr().err == f"error: {message}\n"
    assert server.calls == []


def test_without_credentials_nothing_is_pushed(
    no_credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", "submit"]) == 2
    assert capsys.readouterr().err.startswith("error: no Kaggle credentials; looked for ")


def test_a_bundle_that_was_not_built_is_not_pushed(
    server: Any, credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bundle-push"]) == 2
    said = capsys.readouterr().err
    assert said == "error: build/bundle: is no bundle (it has no bundle.json); build one first\n"
    assert server.datasets == {}


def test_a_bundle_is_pushed_by_its_name(
    server: Any,
    credentials: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bundle, "LACKING", {})
    monkeypatch.setattr(bundle, "build_own_wheel", lambda folder: None)
    bundle.build_bundle(Path("build/bundle"), networks=[], about=[])
    assert run(["bundle-push"]) == 0
    assert capsys.readouterr().out == "ada/kaggle-dsb-bundle\n"


def test_a_kernel_that_ran_exits_0(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.datasets["ada/kaggle-dsb-bundle"] = [{}]
    server.run_kernel = lambda request: ("COMPLETE", {"submission.csv": CSV}, "")
    assert run(["push", "submit"]) == 0
    assert capsys.readouterr().out == (
        "http://localhost/code/ada/kaggle-dsb-submit: complete, 2 files in build/output/submit\n"
    )


def test_a_kernel_that_failed_exits_1(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.datasets["ada/kaggle-dsb-bundle"] = [{}]
    server.run_kernel = lambda request: ("ERROR", {}, "Traceback")
    assert run(["push", "submit"]) == 1
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "the run ended with error: Your notebook failed",
        "Traceback",
        "build/output/submit/submission.csv: the run did not make it",
    ]


def test_a_kernel_without_its_bundle_exits_2(
    server: Any, credentials: Path, kernels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", "submit"]) == 2
    assert capsys.readouterr().err == (
        "error: pushing build/kernels/submit: Kaggle knows no dataset ada/kaggle-dsb-bundle, or "
        "you may not use it; the kernel was pushed without it and will fail\n"
    )
