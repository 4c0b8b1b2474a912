import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kaggle_dsb.competition.submission import (
    check_submission,
    read_solution,
    read_submission,
    write_submission,
)
from kaggle_dsb.files import InputError
from tests.cases import draw

GOLDEN = Path(__file__).parents[1] / "golden" / "submission.csv"

# The images of golden/submission.csv: two nuclei, none, and one with a hole in an odd shape.
IMAGES = {
    "a": draw("11.22", "11..2"),
    "b": draw("...", "..."),
    "c": draw("111", "1.1", "111", "..."),
}
SIZES = {image_id: labels.shape for image_id, labels in IMAGES.items()}
HEADER = "ImageId,EncodedPixels\n"
SOUND_ROWS = {"a": "a,1 4\n", "b": "b,\n", "c": "c,1 3\n"}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "submission.csv"


def faults_of(path: Path, text: str) -> list[str]:
    """Check a submission of this text, and return its faults without the path before each."""
    path.write_text(text, encoding="utf-8", newline="")
    faults = check_submission(path, SIZES)
    assert all(fault.startswith(f"{path}: ") and "\n" not in fault for fault in faults)
    return [fault.removeprefix(f"{path}: ") for fault in faults]


def faults_of_row(path: Path, row: str) -> list[str]:
    """Check a submission that is sound but for its line 2, a row of image a."""
    return faults_of(path, HEADER + row + "\n" + SOUND_ROWS["b"] + SOUND_ROWS["c"])


