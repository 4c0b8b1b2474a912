"""The self-contained HTML report: scores, their breakdown, and a viewer of all images."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kaggle_dsb import __version__
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.report.display import DISPLAY_GAMMA
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, MEANINGS, OUTCOMES
from kaggle_dsb.report.results import ImageEntry, ImageResult, ImageRow, describe_result
from kaggle_dsb.report.summary import summarise_rows


@dataclass(frozen=True)
class About:
    """Title and provenance of a page.

    Attributes
    ----------
    title : str
    facts : mapping of str to str
        Shown verbatim: commit, date, data ...
    settings : str
        The resolved settings, as TOML.
    baseline : str, optional
        The name of what the predictions are compared with.
    """

    title: str
    facts: Mapping[str, str]
    settings: str
    baseline: str | None = None


@dataclass(frozen=True, eq=False)
class _PackedEntry:
    """An entry whose payload is already serialized to JSON, which takes less memory."""

    row: ImageRow
    thumbnails: dict[str, str]
    payload: Markup


def write_page(path: Path, results: Iterable[ImageResult], about: About) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        Ends in ``.html``. The page needs no other files and no network access.
    results : iterable of ImageResult
        Consumed one at a time.
    about : About

    Raises
    ------
    InputError
        When there is no image.
    """
    entries = [_pack_entry(describe_result(result)) for result in results]
    if not entries:
        raise InputError(f"{path}: no images to report on; at least one is needed")
    entries.sort(key=lambda entry: (_score_of(entry.row), entry.row.id))
    template = _open_templates().get_template("report.html.j2")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(template.generate(**_context(entries, about)))


def _score_of(row: ImageRow) -> float:
    """Return a sort key that puts the worst score first, and images without a score last."""
    return row.score.score if row.score else 2.0


def _pack_entry(entry: ImageEntry) -> _PackedEntry:
    return _PackedEntry(entry.row, entry.thumbnails, _to_script(entry.payload))


def _open_templates() -> jinja2.Environment:
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["include_raw"] = lambda name: Markup((folder / name).read_text("utf-8"))
    return environment


def _context(entries: list[_PackedEntry], about: About) -> dict[str, Any]:
    rows = [entry.row for entry in entries]
    script = {
        "rows": [row.to_json() for row in rows],
        "outcomes": OUTCOMES,
        "letters": [LETTERS[name] for name in OUTCOMES],
        "gamma": DISPLAY_GAMMA,
    }
    return {
        "about": about,
        "version": __version__,
        "entries": entries,
        "summary": summarise_rows(rows),
        "page_json": _to_script(script),
        "outcomes": OUTCOMES,
        "meanings": MEANINGS,
        "colours": COLOURS,
        "letters": LETTERS,
    }


def _to_script(value: Any) -> Markup:
    """Serialize to JSON that cannot close the script element containing it."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))
