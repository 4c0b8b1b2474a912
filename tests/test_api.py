import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

import kaggle_dsb as dsb
from kaggle_dsb import api
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.size import median_diameter
from tests.cases import CASES, draw


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture(scope="module")
def samples(small_demo, tmp_path_factory):
    """The demo set, cached in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield dsb.load_dataset()


def write_png(path: Path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(array))


def test_importing_the_package_imports_no_library():
    code = "import sys, kaggle_dsb; print({'numpy', 'torch', 'pydantic'} & {*sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_scoring_and_run_lengths_load_numpy_alone():
    code = (
        "import sys, kaggle_dsb as dsb; dsb.score([[1]], [[1]]); dsb.encode([[1]]); "
        "print({'torch', 'pandas', 'cv2', 'scipy', 'PIL'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_every_name_of_the_interface_is_in_the_package():
    assert dsb.__all__ == ["InputError", "Sample", *api.__all__]
    assert set(dsb.__all__) <= set(dir(dsb))
    for name in api.__all__:
        assert getattr(dsb, name) is getattr(api, name)
    assert (dsb.InputError, dsb.Sample) == (InputError, Sample)


def test_another_name_is_an_attribute_error():
    message = "module 'kaggle_dsb' has no attribute 'segmant'"
    with pytest.raises(AttributeError, match=exactly(message)):
        dsb.segmant  # noqa: B018


def test_the_demo_set_is_loaded_with_its_labels(samples):
    assert [type(sample) for sample in samples] == [dsb.Sample] * 4
    for sample in samples:
        assert sample.image.shape == (*sample.labels.shape, 3)
        assert (sample.image.dtype, sample.labels.dtype) == (np.uint8, np.int32)
        assert sample.labels.any()


def test_the_demo_set_is_drawn_and_prepared_once(samples, monkeypatch):
    monkeypatch.setattr("kaggle_dsb.dataset.demo.write_demo", None)
    monkeypatch.setattr("kaggle_dsb.dataset.prepare.convert_picture", None)
    for again, sample in zip(dsb.load_dataset(), samples, strict=True):
        assert again.id == sample.id
        np.testing.assert_array_equal(again.image, sample.image)
        np.testing.assert_array_equal(again.labels, sample.labels)


def test_one_set_can_be_loaded_by_itself(samples):
    test = dsb.load_dataset(set_name="stage1_test")
    assert [sample.id for sample in test] == [sample.id for sample in samples[:2]]
    assert all(sample.labels.any() for sample in test)
    assert len(dsb.load_dataset(limit=1)) == 2


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Two sets of ones own; an image of the second cannot be read."""
    monkeypatch.chdir(tmp_path)
    nuclei = draw("11.2", "1..2")
    write_png(tmp_path / "own/train/images/a.png", nuclei.astype(np.uint8))
    write_png(tmp_path / "own/train/masks/a.png", nuclei.astype(np.uint8))
    (tmp_path / "own/test/images").mkdir(parents=True)
    (tmp_path / "own/test/images/b.png").touch()
    return tmp_path / "own"


def test_what_another_set_holds_does_not_matter(own):
    (sample,) = dsb.load_dataset("own", set_name="train")
    np.testing.assert_array_equal(sample.labels, draw("11.2", "1..2"))
    message = "test/images/b.png: is empty (0 bytes); expected a PNG, TIFF, JPEG, BMP, GIF, WebP"
    with pytest.raises(InputError, match=exactly(f"{message} or JPEG 2000 image")):
        dsb.load_dataset("own")
    with pytest.raises(InputError, match=exactly("own: has no set 'tests'; it has test, train")):
        dsb.load_dataset("own", set_name="tests")


