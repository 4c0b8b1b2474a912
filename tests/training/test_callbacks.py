import os

import pytest

from kaggle_dsb.training.callbacks import _move


@pytest.mark.parametrize("sep", ["/", "\\"])
def test_paths_below_a_moved_folder_are_moved_and_no_others(sep, monkeypatch):
    state = {"dirpath": "old", "best": {f"old{sep}best.ckpt": 0.5}, "other": f"older{sep}x", "n": 1}
    with monkeypatch.context() as patch:
        patch.setattr(os, "sep", sep)
        moved = _move(state, "old", "new")
    assert moved == {
        "dirpath": "new",
        "best": {f"new{sep}best.ckpt": 0.5},
        "other": f"older{sep}x",
        "n": 1,
    }
