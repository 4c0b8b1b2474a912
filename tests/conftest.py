"""What every test relies on: no network, no surprise from a busy machine."""

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from hypothesis import settings

# The graphs of the tests' own networks, made once for all sessions of a checkout.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).resolve().parents[1] / "build" / "test-cache")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="module")
def small_demo() -> Iterator[None]:
    """Let the demo set be of a few small images, where something else is tested."""
    from kaggle_dsb.dataset.demo import write_demo

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"n_train": 2, "n_test": 2, "largest_px": 160}.items():
            patch.setitem(write_demo.__kwdefaults__, name, value)
        yield


@pytest.fixture(scope="session")
def forks() -> ForkServerContext:
    """Start processes that need not import torch and Lightning, each a copy of one that has."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kaggle_dsb.training.fit", "kaggle_dsb.commands.train"])
    return context


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
