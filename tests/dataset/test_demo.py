import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from kaggle_dsb.competition.rle import decode_labels, parse_runs
from kaggle_dsb.dataset.demo import make_image, write_demo
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import load_samples, sizes
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.files import InputError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, n_train=8, n_test=3, seed=5)
    return folder


@pytest.fixture(scope="module")
def cache(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepare(demo, tmp_path_factory.mktemp("cache"))
    assert prepared.warnings == ()
    return prepared.cache


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_demo_is_prepared_as_the_competitions_files_are(cache: Path) -> None:
    train, test = load_samples(cache, "stage1_train"), load_samples(cache, "stage1_test")
    assert (len(train), len(test)) == (8, 3)
    for sample in train:
        assert sample.labels is not None
        assert sample.labels.max() > 3
    assert (cache / "stage1_solution.csv").is_file()


def test_eight_images_show_every_type(cache: Path) -> None:
    types = {image_type(sample.image) for sample in load_samples(cache, "stage1_train")}
    assert types == {"fluorescence", "tissue", "brightfield"}


def test_cropped_images_are_the_corners_of_the_whole_ones(cache: Path, tmp_path: Path) -> None:
    write_demo(tmp_path / "demo", n_train=8, n_test=3, seed=5, largest_px=96)
    cropped = load_samples(prepare(tmp_path / "demo", tmp_path / "cache").cache, "stage1_train")
    for whole, part in zip(load_samples(cache, "stage1_train"), cropped, strict=True):
        assert (part.id, part.labels.shape) == (whole.id, (96, 96))
        np.testing.assert_array_equal(part.image, whole.image[:96, :96])
        np.testing.assert_array_equal(part.labels > 0, whole.labels[:96, :96] > 0)


def test_ids_look_like_the_competitions(cache: Path) -> None:
    ids = [*sizes(cache, "stage1_train"), *sizes(cache, "stage1_test")]
    assert len(set(ids)) == 11
    assert all(re.fullmatch(r"[0-9a-f]{64}", image_id) for image_id in ids)


def test_some_sizes_are_no_multiple_of_32(cache: Path) -> None:
    lengths = [length for size in sizes(cache, "stage1_train").values() for length in size]
    assert any(length % 32 for length in lengths)
    assert any(length % 32 == 0 for length in lengths)


def test_the_solution_names_the_nuclei_of_every_test_image(demo: Path, cache: Path) -> None:
    rows = read_rows(demo / "stage1_solution.csv")
    assert list(rows[0]) == ["ImageId", "EncodedPixels", "Height", "Width", "Usage"]
    known = sizes(cache, "stage1_test")
    covered = {image_id: np.zeros(size, int) for image_id, size in known.items()}
    for row in rows:
        shape = int(row["Height"]), int(row["Width"])
        assert (shape, row["Usage"]) == (known[row["ImageId"]], "Public")
        covered[row["ImageId"]] += decode_labels([parse_runs(row["EncodedPixels"])], shape)
    assert all(count.max() == 1 for count in covered.values())


def test_the_solution_is_the_truth_of_its_own_picture(demo: Path, cache: Path) -> None:
    rows = read_rows(demo / "stage1_solution.csv")
    for sample in load_samples(cache, "stage1_test"):
        nuclei = np.zeros(sample.image.shape[:2], bool)
        for row in rows:
            if row["ImageId"] == sample.id:
                nuclei |= decode_labels([parse_runs(row["EncodedPixels"])], nuclei.shape) > 0
        grey = sample.image.mean(axis=2)
        difference = grey[nuclei].mean() - grey[~nuclei].mean()
        is_bright = image_type(sample.image) == "fluorescence"
        assert difference * (1 if is_bright else -1) > 10


def test_the_sample_submission_has_a_row_for_each_test_image(demo: Path, cache: Path) -> None:
    rows = read_rows(demo / "stage1_sample_submission.csv")
    assert [row["ImageId"] for row in rows] == list(sizes(cache, "stage1_test"))
    assert {row["EncodedPixels"] for row in rows} == {"1 1"}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        write_demo(tmp_path / name, n_train=1, n_test=1, seed=seed)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert not set(contents[0].values()) & {
        data for path, data in contents[2].items() if "images" in path.parts
    }


# Seed 1 of look 7 and seed 5 of look 6 would break a nucleus if pieces were not counted.
@pytest.mark.parametrize(("look", "seed"), [*((look, 11) for look in range(8)), (7, 1), (6, 5)])
def test_nuclei_are_numbered_without_gaps_and_each_is_one_piece(look: int, seed: int) -> None:
    image, labels = make_image(seed, look=look)
    assert (image.dtype, image.shape) == (np.uint8, (*labels.shape, 3))
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    pieces = [
        cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)[0] - 1
        for label in range(1, labels.max() + 1)
    ]
    assert set(pieces) == {1}


def test_crowded_nuclei_touch_each_other() -> None:
    _, labels = make_image(0, look=1)
    left, right = labels[:, :-1], labels[:, 1:]
    assert np.count_nonzero((left > 0) & (right > 0) & (left != right)) > 100


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch()
    with pytest.raises(InputError) as caught:
        write_demo(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: is not empty; choose a new or empty folder for the demo data"
    )


def test_no_images_at_all_are_refused(tmp_path: Path) -> None:
    message = "^0 training and 12 test images; at least one of each is needed$"
    with pytest.raises(InputError, match=message):
        write_demo(tmp_path, n_train=0)
