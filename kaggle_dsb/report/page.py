"""One self-contained page: the score, where it comes from, and every image to look at."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from kaggle_dsb import __version__
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, ImageScore, score_image
from kaggle_dsb.dataset.types import IMAGE_TYPES
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.report import charts
from kaggle_dsb.report.display import encode_webp, pack_labels, stretch_for_display
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, MEANINGS, OUTCOMES, Outcome, find_outcomes
from kaggle_dsb.report.scores import summarise
from kaggle_dsb.report.statistics import bootstrap_mean

_IMAGE_QUALITY, _MAP_QUALITY = 82, 60


@dataclass(frozen=True, eq=False)
class ImageResult:
    """An image with all that is known about its nuclei.

    Attributes
    ----------
    id, type : str
    image : (H, W, 3) uint8
    predicted : (H, W) int32
    truth : (H, W) int32, or None
    probability : (C, H, W) float, in [0, 1], or None
        Its first two channels are body and touching border.
    fold : int or None
        That held the image out.
    """

    id: str
    type: str
    image: NDArray[np.uint8]
    predicted: NDArray[np.int32]
    truth: NDArray[np.int32] | None = None
    probability: NDArray[np.floating] | None = None
    fold: int | None = None


@dataclass(frozen=True)
class About:
    """What the page is about and what made it.

    Attributes
    ----------
    title : str
    facts : mapping of str to str
        Shown as they are: commit, date, data ...
    settings : str
        The resolved settings, as TOML.
    """

    title: str
    facts: Mapping[str, str]
    settings: str


@dataclass(frozen=True, eq=False)
class ImageRow:
    """What the page's table says about one image; counts and score are None without truth."""

    id: str
    type: str
    fold: int | None
    size: tuple[int, int]
    n_predicted: int
    score: ImageScore | None
    counts: dict[Outcome, int] | None
    true_areas_px: NDArray[np.int64]
    predicted_areas_px: NDArray[np.int64]

    @property
    def alt(self) -> str:
        """Say in words what the picture shows."""
        place = f"{self.type}, {self.size[1]} by {self.size[0]} pixels"
        if self.score is None or self.counts is None:
            return f"{place}; {self.n_predicted} nuclei predicted"
        listed = ", ".join(f"{n} {name}" for name, n in self.counts.items() if n)
        return (
            f"{place}; score {self.score.score:.3f}; {self.score.n_true} true and "
            f"{self.n_predicted} predicted nuclei: {listed or 'none'}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        return {
            "id": self.id,
            "type": self.type,
            "fold": self.fold,
            "height": self.size[0],
            "width": self.size[1],
            "score": self.score and round(self.score.score, 4),
            "precision": self.score and self.score.precision.round(3).tolist(),
            "nTrue": self.score and self.score.n_true,
            "nPredicted": self.n_predicted,
            "counts": self.counts,
            "alt": self.alt,
        }


@dataclass
class _Content:
    """The rows, and for each the pixels as one line of JSON."""

    rows: list[ImageRow] = field(default_factory=list)
    payloads: dict[str, str] = field(default_factory=dict)


def write_page(path: Path, pictures: Iterable[ImageResult], about: About) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        Ends in ``.html``. It needs no other file and no network.
    pictures : iterable of ImageResult
        Taken one at a time.
    about : About

    Raises
    ------
    InputError
        When there is no picture.
    """
    content = _Content()
    for picture in pictures:
        row, payload = _describe(picture)
        content.rows.append(row)
        content.payloads[picture.id] = json.dumps(payload, separators=(",", ":"))
    if not content.rows:
        raise InputError(f"{path}: no image to report on; at least one is needed")
    content.rows.sort(key=lambda row: (row.score.score if row.score else 2.0, row.id))
    template = _environment().get_template("report.html.j2")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(template.generate(**_context(content, about)))


def _environment() -> jinja2.Environment:
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


def _describe(picture: ImageResult) -> tuple[ImageRow, dict[str, Any]]:
    predicted = relabel(picture.predicted)
    truth = None if picture.truth is None else relabel(picture.truth)
    outcomes = None if truth is None else find_outcomes(truth, predicted)
    of_true = (outcomes.true, outcomes.true_iou) if outcomes else None
    of_predicted = (outcomes.predicted, outcomes.predicted_iou) if outcomes else None
    row = ImageRow(
        id=picture.id,
        type=picture.type,
        fold=picture.fold,
        size=(predicted.shape[0], predicted.shape[1]),
        n_predicted=int(predicted.max()),
        score=None if truth is None else score_image(truth, predicted),
        counts=outcomes.counts() if outcomes else None,
        true_areas_px=_areas_px(truth),
        predicted_areas_px=_areas_px(predicted),
    )
    payload = {
        "image": encode_webp(stretch_for_display(picture.image), quality=_IMAGE_QUALITY),
        "predicted": _pack_side(predicted, of_predicted),
        "truth": None if truth is None else _pack_side(truth, of_true),
        **_encode_maps(picture.probability),
    }
    return row, payload


def _areas_px(labels: NDArray[np.int32] | None) -> NDArray[np.int64]:
    return np.bincount(np.ravel(labels))[1:] if labels is not None else np.zeros(0, np.int64)


def _pack_side(
    labels: NDArray[np.int32], found: tuple[dict[int, Outcome], dict[int, float]] | None
) -> dict[str, Any]:
    """Pack labels 1..N with the outcome's index and the IoU in percent of each."""
    packed = {"labels": pack_labels(labels)}
    if found is None:
        return packed | {"outcomes": None, "iou": None}
    names, iou = found
    return packed | {
        "outcomes": [OUTCOMES.index(name) for name in names.values()],
        "iou": [round(100 * value) for value in iou.values()],
    }