def zip_files(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_the_golden_submission_is_written_byte_for_byte(path):
    n_nuclei = write_submission(path, IMAGES)
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert n_nuclei == sum(len(np.unique(labels[labels > 0])) for labels in IMAGES.values())


def test_the_golden_submission_is_sound():
    assert check_submission(GOLDEN, SIZES) == []


def test_the_golden_submission_is_read_as_the_labels_it_was_made_of():
    read = read_submission(GOLDEN, SIZES)

    assert list(read) == list(IMAGES)
    for image_id, labels in IMAGES.items():
        assert read[image_id].dtype == np.int32
        np.testing.assert_array_equal(read[image_id], labels)


def test_the_runs_of_the_largest_image_come_back(path):
    labels = np.arange(1040 * 1388, dtype=np.int64).reshape(1040, 1388) // 5000
    write_submission(path, {"a": labels})
    np.testing.assert_array_equal(read_submission(path, {"a": labels.shape})["a"], labels)


def test_a_nucleus_of_very_many_runs_comes_back(path):
    labels = np.indices((600, 600)).sum(axis=0) % 2
    write_submission(path, {"a": labels})
    np.testing.assert_array_equal(read_submission(path, {"a": labels.shape})["a"], labels)


def test_a_name_that_is_not_csv_is_refused(tmp_path):
    path = tmp_path / "submission.zip"
    message = f"{path}: a submission is written as CSV; choose a name that ends in .csv"
    with pytest.raises(InputError, match=exactly(message)):
        write_submission(path, IMAGES)


def test_a_submission_of_no_images_is_refused(path):
    message = f"{path}: no images to write; a submission needs a row for every test image"
    with pytest.raises(InputError, match=exactly(message)):
        write_submission(path, {})


@pytest.mark.parametrize("image_id", ["", "a,b", 'a"b', "a\nb", "a\udcff"])
def test_an_id_that_would_break_the_table_is_refused(path, image_id):
    message = (
        f"image id {image_id!r}; an id must not be empty or contain a comma, quote, line break or "
        "character that UTF-8 lacks"
    )
    with pytest.raises(InputError, match=exactly(message)):
        write_submission(path, {image_id: IMAGES["a"]})


def test_labels_that_cannot_be_written_are_named_and_the_old_file_stays(path):
    path.write_text("old")
    message = "image a: labels contain -1; a label is 0 (background) or a positive integer"
    with pytest.raises(InputError, match=exactly(message)):
        write_submission(path, {"a": np.array([[-1]])})
    assert path.read_text() == "old"


def test_kaggles_sample_row_stands_for_the_first_pixel(path):
    assert faults_of(path, HEADER + "a,1 1\nb,1 1\nc,1 1\n") == []
    np.testing.assert_array_equal(read_submission(path, SIZES)["b"], draw("1..", "..."))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_either_line_ending_is_sound(path, ending):
    text = (HEADER + "".join(SOUND_ROWS.values())).replace("\n", ending)
    assert faults_of(path, text) == []


def test_quoted_fields_are_sound(path):
    assert faults_of_row(path, '"a","1 4"') == []


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        (
            'a,"[1, 4]"',
            [
                "line 2 (image a): '[1, 4]' is a printed Python list; write numbers separated by "
                "spaces: 1 2 7 3"
            ],
        ),
        (
            "a,[1, 4]",
            [
                "line 2 has 3 fields, but the header has 2; separate fields by commas and run "
                "lengths by spaces"
            ],
        ),
        (
            "a",
            [
                "line 2 has 1 fields, but the header has 2; separate fields by commas and run "
                "lengths by spaces"
            ],
        ),
        ("a,1 4\n\na,5 1", ["line 3 is blank; remove it"]),
        ('a,""', ['line 2 (image a): "" stands for no runs; leave the field empty']),
        (
            "a,1 4 9",
            [
                "line 2 (image a): '1 4 9' has 3 entries, an odd number; "
                "every start needs its length: 1 2 7 3"
            ],
        ),
        (
            "a,9 1 1 4",
            [
                "line 2 (image a): run (1, 4) after (9, 1) is out of order; runs must be sorted "
                "and disjoint"
            ],
        ),
        (
            "a,1 4 4 1",
            [
                "line 2 (image a): run (4, 1) after (1, 4) overlaps the run before it; runs must "
                "be sorted and disjoint"
            ],
        ),
        (
            "a,0 4",
            [
                "line 2 (image a): run (0, 4) is invalid; starts count from 1 and lengths are at "
                "least 1"
            ],
        ),
        ("a,10 2", ["line 2 (image a): run (10, 2) does not fit an image of 2 x 5 pixels"]),
        (
            "a,1 4\na,4 2",
            ["line 3 (image a): shares 1 px with line 2; the masks of an image must not overlap"],
        ),
        (
            "a,1 4\na,1 4",
            ["line 3 (image a): shares 4 px with line 2; the masks of an image must not overlap"],
        ),
        (
            "a,\na,1 4",
            ["line 2 (image a): no runs, but the image has other rows; remove this one"],
        ),
        (
            "a,1 4\nA,5 1",
            ["line 3 (image A): not one of the 3 expected images"],
        ),
        (
            "",
            [
                "line 2 is blank; remove it",
                "image a has no row; without nuclei its row must be 'a,'",
            ],
        ),
    ],
)
def test_a_fault_in_a_row_is_named_with_its_line(path, row, faults):
    assert faults_of_row(path, row) == faults


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (
            "ImageID,EncodedPixels",
            "line 1 is 'ImageID,EncodedPixels'; it must be 'ImageId,EncodedPixels'",
        ),
        (
            "EncodedPixels,ImageId",
            "line 1 is 'EncodedPixels,ImageId'; it must be 'ImageId,EncodedPixels'",
        ),
    ],
)
def test_a_wrong_header_is_named_and_the_rows_are_still_checked(path, header, fault):
    rows = [["a", "1 4"], ["b", ""], ["c", "90 1"]]
    step = -1 if header.startswith("Enc") else 1
    text = "\n".join([header, *(",".join(row[::step]) for row in rows)])
    beyond = "line 4 (image c): run (90, 1) does not fit an image of 4 x 3 pixels"

    assert faults_of(path, text) == [fault, beyond]


def test_an_index_column_is_named_and_the_rows_are_still_checked(path):
    text = ",ImageId,EncodedPixels\n0,a,1 4\n1,b,\n2,c,90 1\n"
    assert faults_of(path, text) == [
        "line 1 is ',ImageId,EncodedPixels'; it must be 'ImageId,EncodedPixels'; omit the index "
        "column",
        "line 4 (image c): run (90, 1) does not fit an image of 4 x 3 pixels",
    ]


