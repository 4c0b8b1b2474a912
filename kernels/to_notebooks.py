"""Write each kernel's script as a notebook beside it: ``python kernels/to_notebooks.py``."""

from pathlib import Path

import jupytext

KERNELS = Path(__file__).parent
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def to_notebook(script: Path) -> str:
    """Return a script in cells, which ``# %%`` begins, as the text of a notebook."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = METADATA
    notebook.nbformat_minor = 4  # cells of later versions have random ids
    for cell in notebook.cells:
        cell.pop("id", None)
    return jupytext.writes(notebook, fmt="ipynb")


if __name__ == "__main__":
    for script in sorted(KERNELS.glob("*/*.py")):
        script.with_suffix(".ipynb").write_text(to_notebook(script), encoding="utf-8")
