import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kaggle_dsb.dataset import entries
from kaggle_dsb.dataset.archive import ACCEPTED_FORMS, Archive, DataFaults
from kaggle_dsb.dataset.layouts import Contents
from kaggle_dsb.files import InputError


@pytest.fixture
def find(tmp_path: Path) -> Callable[[Path], Contents]:
    def find_contents(source: Path) -> Contents:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        with Archive(source, scratch) as archive:
            return archive.find_contents()

    return find_contents


def places(contents: Contents) -> list[tuple[str, str, int, int]]:
    return [(p.set_name, p.id, len(p.images), len(p.masks + p.truths)) for p in contents.pictures]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def make_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, b"x")
    return path


def test_unpacked_folders_are_found_by_their_names(tmp_path: Path, find: Callable) -> None:
    source = touch(
        tmp_path / "data",
        "stage1_train/a/images/a.png",
        "stage1_train/a/masks/1.png",
        "stage1_train/a/masks/2.png",
        "stage1_test/b/images/b.png",
        "stage1_solution.csv",
        "notes.csv",
    )
    contents = find(source)
    assert places(contents) == [("stage1_test", "b", 1, 0), ("stage1_train", "a", 1, 2)]
    assert list(contents.tables) == ["stage1_solution.csv"]
    assert contents.faults == contents.warnings == []


def test_a_set_given_directly_takes_the_name_of_its_folder(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "stage1_test", "b/images/b.png"))
    assert places(contents) == [("stage1_test", "b", 1, 0)]


def test_ids_in_a_folder_of_another_name_are_ones_own_images(
    tmp_path: Path, find: Callable
) -> None:
    contents = find(touch(tmp_path / "mine", "train/b/images/b.tif", "train/b/masks/1.png"))
    assert places(contents) == [("images", "b", 1, 1)]


def test_a_flat_folder_is_ones_own_images(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "mine", "x.png", "y.TIF", "z.jpeg", "read.me"))
    assert places(contents) == [("images", name, 1, 0) for name in "xyz"]


def test_images_in_subfolders_have_ids_of_their_path(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "mine", "day1/x.png", "day2/x.png", "day2/deep/y.png"))
    assert places(contents) == [
        ("images", name, 1, 0) for name in ("day1_x", "day2_deep_y", "day2_x")
    ]


def test_loose_pictures_beside_the_competitions_folders_are_left_out(
    tmp_path: Path, find: Callable
) -> None:
    contents = find(touch(tmp_path / "data", "stage1_test/b/images/b.png", "screenshot.png"))
    assert places(contents) == [("stage1_test", "b", 1, 0)]
    assert contents.warnings == ["screenshot.png: outside the data set's folders; ignored"]


def test_a_zip_inside_the_zip_is_read(tmp_path: Path, find: Callable) -> None:
    inner = make_zip(tmp_path / "stage1_test.zip", "b/images/b.png")
    table = make_zip(tmp_path / "t.zip", "stage1_solution.csv")
    outer = tmp_path / "data-science-bowl-2018.zip"
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(inner, "stage1_test.zip")
        packed.write(table, "stage1_solution.csv.zip")
    contents = find(outer)
    assert places(contents) == [("stage1_test", "b", 1, 0)]
    assert str(contents.pictures[0].images[0]) == (
        "data-science-bowl-2018.zip/stage1_test.zip/b/images/b.png"
    )
    assert list(contents.tables) == ["stage1_solution.csv"]


def test_a_zipped_folder_of_images_is_ones_own_images(tmp_path: Path, find: Callable) -> None:
    contents = find(make_zip(tmp_path / "pictures.zip", "pictures/x.png", "pictures/y.jpg"))
    assert places(contents) == [("images", "x", 1, 0), ("images", "y", 1, 0)]


def test_what_systems_leave_is_ignored(tmp_path: Path, find: Callable) -> None:
    names = "b/images/b.png", "__MACOSX/b/images/._b.png", "b/images/.DS_Store", "b/masks/._1.png"
    touch(tmp_path / "data", *(f"stage1_test/{name}" for name in names))
    make_zip(tmp_path / "data" / "stage1_train.zip", *names)
    assert places(find(tmp_path / "data")) == [
        ("stage1_test", "b", 1, 0),
        ("stage1_train", "b", 1, 0),
    ]


