import re
import subprocess
import sys

import numpy as np
import pytest

import kaggle_dsb as dsb
from kaggle_dsb import api
from kaggle_dsb.files import InputError
from tests.cases import CASES, draw


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture(scope="module")
def samples(small_demo):
    return dsb.load_dataset()


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
    assert dsb.__all__ == api.__all__
    assert set(dsb.__all__) <= set(dir(dsb))
    for name in dsb.__all__:
        assert getattr(dsb, name) is getattr(api, name)


def test_another_name_is_an_attribute_error():
    message = "module 'kaggle_dsb' has no attribute 'segmant'"
    with pytest.raises(AttributeError, match=exactly(message)):
        dsb.segmant  # noqa: B018


def test_the_demo_set_is_loaded_with_its_labels(samples):
    sample = next(sample for sample in samples if sample.labels is not None)
    assert sample.image.shape == (*sample.labels.shape, 3)
    assert (sample.image.dtype, sample.labels.dtype) == (np.uint8, np.int32)
    assert sample.labels.any()


def test_one_set_can_be_loaded_by_itself(samples):
    test = dsb.load_dataset(set_name="stage1_test")
    assert 0 < len(test) < len(samples)
    assert all(sample.labels is None for sample in test)


@pytest.mark.slow
def test_the_nuclei_of_an_image_are_found_in_whatever_type_it_comes(samples):
    sample = next(sample for sample in samples if sample.labels is not None)
    labels = dsb.segment(sample.image)
    assert (labels.shape, labels.dtype) == (sample.labels.shape, np.int32)
    assert dsb.score(sample.labels, labels) > 0.5
    opaque = np.concatenate([sample.image, np.full((*labels.shape, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(dsb.segment(opaque), labels)
    grey = sample.image.mean(axis=2)
    for image in (grey, (grey * 200).astype(np.uint16), grey[..., np.newaxis].astype(np.float32)):
        assert dsb.score(labels, dsb.segment(image)) > 0.5


@pytest.mark.parametrize(
    ("image", "message"),
    [
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
            "contains NaN or infinite values; all values must be finite",
        ),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(InputError, match=exactly(message)):
        dsb.segment(image)


def test_a_folder_without_networks_is_refused(tmp_path):
    message = (
        f"{tmp_path}: contains no fold<N>.safetensors; expected the folder of a finished "
        "training run"
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
