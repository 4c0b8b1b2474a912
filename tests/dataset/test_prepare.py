import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from kaggle_dsb.competition.label_files import read_labels
from kaggle_dsb.dataset import pixels
from kaggle_dsb.dataset.archive import ACCEPTED_FORMS, DataFaults
from kaggle_dsb.dataset.pixels import FORMATS
from kaggle_dsb.dataset.planes import decode_tiff
from kaggle_dsb.dataset.prepare import Prepared, Selection, prepare
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.files import InputError


@pytest.fixture
def source(tmp_path: Path, write_set: Callable, pictures: dict) -> Path:
    write_set(tmp_path / "data" / "stage1_train", pictures)
    write_set(tmp_path / "data" / "stage1_test", {"c": (pictures["a"][0], [])})
    (tmp_path / "data" / "stage1_sample_submission.csv").write_text(
        "ImageId,EncodedPixels\nc,1 1\n"
    )
    return tmp_path / "data"


def list_all(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_cache_holds_images_labels_and_tables(source: Path, tmp_path: Path) -> None:
    prepared = prepare(source, tmp_path / "cache")
    assert list_all(prepared.cache) == [
        "source.json",
        "stage1_sample_submission.csv",
        "stage1_test/images/c.png",
        "stage1_test/index.csv",
        "stage1_train/images/a.png",
        "stage1_train/images/b.png",
        "stage1_train/index.csv",
        "stage1_train/labels/a.png",
        "stage1_train/labels/b.png",
    ]
    assert prepared.images == {"stage1_test": 1, "stage1_train": 2}
    assert prepared.nuclei == {"stage1_test": 0, "stage1_train": 3}
    assert (prepared.cache / "stage1_train" / "index.csv").read_text() == (
        "ImageId,height,width,nuclei\na,4,6,2\nb,4,6,1\n"
    )
    assert (prepared.cache / "stage1_test" / "index.csv").read_text() == (
        "ImageId,height,width,nuclei\nc,4,6,\n"
    )


def test_the_index_is_utf_8_whatever_the_encoding_of_the_system(
    tmp_path: Path, pictures: dict, write_set: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(io, "text_encoding", lambda encoding, *_: encoding or "latin-1")
    write_set(tmp_path / "data" / "stage1_train", {"zellen ä": pictures["a"]})
    cache = prepare(tmp_path / "data", tmp_path / "cache").cache
    assert [sample.id for sample in load_samples(cache, "stage1_train")] == ["zellen ä"]


def test_an_image_of_many_bits_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def decode(*args: Any, **options: Any) -> Any:
        decoded.append(args)
        return decode_tiff(*args, **options)

    monkeypatch.setattr(pixels, "decode_tiff", decode)
    (tmp_path / "own").mkdir()
    tifffile.imwrite(tmp_path / "own" / "a.tif", np.arange(400, dtype=np.uint16).reshape(20, 20))
    prepare(tmp_path / "own", tmp_path / "cache")
    assert len(decoded) == 1


def test_a_pixel_of_two_masks_goes_to_the_first_and_is_told(source: Path, tmp_path: Path) -> None:
    prepared = prepare(source, tmp_path / "cache")
    np.testing.assert_array_equal(
        read_labels(prepared.cache / "stage1_train" / "labels" / "a.png"),
        [[1, 1, 1, 0, 0, 0], [1, 1, 1, 2, 2, 0], [0, 0, 2, 2, 2, 0], [0, 0, 0, 0, 0, 0]],
    )
    assert prepared.warnings == (
        "stage1_train/a: masks overlap in 1 px; the first mask by name keeps them",
    )


def test_every_form_of_the_source_gives_the_same_samples(
    source: Path, tmp_path: Path, zip_folder: Callable
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in ("stage1_train", "stage1_test"):
        zip_folder(source / name, inner / f"{name}.zip")
    with zipfile.ZipFile(inner / "stage1_sample_submission.csv.zip", "w") as packed:
        packed.write(source / "stage1_sample_submission.csv", "stage1_sample_submission.csv")
    outer = zip_folder(inner, tmp_path / "data-science-bowl-2018.zip")
    caches = [
        prepare(form, tmp_path / f"cache{number}").cache
        for number, form in enumerate([source, inner, outer])
    ]
    contents = [
        {name: (cache / name).read_bytes() for name in list_all(cache) if name != "source.json"}
        for cache in caches
    ]
    assert len(contents[0]) == 8
    assert contents[0] == contents[1] == contents[2]


def test_a_second_call_on_the_same_source_writes_nothing(source: Path, tmp_path: Path) -> None:
    first = prepare(source, tmp_path / "cache")
    marker = first.cache / "marker"
    marker.touch()
    second = prepare(source, tmp_path / "cache")
    assert marker.exists()
    assert (first.is_new, second.is_new) == (True, False)
    assert (second.images, second.nuclei, second.warnings) == (
        first.images,
        first.nuclei,
        first.warnings,
    )


def test_a_changed_source_is_prepared_anew(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "cache")
    os.utime(source / "stage1_test" / "c" / "images" / "c.png", (1, 1))
    assert prepare(source, tmp_path / "cache").is_new


def test_a_cache_of_another_version_is_prepared_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(source, tmp_path / "cache")
    monkeypatch.setattr("kaggle_dsb.dataset.prepare._FORMAT", 99)
    assert prepare(source, tmp_path / "cache").is_new
    assert not prepare(source, tmp_path / "cache").is_new


def test_another_limit_is_prepared_anew(source: Path, tmp_path: Path) -> None:
    assert prepare(source, tmp_path / "cache", selection=Selection(limit=1)).images == {
        "stage1_test": 1,
        "stage1_train": 1,
    }
    assert prepare(source, tmp_path / "cache").images["stage1_train"] == 2


def test_one_set_is_prepared_without_the_others(source: Path, tmp_path: Path) -> None:
    (source / "stage1_test" / "c" / "images" / "c.png").write_bytes(b"")
    prepared = prepare(source, tmp_path / "cache", selection=Selection("stage1_train"))
    assert prepared.images == {"stage1_train": 2}
    assert not prepare(source, tmp_path / "cache", selection=Selection("stage1_train")).is_new
    assert not (prepared.cache / "stage1_test").exists()
    with pytest.raises(DataFaults):
        prepare(source, tmp_path / "cache")


def test_a_set_that_does_not_exist_is_named_with_those_that_do(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataFaults) as caught:
        prepare(source, tmp_path / "cache", selection=Selection("train"))
    assert str(caught.value) == f"{source}: has no set 'train'; it has stage1_test, stage1_train"


def test_a_damaged_fingerprint_is_prepared_anew(source: Path, tmp_path: Path) -> None:
    cache = prepare(source, tmp_path / "cache").cache
    (cache / "source.json").write_text("{")
    assert prepare(source, cache).is_new


def test_a_cache_inside_its_source_is_no_part_of_it(source: Path) -> None:
    first = prepare(source, source / "cache")
    assert first.images == prepare(source, source / "cache").images
    assert not prepare(source, source / "cache").is_new


def test_sets_are_described_by_their_numbers_of_images_and_nuclei(
    source: Path, write_set: Callable, pictures: dict
) -> None:
    image = pictures["a"][0]
    write_set(source / "stage1_train", {"empty": (image, [np.zeros_like(image[..., 0])])})
    assert prepare(source, source / "cache").describe() == [
        "stage1_test: 1 image, no annotations",
        "stage1_train: 3 images, 3 nuclei",
    ]


def test_annotated_images_without_nuclei_are_described_as_such(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / "own" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "own" / name / "a.png"), np.zeros((4, 6), np.uint8))
    assert prepare(tmp_path / "own", tmp_path / "cache").describe() == ["images: 1 image, 0 nuclei"]


def test_progress_counts_to_the_number_of_images(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(source, tmp_path / "cache", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_ones_own_images_of_any_kind_are_prepared(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    cv2.imwrite(str(own / "deep.tif"), np.array([[100, 300], [500, 4000]], np.uint16))
    cv2.imwrite(str(own / "colour.png"), np.full((2, 3, 3), (1, 2, 3), np.uint8))
    cache = prepare(own, tmp_path / "cache").cache
    colour, deep = load_samples(cache, "images")
    assert (colour.id, deep.id) == ("colour", "deep")
    assert colour.image[0, 0].tolist() == [3, 2, 1]
    assert deep.image[..., 0].tolist() == [[0, 13], [26, 255]]
    assert colour.labels is None


def test_every_fault_is_told_at_once(
    tmp_path: Path, write_set: Callable, pictures: dict, png: Callable
) -> None:
    source = write_set(tmp_path / "stage1_train", {**pictures, "c": pictures["b"]})
    (source / "a" / "images" / "a.png").write_bytes(b"")
    (source / "b" / "masks" / "m0.png").write_bytes(png(np.ones((2, 2), np.uint8)))
    (source / "b" / "masks" / "m1.png").write_bytes(b"text")
    (source / "c" / "images" / "c.png").unlink()
    with pytest.raises(DataFaults) as caught:
        prepare(source, tmp_path / "cache")
    assert caught.value.faults == (
        "stage1_train/c: has masks but no image; expected c/images/c.png",
        f"a/images/a.png: is empty (0 bytes); expected a {FORMATS} image",
        "b/masks/m0.png: is 2 x 2 pixels; its image is 4 x 6",
        f"b/masks/m1.png: cannot be read as an image; expected a complete {FORMATS} file",
    )
    assert str(caught.value).splitlines() == ["4 errors in the data:", *caught.value.faults]
    assert list_all(tmp_path / "cache") == []


def test_odd_masks_are_warned_of_and_count_as_no_nucleus(
    tmp_path: Path, write_set: Callable, pictures: dict
) -> None:
    image, (first, second) = pictures["a"]
    empty = np.zeros_like(first)
    source = write_set(
        tmp_path / "stage1_train", {"a": (image, [first, empty, first]), "b": (image, [])}
    )
    prepared = prepare(source, tmp_path / "cache")
    assert prepared.nuclei == {"stage1_train": 1}
    assert prepared.warnings == (
        "a/masks/m1.png: is empty; ignored",
        "stage1_train/a: masks overlap in 6 px; the first mask by name keeps them",
        "stage1_train/a: 1 of 2 masks are fully covered by others and are ignored",
        "stage1_train/b: has no masks, unlike other images of its set; it gets no labels",
    )
    assert second.any()


def test_damage_inside_a_zip_is_a_fault(source: Path, tmp_path: Path, zip_folder: Callable) -> None:
    path = zip_folder(source / "stage1_test", tmp_path / "stage1_test.zip")
    data = bytearray(path.read_bytes())
    data[80] ^= 255
    path.write_bytes(data)
    with pytest.raises(DataFaults, match=r"^stage1_test.zip/c/images/c.png: cannot be read \("):
        prepare(path, tmp_path / "cache")


def test_faults_leave_the_earlier_cache_as_it_was(source: Path, tmp_path: Path) -> None:
    cache = prepare(source, tmp_path / "cache").cache
    contents = {name: (cache / name).read_bytes() for name in list_all(cache)}
    (source / "stage1_test" / "c" / "images" / "c.png").write_bytes(b"")
    with pytest.raises(DataFaults):
        prepare(source, cache)
    assert {name: (cache / name).read_bytes() for name in list_all(cache)} == contents
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]


def test_an_interrupted_preparation_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "cache", progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_missing_source_names_the_forms_that_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(DataFaults) as caught:
        prepare(tmp_path / "none", tmp_path / "cache")
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: no such file or folder; expected {ACCEPTED_FORMS}"
    )


def test_a_folder_of_other_files_is_never_replaced(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "thesis"
    cache.mkdir()
    (cache / "chapter1.tex").touch()
    with pytest.raises(InputError) as caught:
        prepare(source, cache)
    assert str(caught.value) == (
        f"{cache}: contains files that are not a cache; choose a new or empty folder"
    )
    assert (cache / "chapter1.tex").exists()


@pytest.mark.parametrize("place", ["", ".."])
def test_a_cache_never_replaces_its_source(source: Path, place: str) -> None:
    cache = (source / place).resolve()
    with pytest.raises(InputError) as caught:
        prepare(source, cache)
    assert str(caught.value) == (
        f"{cache}: the cache would overwrite its source {source}; choose another folder"
    )


def test_what_a_killed_process_left_is_removed_once_it_is_old(source: Path, tmp_path: Path) -> None:
    old, young = (tmp_path / f".cache-building-{age}" for age in ("old", "young"))
    for path in (old, young):
        (path / "cache").mkdir(parents=True)
    for path in (old / "cache", old):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    prepare(source, tmp_path / "cache")
    assert (old.exists(), young.exists()) == (False, True)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError) as caught:
        prepare(tmp_path / "own", tmp_path / "cache")
    shown = tmp_path / "own" / "x.png"
    assert str(caught.value) == f"{shown}: cannot be read (No such file or directory)"


def test_the_fingerprint_names_no_place_of_this_machine(source: Path, tmp_path: Path) -> None:
    cache = prepare(source, tmp_path / "cache").cache
    stored = json.loads((cache / "source.json").read_text())
    assert stored["fingerprint"]["files"] == 7
    assert str(tmp_path) not in json.dumps(stored)


@pytest.mark.kaggle_data
@pytest.mark.slow
def test_the_competitions_training_set_has_28986_nuclei(competition: Prepared) -> None:
    assert competition.images["stage1_train"] == 664
    assert competition.nuclei["stage1_train"] == 28986
    assert len(competition.warnings) == 6


def test_a_folder_with_another_source_json_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "source.json").write_text('{"my": "notes"}')
    (tmp_path / "own").mkdir()
    with pytest.raises(InputError, match="contains files that are not a cache"):
        prepare(tmp_path / "own", tmp_path / "notes")


def test_names_in_a_zip_may_begin_with_a_dot_or_contain_a_colon(tmp_path: Path) -> None:
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as packed:
        packed.writestr("./", b"")
        packed.writestr("./a.png", png)
        packed.writestr("./sub/2024-05-01T12:30:00.png", png)
    assert prepare(tmp_path / "own.zip", tmp_path / "cache").images == {"images": 2}
