"""The notebooks beside the scripts hold the same cells."""

import json
from pathlib import Path

import pytest

from kaggle_dsb.publish.kernel import KERNELS
from kernels.to_notebooks import to_notebook

FOLDER = Path(__file__).parents[2] / "kernels"


@pytest.mark.parametrize("name", KERNELS)
def test_a_notebook_is_what_would_be_made_of_its_script(name: str) -> None:
    script = FOLDER / name / f"{name}.py"
    assert script.with_suffix(".ipynb").read_text() == to_notebook(script)


@pytest.mark.parametrize("name", KERNELS)
def test_a_notebook_tells_first_what_it_does_and_shows_its_pictures(name: str) -> None:
    cells = json.loads((FOLDER / name / f"{name}.ipynb").read_text())["cells"]
    assert [cell["cell_type"] for cell in cells[:2]] == ["markdown", "code"]
    assert "IPython.display" in "".join(cells[-1]["source"])


@pytest.mark.parametrize("function", ["find", "require", "install", "count_gpus"])
def test_what_both_scripts_need_reads_the_same_in_both(function: str) -> None:
    texts = [(FOLDER / name / f"{name}.py").read_text() for name in KERNELS]
    bodies = [text.partition(f"def {function}(")[2].partition("\n\n\n")[0] for text in texts]
    assert bodies[0] != ""
    assert bodies[0].replace("\n    importlib.invalidate_caches()", "") == bodies[1]