def test_a_folder_stands_before_the_zip_it_came_from(tmp_path: Path, find: Callable) -> None:
    source = touch(tmp_path / "data", "stage1_test/b/images/b.png")
    make_zip(source / "stage1_test.zip", "b/images/b.png", "c/images/c.png")
    contents = find(source)
    assert places(contents) == [("stage1_test", "b", 1, 0)]
    assert contents.warnings == [
        "stage1_test: found in a folder and stage1_test.zip; using the folder"
    ]


def test_a_set_may_be_in_several_zips(tmp_path: Path, find: Callable) -> None:
    (tmp_path / "data").mkdir()
    make_zip(tmp_path / "data" / "plate1.zip", "images/b.png", "images/d.png")
    make_zip(tmp_path / "data" / "plate2.zip", "images/a.png", "images/c.png")
    make_zip(tmp_path / "data" / "plate2 again.zip", "images/c.png")
    contents = find(tmp_path / "data")
    assert [picture.id for picture in contents.pictures] == ["b", "c", "d"]
    assert contents.warnings == [
        "images: found in plate2 again.zip and plate2.zip; using plate2 again.zip"
    ]


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil", "..\\evil.png"])
def test_a_name_outside_the_zip_is_a_fault(tmp_path: Path, find: Callable, name: str) -> None:
    contents = find(make_zip(tmp_path / "stage1_test.zip", "b/images/b.png", name))
    assert contents.faults == [
        f"stage1_test.zip: {name!r} points outside the zip; names in a zip must be relative, "
        "without '..'"
    ]


def test_a_link_in_a_zip_is_a_fault(tmp_path: Path, find: Callable) -> None:
    path = make_zip(tmp_path / "stage1_test.zip", "b/images/b.png")
    link = zipfile.ZipInfo("c/images/c.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(link, "/etc/passwd")
    assert find(path).faults == [
        "stage1_test.zip: 'c/images/c.png' is a symbolic link; a zip must contain the file itself"
    ]


def test_a_name_with_a_drive_is_a_fault(tmp_path: Path, find: Callable) -> None:
    contents = find(make_zip(tmp_path / "stage1_test.zip", "b/images/b.png", "C:/evil.png"))
    assert contents.faults == [
        "stage1_test.zip: 'C:/evil.png' points outside the zip; names in a zip must be relative, "
        "without '..'"
    ]


def test_a_file_that_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "LARGEST_FILE_BYTES", 2**20)
    path = tmp_path / "stage1_test.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("b/images/b.png", bytes(2**21))
    (tmp_path / "scratch").mkdir()
    with Archive(path, tmp_path / "scratch") as archive:
        (picture,) = archive.find_contents().pictures
        message = "^is 2 MiB; files above 1 MiB are not read into memory$"
        with pytest.raises(InputError, match=message):
            picture.images[0].read()


def test_a_zip_that_understates_its_files_is_read_no_further(tmp_path: Path) -> None:
    path = tmp_path / "stage1_test.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("b/images/b.png", bytes(2**21))
    data = path.read_bytes().replace((2**21).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(data)
    (tmp_path / "scratch").mkdir()
    with Archive(path, tmp_path / "scratch") as archive:
        (picture,) = archive.find_contents().pictures
        with pytest.raises(InputError, match=r"^cannot be read \(Bad CRC-32"):
            picture.images[0].read()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_of_every_kind_of_zip_is_a_line(tmp_path: Path, method: int) -> None:
    path = tmp_path / "stage1_test.zip"
    with zipfile.ZipFile(path, "w", method) as packed:
        packed.writestr("b/images/b.png", bytes(range(256)) * 64)
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)
    (tmp_path / "scratch").mkdir()
    with Archive(path, tmp_path / "scratch") as archive:
        (picture,) = archive.find_contents().pictures
        with pytest.raises(InputError, match=r"^cannot be read \(.*; get the file again$"):
            picture.images[0].read()


def test_an_unknown_way_of_packing_is_a_line(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "stage1_test.zip", "b/images/b.png")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[8:10] = data[central + 10 : central + 12] = (99).to_bytes(2, "little")
    path.write_bytes(data)
    (tmp_path / "scratch").mkdir()
    with Archive(path, tmp_path / "scratch") as archive:
        (picture,) = archive.find_contents().pictures
        message = r"^cannot be read \(That compression method is not supported\); get"
        with pytest.raises(InputError, match=message):
            picture.images[0].read()


