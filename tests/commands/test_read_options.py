from pathlib import Path

import numpy as np
import pytest
import tifffile

from kaggle_dsb.cli import run
from kaggle_dsb.workspace.submission import SubmissionFolder
from tests.commands.examples import QUICK, write_png


@pytest.fixture
def stack(here):
    """A hyperstack of two channels, the first of them empty."""
    image = np.zeros((2, 40, 44), np.uint16)
    image[1, 10:20, 10:20] = 900
    (here / "mine").mkdir()
    path = here / "mine" / "cells.tif"
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "CYX"})
    return path


def test_a_stack_asks_for_a_channel_and_takes_the_one_named(stack, capsys):
    assert run(["data", "--data", "mine"]) == 2
    message = "error: cells.tif: has 2 channels; choose with --channel 1 to 2\n"
    assert capsys.readouterr().err.endswith(message)
    assert run(["data", "--data", "mine", "--channel", "2"]) == 0
    assert capsys.readouterr().out == "images: 1 image, no annotations\n"


def test_a_choice_holds_for_one_call_only(stack, capsys):
    assert run(["data", "--data", "mine", "--channel", "2"]) == 0
    assert run(["data", "--data", "mine"]) == 2
    assert "choose with --channel 1 to 2" in capsys.readouterr().err


def test_a_channel_that_does_not_exist_is_named(stack, capsys):
    assert run(["data", "--data", "mine", "--channel", "3"]) == 2
    message = "error: cells.tif: has 2 channels; channel 3 does not exist\n"
    assert capsys.readouterr().err.endswith(message)


def test_a_submission_records_how_its_images_were_read(stack, weights, capsys):
    call = ["submit", "--data", "mine", "--channel", "2", "--weights", "weights", "--name", "first"]
    assert run([*call, *QUICK]) == 0
    made = SubmissionFolder(Path("submissions/first")).read_made()
    assert made["read_options"] == {"channel": 2}
    assert run(["report", "first"]) == 0
    assert run(["report", "first", "--channel", "3"]) == 2
    message = "error: cells.tif: has 2 channels; channel 3 does not exist\n"
    assert capsys.readouterr().err.endswith(message)


def test_connected_components_tell_the_nuclei_of_a_binary_mask(here, capsys):
    mask = np.zeros((30, 30), np.uint8)
    mask[2:8, 2:8] = mask[15:20, 15:20] = 255
    write_png(here / "mine" / "images" / "x.png", mask)
    write_png(here / "mine" / "masks" / "x.png", mask)
    assert run(["data", "--data", "mine"]) == 0
    said = capsys.readouterr()
    assert said.out == "images: 1 image, 1 nucleus\n"
    assert said.err.endswith(
        "warning: masks/x.png: is a binary mask with 2 connected parts, read as one nucleus; "
        "--connected-components reads each part as a nucleus\n"
    )
    assert run(["data", "--data", "mine", "--connected-components"]) == 0
    assert capsys.readouterr().out == "images: 1 image, 2 nuclei\n"


def test_submit_exports_the_nuclei_for_other_tools(data, weights, capsys):
    call = ["submit", "--weights", "weights", "--name", "first", "--export", "geojson,coco", *QUICK]
    assert run(call) == 0
    folder = Path("submissions/first/export")
    assert sorted(path.name for path in folder.iterdir()) == [
        "coco.json",
        "n2.geojson",
        "n3.geojson",
    ]
    assert "submissions/first/export: 3 files" in capsys.readouterr().out.splitlines()


def test_an_unknown_format_is_refused_before_any_work(here, capsys):
    assert run(["submit", "--export", "svg"]) == 2
    assert capsys.readouterr().err == (
        "error: unknown export format 'svg'; choose from geojson, coco, roi, ome, csv\n"
    )
