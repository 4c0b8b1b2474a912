"""Where credentials are found, in the client's own order, and who may read them."""

import json
from pathlib import Path

import pytest

from kaggle_dsb.publish.credentials import (
    Credentials,
    find_config_folder,
    find_credentials,
    warn_if_readable,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("API_TOKEN", "USERNAME", "KEY", "CONFIG_DIR"):
        monkeypatch.delenv(f"KAGGLE_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_key(folder: Path, **values: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kaggle.json"
    path.write_text(json.dumps(values))
    return path


def test_no_credentials_are_none(home: Path) -> None:
    assert find_credentials() is None


def test_each_place_is_searched_and_an_earlier_one_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = home / ".kaggle" / "credentials.json"
    login.parent.mkdir()
    login.write_text("{}")
    assert find_credentials() == Credentials(str(login), login)
    key = write_key(home / ".kaggle", username="ada", key="secret")
    assert find_credentials() == Credentials(str(key), key)
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    assert find_credentials() == Credentials(str(key), key)
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    assert find_credentials() == Credentials("KAGGLE_USERNAME and KAGGLE_KEY")
    token = home / ".kaggle" / "access_token"
    token.write_text("secret\n")
    assert find_credentials() == Credentials(str(token), token)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    assert find_credentials() == Credentials("KAGGLE_API_TOKEN")


def test_a_kaggle_json_without_a_key_is_none(home: Path) -> None:
    write_key(home / ".kaggle", username="ada")
    assert find_credentials() is None


def test_a_kaggle_json_that_is_no_json_is_none(home: Path) -> None:
    write_key(home / ".kaggle").write_text("{")
    assert find_credentials() is None


def test_the_config_folder_is_the_clients(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_config_folder() == home / ".config" / "kaggle"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert find_config_folder() == home / "xdg" / "kaggle"
    (home / ".kaggle").mkdir()
    assert find_config_folder() == home / ".kaggle"
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / "named"))
    assert find_config_folder() == home / "named"


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_can_read_is_warned_of(
    home: Path, capsys: pytest.CaptureFixture[str], mode: int, is_warned: bool
) -> None:
    key = write_key(home / ".kaggle", username="ada", key="secret")
    key.chmod(mode)
    credentials = find_credentials()
    assert credentials is not None
    warn_if_readable(credentials)
    warning = (
        f"warning: {key}: other users of this computer can read your Kaggle credentials; run "
        f"`chmod 600 {key}`\n"
    )
    assert capsys.readouterr().err == (warning if is_warned else "")


def test_the_environment_is_nobody_elses(capsys: pytest.CaptureFixture[str]) -> None:
    warn_if_readable(Credentials("KAGGLE_API_TOKEN"))
    assert capsys.readouterr().err == ""
