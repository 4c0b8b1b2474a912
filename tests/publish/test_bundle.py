"""The folder that becomes a data set on Kaggle."""

import csv
import json
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.publish import bundle
from kaggle_dsb.publish.bundle import (
    LACKING,
    LIST_FILE,
    build_bundle,
    check_bundle,
    open_bundle,
    pack_wheel,
)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with one small dependency, two networks and a stand-in for our own wheel."""
    monkeypatch.setattr(bundle, "LACKING", {"ttach": "small"})
    monkeypatch.setattr(
        bundle,
        "build_own_wheel",
        lambda folder, **_: (folder / "kaggle_dsb-1-py3-none-any.whl").write_bytes(b"x"),
    )
    (tmp_path / "run").mkdir()
    for name in ("fold0.safetensors", "fold1.safetensors", "folds.csv", "config.toml"):
        (tmp_path / "run" / name).write_text(name)
    return tmp_path


def build(small: Path) -> bundle.Bundle:
    run = small / "run"
    return build_bundle(
        small / "bundle",
        networks=[run / "fold0.safetensors", run / "fold1.safetensors"],
        about=[run / "folds.csv", run / "config.toml"],
    )


def test_a_bundle_is_flat_and_lists_what_it_holds(small: Path) -> None:
    made = build(small)
    wheel = f"ttach-{distribution('ttach').version}-py3-none-any.whl"
    assert list(made.sizes) == [
        "bundle.json",
        "config.toml",
        "dataset-metadata.json",
        "fold0.safetensors",
        "fold1.safetensors",
        "folds.csv",
        "kaggle_dsb-1-py3-none-any.whl",
        wheel,
    ]
    metadata = json.loads((made.folder / "dataset-metadata.json").read_text())
    assert metadata == {
        "title": "kaggle-dsb bundle",
        "id": "your-name/kaggle-dsb-bundle",
        "licenses": [{"name": "other"}],
        "subtitle": "kaggle_dsb and its networks, without internet",
    }
    check_bundle(made.folder)


def test_the_second_bundle_is_the_first_byte_for_byte(small: Path) -> None:
    made = build(small)
    first = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    build(small)
    assert {path.name: path.read_bytes() for path in made.folder.iterdir()} == first


def test_an_unchanged_bundle_is_not_built_again(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(small)
    monkeypatch.setattr(bundle, "build_own_wheel", lambda *_, **__: pytest.fail("built again"))
    assert build(small) == made


@pytest.mark.parametrize("name", ["bundle/folds.csv", "run/fold1.safetensors"])
def test_a_bundle_is_built_again_when_it_or_a_network_has_changed(small: Path, name: str) -> None:
    first = build(small)
    (small / name).write_text("other")
    second = build(small)
    assert (second.digest == first.digest) == (name == "bundle/folds.csv")
    assert open_bundle(small / "bundle") == second


def test_a_build_that_fails_leaves_the_earlier_bundle(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(small)
    (small / "run" / "fold1.safetensors").write_text("other")
    monkeypatch.setattr(bundle, "LACKING", {"no-such-package": "x"})
    with pytest.raises(InputError) as caught:
        build(small)
    assert str(caught.value) == "no-such-package: is not installed; run `make setup` first"
    assert open_bundle(small / "bundle") == made
    assert sorted(path.name for path in small.iterdir()) == ["bundle", "run"]


def test_a_folder_of_other_things_is_not_emptied(small: Path) -> None:
    with pytest.raises(InputError) as caught:
        build_bundle(small / "run", networks=[], about=[])
    assert str(caught.value) == (
        f"{small / 'run'}: contains files that are not part of a bundle; choose a new folder"
    )


@pytest.mark.parametrize("name", ["kaggle.json", "notes.txt"])
def test_a_foreign_file_is_not_pushed(small: Path, name: str) -> None:
    folder = build(small).folder
    (folder / name).write_text("{}")
    with pytest.raises(InputError) as caught:
        check_bundle(folder)
    assert str(caught.value) == (f"{folder / name}: does not belong to the bundle; build it again")


def test_a_changed_file_is_not_pushed(small: Path) -> None:
    folder = build(small).folder
    (folder / "folds.csv").write_text("other")
    with pytest.raises(InputError) as caught:
        check_bundle(folder)
    assert str(caught.value) == (
        f"{folder / 'folds.csv'}: is missing or was changed; build the bundle again"
    )


def test_what_is_no_bundle_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_bundle(tmp_path)
    assert str(caught.value) == (f"{tmp_path}: is not a bundle (no bundle.json); build one first")


def test_a_packed_wheel_holds_the_installed_files(tmp_path: Path) -> None:
    path = pack_wheel("ttach", tmp_path)
    assert path.name == f"ttach-{distribution('ttach').version}-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        assert wheel.testzip() is None
    assert "ttach/wrappers.py" in names
    record = f"ttach-{distribution('ttach').version}.dist-info/RECORD"
    assert names[-1] == record
    assert not [name for name in names if name.endswith((".pyc", "INSTALLER"))]


def test_a_package_with_compiled_parts_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pack_wheel("numpy", tmp_path)
    assert str(caught.value) == (
        "numpy: is not a pure-Python wheel and cannot be bundled for Kaggle"
    )


def test_a_package_that_is_not_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        pack_wheel("no-such-package", tmp_path)
    assert str(caught.value) == "no-such-package: is not installed; run `make setup` first"


@pytest.mark.parametrize("name", LACKING)
def test_what_kaggle_lacks_can_be_packed(name: str) -> None:
    installed = distribution(name)
    assert "Root-Is-Purelib: true" in (installed.read_text("WHEEL") or "")


def read_record(path: Path) -> tuple[set[str], set[str]]:
    """Return the names in a wheel, and those that its RECORD lists."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        rows = csv.reader(wheel.read(record).decode().splitlines())
        return set(names), {row[0] for row in rows}


@pytest.mark.slow
def test_our_own_wheel_holds_the_package_and_networks_where_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle.build_own_wheel(tmp_path)
    with_networks, listed = read_record(path)
    assert {"kaggle_dsb/cli.py", "kaggle_dsb/weights/fold0.safetensors"} <= with_networks == listed

    monkeypatch.setattr(bundle, "_build_wheel", lambda checkout, folder: path)
    bundle.build_own_wheel(tmp_path, with_networks=False)
    without_networks, listed = read_record(path)
    assert without_networks == listed
    left_out = with_networks - without_networks
    assert "kaggle_dsb/weights/fold0.safetensors" in left_out
    assert {Path(name).suffix for name in left_out} == {".safetensors"}


def test_a_damaged_list_of_a_bundle_is_told(tmp_path: Path) -> None:
    (tmp_path / LIST_FILE).write_text("{}")
    with pytest.raises(InputError, match=r"is damaged \(no sha256 of files\); build the bundle"):
        check_bundle(tmp_path)