def _encode_maps(probability: NDArray[np.floating] | None) -> dict[str, str]:
    if probability is None:
        return {}
    levels = (255 * probability.astype(np.float32)).round().astype(np.uint8)
    return {
        name: encode_webp(level, quality=_MAP_QUALITY)
        for name, level in zip(("body", "border"), levels[:2], strict=True)
    }


def _context(content: _Content, about: About) -> dict[str, Any]:
    rows = content.rows
    types: list[str] = [kind for kind in IMAGE_TYPES if any(row.type == kind for row in rows)]
    return {
        "about": about,
        "version": __version__,
        "rows": rows,
        "rows_json": _safe_json([row.to_json() for row in rows]),
        "payloads": [Markup(_escape_script(content.payloads[row.id])) for row in rows],
        "types": types,
        "folds": sorted({row.fold for row in rows if row.fold is not None}),
        "outcomes": OUTCOMES,
        "meanings": MEANINGS,
        "colours": COLOURS,
        "letters": LETTERS,
        "n_predicted": sum(row.n_predicted for row in rows),
        "per_image": float(np.mean([row.n_predicted for row in rows])),
        "sizes": charts.chart_sizes(_areas_of(rows)),
        "median_px": _median(np.concatenate([row.predicted_areas_px for row in rows])),
        "scored": _summarise_scores(rows, types),
    }


def _median(values: NDArray[np.int64]) -> float:
    return float(np.median(values)) if values.size else 0.0


def _areas_of(rows: list[ImageRow]) -> dict[str, NDArray[np.int64]]:
    areas = {"predicted": np.concatenate([row.predicted_areas_px for row in rows])}
    if any(row.score for row in rows):
        areas = {"true": np.concatenate([row.true_areas_px for row in rows]), **areas}
    return areas


def _summarise_scores(rows: list[ImageRow], types: list[str]) -> dict[str, Any] | None:
    """Return the score with its interval, charts and tables; None where no truth is known."""
    scored = [row for row in rows if row.score]
    if not scored:
        return None
    table = pd.DataFrame(
        [{"type": r.type, "fold": r.fold, "score": r.score and r.score.score} for r in scored]
    )
    precision = np.array([row.score.precision for row in scored if row.score])
    kinds = table["type"].to_numpy()
    curves = {"all": precision.mean(axis=0).tolist()} | {
        kind: precision[kinds == kind].mean(axis=0).tolist() for kind in types if kind in kinds
    }
    per_type = summarise(table, "type").reindex([kind for kind in types if kind in kinds])
    per_fold = summarise(table, "fold") if table["fold"].notna().any() else None
    return {
        "mean": bootstrap_mean(table["score"].to_numpy(np.float64)),
        "n_images": len(scored),
        "n_true": sum(row.score.n_true for row in scored if row.score),
        "counts": _count_outcomes(scored),
        "curves": curves,
        "thresholds": [f"{percent / 100:.2f}" for percent in THRESHOLDS_PERCENT],
        "per_type": per_type,
        "per_fold": per_fold,
        "thresholds_chart": charts.chart_thresholds(curves),
        "types_chart": charts.chart_groups(per_type, "type"),
        "folds_chart": None if per_fold is None else charts.chart_groups(per_fold, "fold"),
        "scores_chart": charts.chart_scores(table["score"].to_numpy(np.float64)),
        "outcomes_chart": charts.chart_outcomes(_outcome_table(scored, types)),
    }


def _count_outcomes(rows: list[ImageRow]) -> dict[Outcome, int]:
    return {name: sum(row.counts[name] for row in rows if row.counts) for name in OUTCOMES}


def _outcome_table(rows: list[ImageRow], types: list[str]) -> pd.DataFrame:
    groups = {"all": rows} | {kind: [r for r in rows if r.type == kind] for kind in types}
    return pd.DataFrame({name: _count_outcomes(group) for name, group in groups.items()}).T


def _safe_json(value: Any) -> Markup:
    return Markup(_escape_script(json.dumps(value, separators=(",", ":"))))


def _escape_script(text: str) -> str:
    """Make JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")
