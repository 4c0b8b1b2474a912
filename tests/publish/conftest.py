"""The official client, signed in to a server on this computer in place of Kaggle."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kagglesdk import kaggle_http_client

from kaggle_dsb.publish import client
from tests.publish import fake_kaggle


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address that the client takes for Kaggle's; nobody answers there unless a test does."""
    address = ["http://localhost:9"]
    monkeypatch.setattr(kaggle_http_client, "get_endpoint", lambda environment: address[0])
    return address


@pytest.fixture
def no_credentials(tmp_path: Path, endpoint: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials, in which the client talks to this computer only."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / "config"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.setattr(KaggleApi, "args", ["--local"])
    monkeypatch.setattr(KaggleApi, "config", str(home / "config" / "kaggle.json"))
    return home


@pytest.fixture
def credentials(no_credentials: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a user name and key that the server accepts."""
    monkeypatch.setenv("KAGGLE_USERNAME", fake_kaggle.USER)
    monkeypatch.setenv("KAGGLE_KEY", fake_kaggle.KEY)
    return no_credentials


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sleep no longer, but write down for how long it would have been."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def server(endpoint: list[str], sleeps: list[float]) -> Iterator[object]:
    fake = fake_kaggle.FakeKaggle()
    running = fake_kaggle.start_server(fake)
    endpoint[0] = fake.address
    yield fake
    fake_kaggle.stop_server(running)


@pytest.fixture
def kaggle(server: object, credentials: Path) -> client.Kaggle:
    return client.connect()
