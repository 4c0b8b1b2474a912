"""Scores by the source of images, and their mean: how well a run generalises."""

from typing import Any

import pandas as pd

GENERALISATION = "generalisation"


def generalisation(scores: pd.DataFrame) -> float:
    """Return the mean over sources of the mean score of each source's images.

    Parameters
    ----------
    scores : DataFrame
        A row an image: ``source, score``.

    Notes
    -----
    Each source counts alike, so that hundreds of images that look alike do not outvote the rest.

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
        A row an image: ``source, kind, score``.

    Returns
    -------
    DataFrame
        ``images, score``; indexed by the source, and by source and kind where it has several.
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
    """Return what `tabulate_sources` does as JSON's types."""
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