def test_caches_stay_only_where_they_are_wanted(own):
    dsb.load_dataset("own", set_name="train")
    assert [path.name for path in Path().iterdir()] == ["own"]
    dsb.load_dataset("own", set_name="train", work="work")
    assert len(list(Path("work/cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("solution", "labels"),
    [
        ("ImageId,EncodedPixels\nb,1 2\n", draw("1..", "1..")),
        ("ImageId,EncodedPixels,Height,Width,Usage\nb,1 2,2,3,Public\n", draw("1..", "1..")),
        ("ImageId,EncodedPixels,Height,Width,Usage\nother,1 2,2,2,Public\n", None),
    ],
    ids=["without sizes", "with sizes", "of another image"],
)
def test_test_images_have_the_labels_of_their_solution(tmp_path, solution, labels):
    write_png(tmp_path / "stage1_test/b/images/b.png", np.zeros((2, 3, 3), np.uint8))
    (tmp_path / "stage1_solution.csv").write_text(solution)
    (sample,) = dsb.load_dataset(tmp_path)
    np.testing.assert_array_equal(sample.labels, labels)


def test_a_solution_of_images_of_another_size_is_refused(tmp_path):
    write_png(tmp_path / "stage1_test/b/images/b.png", np.zeros((4, 3, 3), np.uint8))
    (tmp_path / "stage1_solution.csv").write_text(
        "ImageId,EncodedPixels,Height,Width,Usage\nb,1 2,2,3,Public\n"
    )
    message = (
        f"{tmp_path / 'stage1_solution.csv'}: image b is 2 x 3 pixels; the image of this name is "
        "4 x 3"
    )
    with pytest.raises(InputError, match=exactly(message)):
        dsb.load_dataset(tmp_path)


@pytest.fixture
def stack(tmp_path):
    """A stack of two channels with three planes; the values tell which."""
    path = tmp_path / "cells.tif"
    values = np.array([[11, 12], [21, 22], [31, 32]], np.uint8)  # by plane and channel
    array = np.repeat(values, 20).reshape(3, 2, 4, 5)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZCYX"})
    return path


@pytest.mark.parametrize(
    ("reading", "value"),
    [({"channel": 2, "plane": 1}, 12), ({"channel": 1, "project": "max"}, 31)],
)
def test_a_channel_and_a_plane_of_a_stack_are_chosen(stack, reading, value):
    (sample,) = dsb.load_dataset(stack, **reading)
    assert np.unique(sample.image) == value


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (
            {},
            "cells.tif: has 2 channels and 3 planes; choose with channel=1 to 2 and plane=1 to 3 "
            "or project='max'",
        ),
        ({"channel": 3, "plane": 1}, "cells.tif: has 2 channels; channel 3 does not exist"),
        ({"channel": "DAPI"}, "channel 'DAPI'; expected its number, the first channel is 1"),
        ({"project": "mean"}, "projection 'mean'; the only one is 'max'"),
        ({"limit": 0}, "limit = 0; expected at least 1 image, or None for all"),
    ],
)
def test_a_wrong_choice_is_answered_in_the_words_of_python(stack, reading, message):
    with pytest.raises(InputError, match=exactly(message)):
        dsb.load_dataset(stack, **reading)


def test_a_binary_mask_is_warned_of_and_can_be_split(tmp_path):
    mask = np.zeros((9, 9), np.uint8)
    mask[1:3, 1:3] = mask[5:8, 5:8] = 255
    write_png(tmp_path / "images/x.png", mask)
    write_png(tmp_path / "masks/x.png", mask)
    message = (
        "masks/x.png: is a binary mask with 2 connected parts, read as one nucleus; "
        "connected_components=True reads each part as a nucleus"
    )
    with pytest.warns(UserWarning, match=exactly(message)):
        (sample,) = dsb.load_dataset(tmp_path)
    assert sample.labels.max() == 1
    (sample,) = dsb.load_dataset(tmp_path, connected_components=True)
    assert sample.labels.max() == 2


