"""Scores by image source, and their mean as a measure of generalisation."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kaggle_dsb.files import replacing
from kaggle_dsb.report.scores import read_columns
from kaggle_dsb.report.style import STYLE

GENERALISATION = "generalisation"
SOURCE_COLUMNS = ["source", "kind", "score"]


def read_sources(path: Path) -> pd.DataFrame:
    """Read the source and score of each image.

    Parameters
    ----------
    path : Path
        The CSV of ``kaggle-dsb validate --save``.

    Returns
    -------
    DataFrame
        One row per image: ``source, kind, score``; indexed as by
        `kaggle_dsb.report.scores.read_scores`.

    Raises
    ------
    InputError
        When the file cannot be read, or lacks one of the columns.
    """
    return read_columns(path, SOURCE_COLUMNS)


def generalisation(scores: pd.DataFrame) -> float:
    """Return the mean over sources of the mean score of each source's images.

    Parameters
    ----------
    scores : DataFrame
        One row per image: ``source, score``.

    Notes
    -----
    All sources have equal weight, so that a source of hundreds of similar images does not dominate.

    Examples
    --------
    >>> generalisation(pd.DataFrame({"source": ["a", "a", "b"], "score": [0.1, 0.3, 0.8]}))
    0.5
    """
    return float(scores.groupby("source")["score"].mean().mean())


def tabulate_sources(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean score of each source and of each of its kinds, and the generalisation.

    Parameters
    ----------
    scores : DataFrame
        One row per image: ``source, kind, score``.

    Returns
    -------
    DataFrame
        ``images, score``; indexed by source, and by ``source: kind`` if it has several kinds. The
        last row is the generalisation.
    """
    rows: dict[str, tuple[int, float]] = {}
    for source, of_source in scores.groupby("source"):
        rows[str(source)] = len(of_source), of_source["score"].mean()
        if of_source["kind"].nunique() > 1:
            for kind, of_kind in of_source.groupby("kind"):
                rows[f"{source}: {kind}"] = len(of_kind), of_kind["score"].mean()
    rows[GENERALISATION] = len(scores), generalisation(scores)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["images", "score"])
    return table.rename_axis("source")


def summarise_sources(scores: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of `tabulate_sources`, JSON-serializable."""
    sources = {
        str(source): {
            "images": len(of_source),
            "score": float(of_source["score"].mean()),
            "kinds": {
                str(kind): {"images": len(of_kind), "score": float(of_kind["score"].mean())}
                for kind, of_kind in of_source.groupby("kind")
            },
        }
        for source, of_source in scores.groupby("source")
    }
    return {GENERALISATION: generalisation(scores), "sources": sources}


def draw_sources(path: Path, scores: pd.DataFrame, *, baseline: pd.DataFrame | None = None) -> None:
    """Plot the mean score of each source and kind as a dot, beside that of a baseline.

    Parameters
    ----------
    path : Path
        The image file; its suffix determines the format.
    scores, baseline : DataFrame
        As for `tabulate_sources`. Sources missing from the baseline get one dot.
    """
    table = tabulate_sources(scores)
    baseline_scores = (
        None if baseline is None else tabulate_sources(baseline).reindex(table.index)["score"]
    )
    places = np.arange(len(table))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.4 + 0.32 * len(table)), layout="constrained")
        axes = figure.subplots()
        if baseline_scores is not None:
            axes.hlines(places, baseline_scores, table["score"], color="#55616e", lw=2.5)
            axes.scatter(
                baseline_scores, places, s=60, fc="white", ec="#55616e", label="before", zorder=3
            )
        axes.scatter(table["score"], places, s=60, color="#0072b2", label="after", zorder=4)
        if baseline_scores is not None:
            figure.legend(loc="outside upper right", ncols=2)
        for place, score in zip(places, table["score"], strict=True):
            axes.text(1.01, float(place), f"{score:.3f}", va="center")
        axes.set_yticks(places, [f"{n} ({i:.0f})" for n, i in table["images"].items()])
        axes.get_yticklabels()[-1].set_fontweight("bold")
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.set_xlabel("mean score (number of images in parentheses)")
        with replacing(path) as temporary:
            figure.savefig(temporary)