def test_a_table_without_a_header_has_one_fault(path):
    assert faults_of(path, "a,1 4\nb,\nc,1 3\n") == [
        "line 1 is 'a,1 4'; it must be 'ImageId,EncodedPixels'"
    ]


def test_every_fault_is_listed_at_once(path):
    text = "ImageID,EncodedPixels\na,1 4 9\na,10 2\na,1 2\na,2 1\nx,1 1\n"
    assert faults_of(path, text) == [
        "line 1 is 'ImageID,EncodedPixels'; it must be 'ImageId,EncodedPixels'",
        "line 2 (image a): '1 4 9' has 3 entries, an odd number; "
        "every start needs its length: 1 2 7 3",
        "line 3 (image a): run (10, 2) does not fit an image of 2 x 5 pixels",
        "line 6 (image x): not one of the 3 expected images",
        "image b has no row; without nuclei its row must be 'b,'",
        "image c has no row; without nuclei its row must be 'c,'",
        "line 5 (image a): shares 1 px with line 4; the masks of an image must not overlap",
    ]


def test_reading_a_faulty_submission_names_the_first_fault_and_counts_the_rest(path):
    path.write_text(HEADER + "a,1 4\n")
    message = f"{path}: image b has no row; without nuclei its row must be 'b,' (and 1 more)"
    with pytest.raises(InputError, match=exactly(message)):
        read_submission(path, SIZES)


@pytest.mark.parametrize(
    ("change", "deviation"),
    [
        (
            lambda text: "\ufeff" + text,
            "starts with a byte-order mark; save it as UTF-8 without one",
        ),
        (
            lambda text: text.replace(",", ";"),
            "separates fields by semicolons; use commas",
        ),
        (lambda text: text.replace("b,", "\nb,"), "line 4 is blank; remove it"),
    ],
)
def test_what_kaggle_may_refuse_is_told_but_read(path, change, deviation):
    text = GOLDEN.read_text()
    assert text.splitlines()[3] == "b,"
    assert faults_of(path, change(text)) == [deviation]
    np.testing.assert_array_equal(read_submission(path, SIZES)["c"], IMAGES["c"])


def test_control_characters_of_an_id_do_not_reach_the_terminal(path):
    fault = "line 2 (image 'a\\x1b[2J'): not one of the 3 expected images"
    assert faults_of_row(path, "a\x1b[2J,1 4") == [
        fault,
        "image a has no row; without nuclei its row must be 'a,'",
    ]


def test_reading_a_submission_with_one_fault_names_it_alone(path):
    path.write_text(HEADER + "a,1 4\nb,\n")
    message = f"{path}: image c has no row; without nuclei its row must be 'c,'"
    with pytest.raises(InputError, match=exactly(message)):
        read_submission(path, SIZES)


def test_an_empty_file_has_one_fault(path):
    assert faults_of(path, "") == ["the file is empty; its first line must be a header"]


def test_a_file_that_is_not_utf8_has_one_fault(path):
    path.write_bytes(HEADER.encode() + b"\xe4,1 1\n")
    assert check_submission(path, SIZES) == [
        f"{path}: byte 22 is 0xe4, which is not UTF-8; save it as UTF-8 text"
    ]


def test_a_missing_file_has_one_fault(path):
    fault = f"{path}: no such file; expected a CSV or a zip of one"
    assert check_submission(path, SIZES) == [fault]


def test_a_zip_of_one_csv_is_sound(tmp_path):
    path = zip_files(tmp_path / "submission.csv.zip", {"submission.csv": GOLDEN.read_text()})
    assert check_submission(path, SIZES) == []


def test_what_macos_adds_to_a_zip_is_a_fault_but_does_not_hide_the_table(tmp_path):
    files = {"submission.csv": GOLDEN.read_text(), "__MACOSX/._submission.csv": "x"}
    path = zip_files(tmp_path / "submission.zip", files)

    np.testing.assert_array_equal(read_submission(path, SIZES)["a"], IMAGES["a"])
    assert check_submission(path, SIZES) == [
        f"{path}: contains __MACOSX/._submission.csv besides the CSV; the zip must contain nothing "
        "else"
    ]


