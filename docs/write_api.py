"""Write docs/api.md from the docstrings of the Python interface; `make docs` runs it."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kaggle_dsb

OUTPUT = Path(__file__).parent / "api.md"
INTRODUCTION = """\
# Python interface

    import kaggle_dsb as dsb

    labels = dsb.segment(image)

Images and label images are numpy arrays; importing the package loads nothing, the first
`dsb.segment` loads the networks. What cannot be used raises `dsb.InputError`, a `ValueError` with a
message of one line. The types are in the package (`py.typed`). Words are those of the
[glossary](glossary.md), and [segment.ipynb](segment.ipynb) shows the functions at work.

This page is made from the docstrings by `make docs`.
"""
SECTIONS = re.compile(r"^(\w+)\n-+\n", re.MULTILINE)
LITERAL = re.compile(r"(?<!`)``(?!`)")  # reStructuredText's ``literal``, not Markdown's fence
LISTED = {"Attributes", "Parameters", "Returns", "Raises"}


def render() -> str:
    """Return the page."""
    public = [getattr(kaggle_dsb, name) for name in sorted(kaggle_dsb.__all__, key=str.lower)]
    return "\n".join([INTRODUCTION, *map(_render_definition, public)])


def _render_definition(definition: Any) -> str:
    name = definition.__name__
    if not isinstance(definition, type):
        parameters = inspect.signature(definition).parameters.values()
        bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        name += str(inspect.Signature(bare))
    summary, *sections = SECTIONS.split(inspect.getdoc(definition) or "")
    parts = [f"## `{name}`", summary.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        parts += [f"**{title}**", "\n".join(_render_section(title, body.strip("\n")))]
    return LITERAL.sub("`", "\n\n".join(parts)) + "\n"


def _render_section(title: str, body: str) -> Iterator[str]:
    if title == "Examples":
        yield from ["```python", body.strip(), "```"]
    elif title in LISTED:
        lines = body.splitlines()
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            is_explained = following.startswith("    ")
            yield line[2:] if line.startswith("    ") else f"- `{line}`{':' * is_explained}"
    else:
        yield body


if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
