import pytest

from kaggle_dsb.files import InputError, read_json, replacing, write_json


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


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "a.npy") as temporary:
        assert temporary.suffix == ".npy"


def test_json_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "a.json", {"score": 0.5})
    assert read_json(tmp_path / "a.json") == {"score": 0.5}
    assert (tmp_path / "a.json").read_text() == '{\n  "score": 0.5\n}\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "cannot be read as JSON (Expecting property name enclosed in double quotes: "),
        ("[1]", "holds a list, must hold an object"),
        ("[" * 100_000, "cannot be read as JSON (maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path, text, fault):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_json(path)
    assert str(raised.value).startswith(f"{path}: {fault}")