@pytest.mark.parametrize(
    ("files", "held"),
    [
        ({"a.csv": "", "b.csv": ""}, "2 CSV files (a.csv, b.csv)"),
        ({"a.txt": ""}, "0 CSV files (none)"),
    ],
)
def test_a_zip_of_several_tables_or_none_has_one_fault(tmp_path, files, held):
    path = zip_files(tmp_path / "submission.zip", files)
    fault = f"{path}: contains {held}; a zip must contain exactly one"
    assert check_submission(path, SIZES) == [fault]


def test_a_csv_that_is_only_called_zip_has_one_fault(tmp_path):
    path = tmp_path / "submission.zip"
    path.write_bytes(GOLDEN.read_bytes())
    fault = f"{path}: not a valid zip (File is not a zip file); zip the CSV again"
    assert check_submission(path, SIZES) == [fault]


SOLUTION_HEADER = "ImageId,EncodedPixels,Height,Width,Usage\n"


def test_a_solution_is_read_without_its_ignored_rows(path):
    rows = "a,1 4,2,5,Public\ndecoy,1 1,9,9,Ignored\na,7 1,2,5,Public\nb,,2,3,Private\n"
    path.write_text(SOLUTION_HEADER + rows)
    truth = read_solution(path)

    assert list(truth) == ["a", "b"]
    np.testing.assert_array_equal(truth["a"], draw("11.2.", "11..."))
    np.testing.assert_array_equal(truth["b"], np.zeros((2, 3)))


def test_training_labels_are_read_with_the_sizes_given():
    truth = read_solution(GOLDEN, SIZES)
    for image_id, labels in IMAGES.items():
        np.testing.assert_array_equal(truth[image_id], labels)


def test_a_pixel_that_two_true_masks_share_stays_with_the_first(path):
    path.write_text(HEADER + "a,1 4\na,4 2\na,1 2\na,10 1\n")
    np.testing.assert_array_equal(read_solution(path, SIZES)["a"], draw("112..", "11..3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a,1 1\n", "no columns Height and Width; the image sizes are needed"),
        ("ImageId,Pixels\na,1 1\n", "line 1 is 'ImageId,Pixels'; it must have EncodedPixels"),
        (HEADER, "no scored row; a solution has a row for every image"),
        (
            SOLUTION_HEADER + "a,1 1,2,5,Ignored\n",
            "no scored row; a solution has a row for every image",
        ),
        (
            SOLUTION_HEADER + "a,1 1,2,5,Public\na,3 1,5,2,Public\n",
            "line 3 (image a): 5 x 2 pixels, but 2 x 5 above; all rows of an image must give the "
            "same size",
        ),
        (
            SOLUTION_HEADER + "d,1 1,9,9,Ignored\na,1 1,2.5,5,Public\n",
            "line 3 (image a): Height '2.5', Width '5'; both must be integers",
        ),
        (
            SOLUTION_HEADER + f"a,1 1,{'9' * 5000},5,Public\n",
            f"line 2 (image a): Height '{'9' * 20}...', Width '5'; both must be integers",
        ),
        (
            SOLUTION_HEADER + "a,1 1,20001,20000,Public\n",
            "line 2 (image a): image of 20001 x 20000 pixels; the maximum is 400,000,000 pixels",
        ),
        (
            SOLUTION_HEADER + f"a,1 {'9' * 5000},2,5,Public\n",
            f"line 2 (image a): '{'9' * 40}...' is not an integer; write starts and lengths "
            "separated by spaces: 1 2 7 3",
        ),
        (
            SOLUTION_HEADER + "d,1 1,9,9,Ignored\na,10 2,2,5,Public\n",
            "line 3 (image a): run (10, 2) does not fit an image of 2 x 5 pixels",
        ),
    ],
)
def test_a_solution_that_cannot_be_read_is_refused(path, text, message):
    path.write_text(text)
    with pytest.raises(InputError, match=exactly(f"{path}: {message}")):
        read_solution(path)


def test_an_image_of_unknown_size_is_named(path):
    path.write_text(HEADER + "a,1 1\nz,1 1\n")
    message = (
        f"{path}: line 3 (image z): the image size is unknown; the sizes of all images are needed"
    )
    with pytest.raises(InputError, match=exactly(message)):
        read_solution(path, SIZES)
