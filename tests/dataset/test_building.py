import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kaggle_dsb.dataset import demo
from kaggle_dsb.dataset.building import building, remove_old_builds
from kaggle_dsb.dataset.demo import write_demo


def test_a_folder_is_seen_only_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with building(folder, is_whole=lambda: False) as build:
        (build / "a").touch()
        assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert (folder / "a").exists()


def fail_to_build(folder: Path) -> None:
    with building(folder, is_whole=lambda: False) as build:
        (build / "new").touch()
        raise KeyboardInterrupt


def test_a_block_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        fail_to_build(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["cache", "old"]


def test_what_a_quicker_process_built_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with building(folder, is_whole=folder.exists) as build:
        (build / "late").touch()
        folder.mkdir()
        (folder / "early").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["cache", "early"]


def test_a_folder_that_appears_at_the_last_moment_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    answers = iter([False, False])

    def appear() -> bool:
        if not folder.exists():
            (folder / "other").mkdir(parents=True)
        return next(answers)

    with building(folder, is_whole=appear) as build:
        (build / "mine").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["cache", "mine"]


@pytest.mark.parametrize("name", [".demo-1-building-x", ".cache-building-x", ".demo-abc"])
def test_what_killed_processes_left_is_removed_once_it_is_old(tmp_path: Path, name: str) -> None:
    old, young = tmp_path / name, tmp_path / f"{name}y"
    for folder in (old, young):
        (folder / "new").mkdir(parents=True)
    for folder in (old / "new", old):
        os.utime(folder, (time.time() - 7200, time.time() - 7200))
    with building(tmp_path / "folder", is_whole=lambda: False):
        pass
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("written", ["scratch/0.zip", "new/train/images/x.png"])
def test_a_build_that_is_still_written_to_is_kept_however_long_it_takes(
    tmp_path: Path, written: str
) -> None:
    build = tmp_path / ".cache-building-x"
    (build / written).parent.mkdir(parents=True)
    (build / written).touch()
    for folder in (build / written).parents[1:]:
        if folder.is_relative_to(build):
            os.utime(folder, (time.time() - 7200, time.time() - 7200))
    remove_old_builds(tmp_path)
    assert (build / written).exists()


def test_two_first_runs_at_once_draw_one_demo_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_at_work = threading.Barrier(2, timeout=60)

    def write_small_demo(folder: Path) -> None:
        both_at_work.wait()
        write_demo(folder, n_train=1, n_test=1)

    monkeypatch.setattr(demo, "write_demo", write_small_demo)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(demo.ensure_demo, [tmp_path / "demo"] * 2))
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "stage1_sample_submission.csv",
        "stage1_solution.csv",
        "stage1_test",
        "stage1_train",
    ]
