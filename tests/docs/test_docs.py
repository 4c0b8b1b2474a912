"""The documents that are made from the code, or run."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_interface_says_what_the_docstrings_say():
    page = runpy.run_path(str(DOCS / "write_api.py"))["render"]()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == page, "run `make docs`"


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
