"""Tell whether a change helped: two runs, image by image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.report.scores import read_scores
from kaggle_dsb.report.statistics import Comparison, compare


@dataclass(frozen=True)
class RunComparison:
    """Run B against run A.

    Attributes
    ----------
    a, b : str
        Their files.
    overall : Comparison
    per_type : dict of str to Comparison
        By image type; empty where the files do not tell the types.
    """

    a: str
    b: str
    overall: Comparison
    per_type: dict[str, Comparison]

    def sentence(self) -> str:
        """Say in one line which run is better, and how sure that is."""
        return self.overall.sentence(self.a, self.b)

    def rows(self) -> list[tuple[str, Comparison]]:
        """Give the comparison over all images, then by type."""
        return [("all", self.overall), *self.per_type.items()]

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON's types."""
        return {
            "a": self.a,
            "b": self.b,
            "sentence": self.sentence(),
            "comparisons": {name: _to_json(one) for name, one in self.rows()},
        }


def compare_runs(a: Path, b: Path) -> RunComparison:
    """Compare the scores of two runs.

    Parameters
    ----------
    a, b : Path
        A CSV of ``validate --save``, a ``score.json``, or a folder that holds one.

    Raises
    ------
    InputError
        When one cannot be read, or they scored different images.
    """
    before, after = read_scores(a), read_scores(b)
    overall = compare(before["score"], after["score"])
    per_type = {
        str(kind): compare(group["score"], after["score"].loc[group.index])
        for kind, group in before.groupby("type")
    }
    return RunComparison(str(a), str(b), overall, per_type)


def _to_json(one: Comparison) -> dict[str, Any]:
    return {
        "images": one.n_images,
        "score_a": one.mean_a,
        "score_b": one.mean_b,
        "difference": one.difference.mean,
        "low": one.difference.low,
        "high": one.difference.high,
        "better": one.share_better,
        "worse": one.share_worse,
        "verdict": one.verdict,
    }
