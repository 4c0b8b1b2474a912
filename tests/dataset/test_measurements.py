import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.measurements import (
    MEASUREMENT_COLUMNS,
    MeasuredImage,
    measure_nuclei,
    write_measurements,
)
from tests.cases import draw

GREY = np.arange(24, dtype=np.uint16).reshape(4, 6) * 100


def measure_one(*rows: str) -> dict[str, float]:
    table = measure_nuclei(np.zeros((len(rows), len(rows[0]))), draw(*rows))
    return {name: column.item() for name, column in table.items()}


def test_a_square_is_measured_as_the_eye_does() -> None:
    square = measure_one("......", ".33...", ".33...")
    assert square == {
        "label": 3,
        "centroid_row": 1.5,
        "centroid_column": 1.5,
        "area_px": 4,
        "equivalent_diameter_px": pytest.approx(np.sqrt(16 / np.pi)),
        "major_axis_px": pytest.approx(2),
        "minor_axis_px": pytest.approx(2),
        "eccentricity": 0,
        "solidity": 1,
        "mean_intensity": 0,
    }


def test_an_elongated_and_a_hollow_nucleus_are_told_by_their_shape() -> None:
    bar, frame = measure_one("111111", "111111"), measure_one("11111", "1...1", "1...1", "11111")
    # The variance of n pixels in a row is (n² - 1) / 12.
    assert bar["major_axis_px"] / bar["minor_axis_px"] == pytest.approx(np.sqrt(35 / 3))
    assert bar["eccentricity"] > 0.9
    assert (bar["solidity"], frame["solidity"]) == (1, 14 / 20)


@pytest.mark.parametrize("rows", [["1"], ["111"], ["1..", ".1.", "..1"]])
def test_a_nucleus_of_a_pixel_or_a_line_has_finite_measurements(rows: list[str]) -> None:
    assert np.isfinite(list(measure_one(*rows).values())).all()


def test_intensities_are_those_of_each_colour_in_units_of_the_image() -> None:
    rgb = np.stack([GREY, GREY + 1, GREY * 2], axis=2)
    labels = draw("11....", "11....", "......", ".....2")
    table = measure_nuclei(rgb, labels)
    assert table["mean_intensity_red"].tolist() == [350, 2300]
    assert table["mean_intensity_green"].tolist() == [351, 2301]
    assert table["mean_intensity_blue"].tolist() == [700, 4600]
    assert measure_nuclei(GREY, labels)["mean_intensity"].tolist() == [350, 2300]
    assert measure_nuclei(GREY > 0, labels)["mean_intensity"].tolist() == [0.75, 1]
    assert measure_nuclei(GREY.astype(np.float16), labels)["mean_intensity"].tolist() == [350, 2300]


@given(arrays(np.uint16, (7, 9), elements=st.sampled_from([0, 1, 2, 60000])))
@settings(deadline=None, max_examples=30)
def test_the_table_is_what_a_loop_over_the_labels_finds(labels: np.ndarray) -> None:
    image = np.arange(63.0).reshape(7, 9)
    table = measure_nuclei(image, labels)
    assert table["label"].tolist() == sorted({*labels.ravel().tolist()} - {0})
    for number, label in enumerate(table["label"]):
        pixels = np.argwhere(labels == label)
        assert table["area_px"][number] == len(pixels)
        centroid = table["centroid_row"][number], table["centroid_column"][number]
        assert np.allclose(centroid, pixels.mean(axis=0))
        assert np.isclose(table["mean_intensity"][number], image[labels == label].mean())


def test_all_images_are_in_one_table(tmp_path) -> None:
    labels = draw("11....", "11....", "......", ".....2")
    images = [
        MeasuredImage("a", np.repeat(GREY[..., None], 3, axis=2), labels),
        MeasuredImage("empty", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int32)),
        MeasuredImage("核", np.full((1, 2, 3), 0.125), draw(".1")),
    ]
    path = tmp_path / "measurements.csv"
    assert list(write_measurements(path, images)) == ["a", "empty", "核"]
    assert path.read_text(encoding="utf-8") == (
        "image,label,centroid_row,centroid_column,area_px,equivalent_diameter_px,major_axis_px,"
        "minor_axis_px,eccentricity,solidity,mean_intensity_red,mean_intensity_green,"
        "mean_intensity_blue\n"
        "a,1,0.5,0.5,4,2.256758,2,2,0,1,350,350,350\n"
        "a,2,3,5,1,1.128379,0,0,0,1,2300,2300,2300\n"
        "核,1,0,1,1,1.128379,0,0,0,1,0.125,0.125,0.125\n"
    )


def test_a_table_of_images_without_nuclei_has_its_columns(tmp_path) -> None:
    image = MeasuredImage("a", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int32))
    assert list(write_measurements(tmp_path / "a.csv", [image])) == ["a"]
    assert (tmp_path / "a.csv").read_text() == ",".join(MEASUREMENT_COLUMNS) + "\n"


def test_images_are_measured_one_at_a_time_and_a_table_is_written_whole_or_not_at_all(
    tmp_path,
) -> None:
    taken = []

    def _images():
        for number in range(3):
            taken.append(number)
            yield MeasuredImage(f"{number}", *make_image(number, look=number))

    ids = write_measurements(tmp_path / "a.csv", _images())
    assert next(ids) == "0"
    assert taken == [0]
    ids.close()
    assert list(tmp_path.iterdir()) == []