@pytest.mark.slow
def test_the_nuclei_of_an_image_are_found_in_whatever_type_it_comes(samples):
    sample = samples[-1]
    labels = dsb.segment(sample.image)
    assert (labels.shape, labels.dtype) == (sample.labels.shape, np.int32)
    assert dsb.score(sample.labels, labels) > 0.5
    opaque = np.concatenate([sample.image, np.full((*labels.shape, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(dsb.segment(opaque), labels)
    grey = sample.image.mean(axis=2)
    for image in (grey, (grey * 200).astype(np.uint16), grey[..., np.newaxis].astype(np.float32)):
        assert dsb.score(labels, dsb.segment(image)) > 0.5


@pytest.mark.slow
def test_a_known_diameter_scores_as_the_estimate_does_and_a_wrong_one_worse(samples):
    def _score(factor):
        scores = []
        for sample in samples:
            diameter_px = factor and factor * median_diameter(sample.labels)
            labels = dsb.segment(sample.image, diameter_px=diameter_px)
            scores.append(dsb.score(sample.labels, labels))
        return np.mean(scores)

    estimated, known, third, triple = map(_score, (None, 1, 1 / 3, 3))
    assert estimated > 0.7
    assert known == pytest.approx(estimated, abs=0.03)
    assert triple < estimated - 0.2 < third < max(estimated, known)


@pytest.mark.parametrize("diameter_px", [0, -3, np.nan, np.inf, "25"])
def test_an_impossible_diameter_is_refused(diameter_px):
    message = (
        f"diameter_px = {diameter_px!r}; expected a positive number of pixels, or None to "
        "estimate it"
    )
    with pytest.raises(InputError, match=exactly(message)):
        dsb.segment(np.zeros((8, 8), np.uint8), diameter_px=diameter_px)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            "cells/x.png",
            "'cells/x.png' is a file name; read the image first, as in "
            "dsb.load_dataset('cells/x.png')[0].image",
        ),
        (
            Path("x.png"),
            "'x.png' is a file name; read the image first, as in dsb.load_dataset('x.png')[0]"
            ".image",
        ),
        (
            np.zeros((3, 20, 30), np.uint8),
            "image of shape (3, 20, 30) and type uint8; expected numbers of shape (H, W), "
            "(H, W, 3) or (H, W, 4); move the channels last with np.moveaxis(image, 0, -1)",
        ),
        (
            np.zeros((2, 3, 5), np.uint8),
            "image of shape (2, 3, 5) and type uint8; expected numbers of shape (H, W), (H, W, 3) "
            "or (H, W, 4)",
        ),
        (
            np.zeros((0, 3), np.uint8),
            "image of shape (0, 3) and type uint8; expected numbers of shape (H, W), (H, W, 3) or "
            "(H, W, 4)",
        ),
        (
            np.array([["a"]]),
            "image of shape (1, 1) and type <U1; expected numbers of shape (H, W), (H, W, 3) or "
            "(H, W, 4)",
        ),
        (
            np.array([[np.nan, 1.0]]),
            "contains NaN, infinite or too large values; the maximum is 3.4e38",
        ),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(InputError, match=exactly(message)):
        dsb.segment(image)


def test_what_the_hints_say_works(tmp_path):
    write_png(tmp_path / "x.png", np.full((4, 5), 7, np.uint8))
    image = dsb.load_dataset(str(tmp_path / "x.png"))[0].image
    turned = np.moveaxis(image.transpose(2, 0, 1), 0, -1)
    np.testing.assert_array_equal(api._to_8_bit_rgb(turned), image)


def test_nuclei_are_measured_in_a_table():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    table = dsb.measure(image, draw("11.3", "11.3", "...."))
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == [
        *("label", "centroid_row", "centroid_column", "area_px", "equivalent_diameter_px"),
        *("major_axis_px", "minor_axis_px", "eccentricity", "solidity", "mean_intensity"),
    ]
    assert table["label"].tolist() == [1, 3]
    assert table["area_px"].tolist() == [4, 2]
    assert table["mean_intensity"].tolist() == [2500, 5000]


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_each_colour_is_measured_but_alpha_is_not(n_channels):
    image = np.arange(n_channels) * np.ones((2, 2, 1))
    table = dsb.measure(image, draw("1.", "1."))
    intensities = table.filter(like="mean_intensity").to_dict("list")
    colours = {"mean_intensity_red": [0], "mean_intensity_green": [1], "mean_intensity_blue": [2]}
    assert intensities == ({"mean_intensity": [0]} if n_channels == 1 else colours)


def test_labels_of_another_size_are_not_measured():
    message = (
        "image of shape (2, 3, 3) and labels of shape (2, 2); their heights and widths must be "
        "equal"
    )
    with pytest.raises(InputError, match=exactly(message)):
        dsb.measure(np.zeros((2, 3, 3)), draw("1.", "1."))


def test_a_folder_without_networks_is_refused(tmp_path):
    message = (
        f"{tmp_path}: contains no fold<N>.safetensors; expected the folder of a finished "
        "training run; available: bundled"
    )
    with pytest.raises(InputError, match=exactly(message)):
        dsb.segment(np.zeros((8, 8), np.uint8), weights=str(tmp_path))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_known_case_scores_what_the_eye_says(case):
    assert dsb.score(case.truth, case.predicted) == pytest.approx(case.score, abs=1e-12)


def test_several_images_score_their_mean():
    truth = {"a": draw("11"), "b": draw("1.")}
    assert dsb.score(truth, {"a": draw("11"), "b": draw(".1")}) == 0.5


def test_one_image_is_not_scored_against_several():
    message = "truth and predicted must both be single label images, or both mappings by image id"
    with pytest.raises(InputError, match=exactly(message)):
        dsb.score({"a": draw("11")}, draw("11"))


def test_decoding_undoes_encoding():
    labels = draw("11.2", "1..2")
    np.testing.assert_array_equal(dsb.decode(dsb.encode(labels), labels.shape), labels)


@pytest.mark.parametrize("runs", ["1 3", [float("nan")], [None, "1 3"]])
def test_runs_that_are_no_list_of_strings_are_refused(runs):
    with pytest.raises(dsb.InputError, match="expected a list of strings, one for each nucleus"):
        dsb.decode(runs, (2, 2))


@pytest.mark.parametrize("shape", [4, (2, 2, 3), (2.5, 2), (-1, 2), "22"])
def test_a_shape_that_is_no_height_and_width_is_refused(shape):
    with pytest.raises(dsb.InputError, match=r"expected \(height, width\) in pixels"):
        dsb.decode(["1 1"], shape)


def test_reading_undoes_writing(tmp_path):
    path = str(tmp_path / "submission.csv")
    labels = {"a": draw("11.2"), "b": draw("..", "..")}
    dsb.write_submission(path, labels)
    read = dsb.read_submission(path, {"a": (1, 4), "b": (2, 2)})
    assert list(read) == ["a", "b"]
    for image_id, image_labels in labels.items():
        np.testing.assert_array_equal(read[image_id], image_labels)


def test_a_solution_is_read_without_sizes(tmp_path):
    path = tmp_path / "solution.csv"
    path.write_text("ImageId,EncodedPixels,Height,Width,Usage\na,1 2,2,2,Public\n")
    np.testing.assert_array_equal(dsb.read_submission(path)["a"], draw("1.", "1."))


def test_networks_are_loaded_anew_where_others_have_taken_their_place(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr("kaggle_dsb.network.load.load_predictor", lambda *_, **__: loaded.append(1))
    monkeypatch.setattr("kaggle_dsb.network.load.load_finder", lambda *_, **__: None)
    for project in ("p1", "p2"):
        (tmp_path / project / "mine").mkdir(parents=True)
        (tmp_path / project / "mine" / "fold0.safetensors").write_bytes(b"network")
        monkeypatch.chdir(tmp_path / project)
        for _ in range(2):
            api._load_models("mine", fast=False)
    assert len(loaded) == 2
    (tmp_path / "p2" / "mine" / "scorer0.safetensors").write_bytes(b"scorer")
    api._load_models("mine", fast=False)
    assert len(loaded) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dsb.decode(5, (2, 2)), "5; expected a list of strings"),
        (lambda: dsb.decode(["1 1"], ((1, 2), 3)), "shape ((1, 2), 3); expected (height, width)"),
        (lambda: dsb.load_dataset(limit="3"), "limit = '3'; expected at least 1 image"),
        (lambda: dsb.write_submission("a.csv", [1]), "labels of type list; expected a mapping"),
        (lambda: dsb.segment(np.zeros((4, 4)), weights=3), "weights = 3; expected the folder"),
    ],
)
def test_arguments_of_another_type_are_named(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
