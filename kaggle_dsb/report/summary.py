"""Summary of a page's images: score, outcomes and sizes, with charts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT
from kaggle_dsb.dataset.types import IMAGE_TYPES
from kaggle_dsb.report import charts
from kaggle_dsb.report.outcomes import OUTCOMES, Outcome
from kaggle_dsb.report.results import ImageRow
from kaggle_dsb.report.scores import summarise_groups
from kaggle_dsb.report.statistics import Comparison, Interval, bootstrap_mean, compare_scores


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary of all images of a page.

    Attributes
    ----------
    types : list of str
        Image types present, in the order of `IMAGE_TYPES`.
    folds : list of int
    n_predicted : int
    per_image : float
        Mean number of predicted nuclei per image.
    median_px : float
        Median area of predicted nuclei.
    sizes_chart : Markup
    scored : ScoreSummary or None
        None without ground truth.
    comparison : Comparison or None
        With the baseline.
    """

    types: list[str]
    folds: list[int]
    n_predicted: int
    per_image: float
    median_px: float
    sizes_chart: Markup
    scored: "ScoreSummary | None"
    comparison: Comparison | None


@dataclass(frozen=True, eq=False)
class ScoreSummary:
    """Scores of the images with ground truth.

    Attributes
    ----------
    mean : Interval
    n_images, n_true : int
    counts : dict of Outcome to int
    precision : dict of str to list of float
        Mean precision at each threshold, for ``all`` and each image type.
    thresholds : list of str
    tables : dict of str to DataFrame
        Scores by ``type`` and, if known, by ``fold``.
    charts : dict of str to Markup
        By caption.
    """

    mean: Interval
    n_images: int
    n_true: int
    counts: dict[Outcome, int]
    precision: dict[str, list[float]]
    thresholds: list[str]
    tables: dict[str, pd.DataFrame]
    charts: dict[str, Markup]


def summarise_rows(rows: Sequence[ImageRow]) -> Summary:
    """Summarise one or more rows of a page."""
    predicted_px = np.concatenate([row.predicted_areas_px for row in rows])
    areas_px = {"predicted": predicted_px}
    if any(row.score for row in rows):
        areas_px = {"true": np.concatenate([row.true_areas_px for row in rows]), **areas_px}
    return Summary(
        types=[kind for kind in IMAGE_TYPES if any(row.type == kind for row in rows)],
        folds=sorted({row.fold for row in rows if row.fold is not None}),
        n_predicted=len(predicted_px),
        per_image=len(predicted_px) / len(rows),
        median_px=float(np.median(predicted_px)) if predicted_px.size else 0.0,
        sizes_chart=charts.chart_sizes(areas_px),
        scored=_summarise_scores([row for row in rows if row.score]),
        comparison=_compare_with_baseline(rows),
    )


def _summarise_scores(rows: list[ImageRow]) -> ScoreSummary | None:
    if not rows:
        return None
    table = _tabulate(rows)
    kinds = [kind for kind in IMAGE_TYPES if (table["type"] == kind).any()]
    tables = {"type": summarise_groups(table, "type").reindex(kinds)}
    if table["fold"].notna().any():
        tables["fold"] = summarise_groups(table, "fold")
    precision = _mean_precision(rows, kinds)
    counts = {"all": _count_outcomes(rows)} | {
        kind: _count_outcomes([row for row in rows if row.type == kind]) for kind in kinds
    }
    scores = table["score"].to_numpy(np.float64)
    return ScoreSummary(
        mean=bootstrap_mean(scores),
        n_images=len(rows),
        n_true=sum(row.score.n_true for row in rows if row.score),
        counts=counts["all"],
        precision=precision,
        thresholds=[f"{percent / 100:.2f}" for percent in THRESHOLDS_PERCENT],
        tables=tables,
        charts=_draw_charts(precision, tables, pd.DataFrame(counts).T, scores),
    )


def _draw_charts(
    precision: dict[str, list[float]],
    tables: dict[str, pd.DataFrame],
    counts: pd.DataFrame,
    scores: NDArray[np.float64],
) -> dict[str, Markup]:
    """Return the charts by caption, in display order."""
    by_group = {
        f"Score by {'image type' if by == 'type' else by}, 95 % CI": charts.chart_groups(groups, by)
        for by, groups in tables.items()
    }
    return {
        "Precision by IoU threshold": charts.chart_thresholds(precision),
        **by_group,
        "Nuclei by outcome": charts.chart_outcomes(counts),
        "Images by score": charts.chart_scores(scores),
    }


def _tabulate(rows: list[ImageRow]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"type": row.type, "fold": row.fold, "score": row.score.score}
            for row in rows
            if row.score
        ]
    )


def _mean_precision(rows: list[ImageRow], kinds: Sequence[str]) -> dict[str, list[float]]:
    precision = np.array([row.score.precision for row in rows if row.score])
    types = np.array([row.type for row in rows])
    chosen: dict[str, NDArray[np.bool_]] = {"all": np.ones(len(rows), bool)}
    chosen |= {kind: types == kind for kind in kinds}
    return {name: precision[which].mean(axis=0).tolist() for name, which in chosen.items()}


def _count_outcomes(rows: list[ImageRow]) -> dict[Outcome, int]:
    return {name: sum(row.counts[name] for row in rows if row.counts) for name in OUTCOMES}


def _compare_with_baseline(rows: Sequence[ImageRow]) -> Comparison | None:
    """Compare the scores with the baseline's; None if no image has both."""
    changes = {
        row.id: (row.change.baseline_score, row.score.score)
        for row in rows
        if row.score and row.change and row.change.baseline_score is not None
    }
    if not changes:
        return None
    table = pd.DataFrame.from_dict(changes, orient="index", columns=["baseline", "score"])
    return compare_scores(table["baseline"], table["score"])
