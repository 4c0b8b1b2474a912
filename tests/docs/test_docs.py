"""The documents that are made from the code, run, or tell of it."""

import importlib
import re
import runpy
from operator import attrgetter
from pathlib import Path

import pytest

from kaggle_dsb.cli import app
from tests.test_architecture import MODULES, PACKAGE, ROOMS_IT_MAY_IMPORT

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_interface_says_what_the_docstrings_say():
    page = runpy.run_path(str(DOCS / "write_api.py"))["render"]()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == page, "run `make docs`"


@pytest.mark.slow
def test_the_python_code_of_the_readme_runs(small_demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    page = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    for block in blocks:
        exec(block, {})
    assert 0.5 < float(capsys.readouterr().out) <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.slow
# What Jupyter's own packages warn of is not ours to mend.
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    notebook = nbformat.read(DOCS / "segment.ipynb", as_version=4)
    client.NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = [
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    ]
    assert printed[-1] == "1.0\n"
    assert not list(tmp_path.iterdir())


def rows_of(page: str) -> list[list[str]]:
    """List the cells of every table in a page of Markdown."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]


def test_each_station_on_the_way_to_the_csv_is_a_function_that_exists():
    stations = [cells for cells in rows_of("architecture.md") if cells[0].isdecimal()]
    assert [cells[0] for cells in stations] == [str(number) for number in range(1, 12)]
    for _, _, file, function in stations:
        module = importlib.import_module(file.strip("`").removesuffix(".py").replace("/", "."))
        assert callable(attrgetter(function.strip("`"))(module))


def test_the_architecture_says_who_needs_each_verb_and_what_each_room_is_for():
    names = {
        name for cells in rows_of("architecture.md") for name in re.findall("`(.+?)`", cells[0])
    }
    assert {command.name for command in app.registered_commands} <= names
    rooms = {
        name for name in ROOMS_IT_MAY_IMPORT if not name.startswith("__") and name != "aliases"
    }
    assert rooms == {
        re.sub(r"/|\.py", "", name) for name in names if re.search(r"^\w+(/|\.py)$", name)
    }


def test_the_architecture_names_every_module():
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    modules = {path.stem for path in MODULES if path.parent.name not in {PACKAGE.name, "commands"}}
    assert modules - {"__init__"} - set(re.findall(r"\w+", page)) == set()
