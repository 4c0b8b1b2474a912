"""Compare two runs image by image, to see whether a change helped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.files import InputError
from kaggle_dsb.report.scores import read_scores
from kaggle_dsb.report.sources import draw_sources, read_sources
from kaggle_dsb.report.statistics import Comparison, compare_scores


@dataclass(frozen=True)
class RunComparison:
    """The comparison of run B with run A.

    Attributes
    ----------
    a, b : str
        Their files.
    overall : Comparison
    per_type : dict of str to Comparison
        By image type; empty if the files do not hold the types.
    """

    a: str
    b: str
    overall: Comparison
    per_type: dict[str, Comparison]

    def sentence(self) -> str:
        """Return one line that says which run is better, and how certain that is."""
        return self.overall.sentence(self.a, self.b)

    def rows(self) -> list[tuple[str, Comparison]]:
        """Return the comparison over all images, then by type."""
        return [("all", self.overall), *self.per_type.items()]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "a": self.a,
            "b": self.b,
            "sentence": self.sentence(),
            "comparisons": {name: _to_json(comparison) for name, comparison in self.rows()},
        }


def compare_runs(a: Path, b: Path, *, only_common: bool = False) -> RunComparison:
    """Compare the scores of two runs.

    Parameters
    ----------
    a, b : Path
        A CSV of ``validate --save``, a ``score.json``, or a folder that holds one.
    only_common : bool
        Leave out the images that only one of them scored, as after a quick trial on one fold.

    Raises
    ------
    InputError
        When one cannot be read, or they scored different images or, with ``only_common``, have no
        image in common.
    """
    scores_a, scores_b = read_scores(a), read_scores(b)
    if only_common:
        common = scores_a.index.intersection(scores_b.index)
        if common.empty:
            raise InputError(f"{a} and {b} have no images in common; score both on the same images")
        scores_a, scores_b = scores_a.loc[common], scores_b.loc[common]
    overall = compare_scores(scores_a["score"], scores_b["score"])
    per_type = {
        str(kind): compare_scores(group["score"], scores_b["score"].loc[group.index])
        for kind, group in scores_a.groupby("type")
    }
    return RunComparison(str(a), str(b), overall, per_type)


def draw_comparison(path: Path, a: Path, b: Path, *, only_common: bool = False) -> None:
    """Draw the scores of two runs by source, with A as the baseline.

    Parameters
    ----------
    path : Path
        The picture; its suffix determines the format.
    a, b : Path
        Each a CSV of ``validate --save``: only that holds the sources.
    only_common : bool
        As `compare_runs` takes it.

    Raises
    ------
    InputError
        When one of them does not hold the sources.
    """
    before, after = read_sources(a), read_sources(b)
    if only_common:
        before = before[before.index.isin(after.index)]
        # The kinds of image are named by their numbers, which are smaller in a part.
        after = before.assign(score=after["score"])
    draw_sources(path, after, baseline=before)


def _to_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "images": comparison.n_images,
        "score_a": comparison.mean_a,
        "score_b": comparison.mean_b,
        "difference": comparison.difference.mean,
        "low": comparison.difference.low,
        "high": comparison.difference.high,
        "better": comparison.share_better,
        "worse": comparison.share_worse,
        "verdict": comparison.verdict,
    }