def test_a_zip_in_a_zip_that_says_to_begin_before_it_is_a_fault(
    tmp_path: Path, find: Callable
) -> None:
    inner = make_zip(tmp_path / "stage1_test.zip", "b/images/b.png")
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(inner, inner.name)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    # The directory is said to begin later, so that zipfile takes all places for earlier ones.
    data[end + 16 : end + 20] = (len(data) * 2).to_bytes(4, "little")
    path.write_bytes(data)
    assert find(path).faults == [f"all.zip/stage1_test.zip: is damaged; get {path} again"]


@pytest.mark.parametrize("keep", [0, 10, -5])
def test_a_zip_cut_short_is_a_fault(tmp_path: Path, find: Callable, keep: int) -> None:
    path = make_zip(tmp_path / "stage1_test.zip", "b/images/b.png")
    path.write_bytes(path.read_bytes()[:keep])
    assert find(path).faults == [
        "stage1_test.zip: is not a zip or is truncated; get the file again"
    ]


def test_masks_without_their_image_are_a_fault(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "stage1_train", "a/masks/1.png"))
    assert contents.faults == ["stage1_train/a: has masks but no image; expected a/images/a.png"]


def test_one_id_for_two_files_is_a_fault(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "mine", "a.png", "a.tif"))
    assert contents.faults == ["images/a: the id occurs twice, for a.png and a.tif; keep one"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_mask_twice_in_a_zip_is_a_fault(tmp_path: Path, find: Callable) -> None:
    path = tmp_path / "stage1_train.zip"
    contents = find(make_zip(path, "a/images/a.png", "a/masks/1.png", "a/masks/1.png"))
    assert contents.faults == ["stage1_train.zip/a/masks/1.png: occurs twice in its zip; keep one"]


def test_a_source_without_images_names_the_forms_that_are_accepted(
    tmp_path: Path, find: Callable
) -> None:
    source = touch(tmp_path / "data", "notes.txt")
    assert find(source).faults == [
        f"{source}: contains no images (found 1 .txt); expected {ACCEPTED_FORMS}"
    ]


def test_a_suffix_that_a_terminal_would_obey_is_told_in_printable_letters(
    tmp_path: Path, find: Callable
) -> None:
    (fault,) = find(touch(tmp_path / "data", "notes.t\x1b[2Jt")).faults
    assert "contains no images (found 1 .t\\x1b[2jt); expected" in fault


def test_one_fault_is_one_line_and_several_are_counted() -> None:
    assert str(DataFaults(["a"])) == "a"
    assert str(DataFaults(["a", "b"])) == "2 errors in the data:\na\nb"


def test_of_many_faults_the_first_are_shown() -> None:
    faults = DataFaults([f"{n}.png: broken" for n in range(25)])
    lines = str(faults).splitlines()
    assert len(faults.faults) == 25
    assert lines[0] == "25 errors in the data:"
    assert lines[1:21] == [f"{n}.png: broken" for n in range(20)]
    assert lines[21:] == ["... and 5 more"]


def test_folders_are_read_however_deep_and_links_that_lead_back_are_not_followed(
    tmp_path: Path, find: Callable
) -> None:
    deep = "a/b/c/d/e/f/g/h"
    touch(tmp_path / "mine", f"{deep}/x.png", "b/y.png")
    (tmp_path / "mine" / deep / "back").symlink_to(tmp_path / "mine" / "b")
    (tmp_path / "mine" / "b" / "round").symlink_to(tmp_path / "mine")
    shown = sorted(picture.id for picture in find(tmp_path / "mine").pictures)
    assert shown == ["a_b_c_d_e_f_g_h_back_y", "a_b_c_d_e_f_g_h_x", "b_y"]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, find: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "mine", "a/x.png", "b/y.png")
    scan = os.scandir

    def _refuse(folder: str | Path) -> object:
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", _refuse)
    with pytest.raises(InputError) as caught:
        find(tmp_path / "mine")
    shown = tmp_path / "mine" / "b"
    assert str(caught.value) == f"{shown}: the folder cannot be read (Permission denied)"


def test_a_table_of_groups_counts_only_in_a_folder_above_all_images(
    tmp_path: Path, find: Callable
) -> None:
    contents = find(touch(tmp_path / "mine", "x.png", "old/groups.csv"))
    assert contents.tables == {}
    assert contents.warnings == ["old/groups.csv: not in a folder above all images; ignored"]


def test_a_table_of_groups_may_be_below_the_source(tmp_path: Path, find: Callable) -> None:
    contents = find(touch(tmp_path / "mine", "set/images/x.png", "set/groups.csv"))
    assert list(contents.tables) == ["groups.csv"]
