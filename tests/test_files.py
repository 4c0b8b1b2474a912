import errno
import os
import tempfile
import time

import pytest

from kaggle_dsb.files import (
    InputError,
    is_leftover,
    locking,
    read_json,
    replacing,
    user_cache,
    write_json,
)


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with replacing(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def write_half(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_an_error_of_the_temporary_file_names_the_file(tmp_path):
    with (
        pytest.raises(OSError, match="No space") as raised,
        replacing(tmp_path / "a.csv") as temporary,
    ):
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert raised.value.filename == str(tmp_path / "a.csv")


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "a.npy") as temporary:
        assert temporary.suffix == ".npy"


@pytest.mark.parametrize("stem", ["a" * 246, "核" * 80])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, stem):
    with replacing(tmp_path / f"{stem}.png") as temporary:
        temporary.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [f"{stem}.png"]


def test_what_a_killed_process_was_writing_is_removed_once_it_is_an_hour_old(tmp_path):
    old, young = tmp_path / ".a-writing-1.png", tmp_path / ".a-writing-2.png"
    for path in (old, young):
        path.touch()
    os.utime(old, (time.time() - 3700,) * 2)
    write_json(tmp_path / "a.json", {})
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", young.name}


def test_what_comes_from_the_future_belongs_to_a_process_at_work(tmp_path):
    os.utime(tmp_path, (time.time() + 9999,) * 2)  # as after a clock was moved back
    assert not is_leftover(tmp_path)
    assert not is_leftover(tmp_path / "gone")


def test_a_locked_folder_is_refused_until_its_process_has_ended(tmp_path):
    folder = tmp_path / "run"
    with locking(folder, activity="tuning this run"):
        with pytest.raises(InputError) as raised, locking(folder, activity="tuning this run"):
            pass
        assert str(raised.value) == (
            f"{folder}: another process is tuning this run; wait until it finishes"
        )
    with locking(folder, activity="tuning this run"):
        pass


def test_json_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "a.json", {"score": 0.5})
    assert read_json(tmp_path / "a.json") == {"score": 0.5}
    assert (tmp_path / "a.json").read_text() == '{\n  "score": 0.5\n}\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "cannot be read as JSON (Expecting property name enclosed in double quotes: "),
        ("[1]", "contains a list, expected an object"),
        ("[" * 100_000, "cannot be read as JSON (maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, text, fault):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_json(path)
    assert str(raised.value).startswith(f"{path}: {fault}")


def test_the_users_cache_is_made_in_the_home_folder_or_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache("demo") == tmp_path / ".cache" / "kaggle_dsb" / "demo"
    assert user_cache("demo").is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert user_cache("demo") == tmp_path / "elsewhere" / "kaggle_dsb" / "demo"


def test_without_a_cache_of_the_user_a_temporary_one_lasts_as_long_as_the_process(
    tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = user_cache("some")
    assert folder.is_dir()
    assert folder.parent == tmp_path
    assert user_cache("some") == folder
