"""What every test relies on: no network, no surprise from a busy machine."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The graphs of the tests' own networks, made once for all sessions of a checkout.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).resolve().parents[1] / "build" / "test-cache")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
