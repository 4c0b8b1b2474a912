"""Results as tables on stdout."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

    from kaggle_dsb.commands.compare import RunComparison
    from kaggle_dsb.commands.diagnose import DiagnosedRun
    from kaggle_dsb.commands.score import ScoreReport
    from kaggle_dsb.commands.validate import OutOfFold
    from kaggle_dsb.dataset.samples import SetSummary
    from kaggle_dsb.report.leaderboard import Mark
    from kaggle_dsb.report.statistics import Comparison

Row = Sequence[Any]

WIDTH_OF_A_FILE = 160  # ids of 64 characters must not be cut where the output is a file


def print_table(title: str, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    print(f"\n{title}")
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        # Text, since rich takes square brackets in a plain string for markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE).print(table)


def print_frame(title: str, frame: "pd.DataFrame") -> None:
    """Print a table of scores with its index; the column ``images`` holds counts."""
    names = list(map(str, frame.columns))
    formats = ["{:.0f}" if name == "images" else "{:.4f}" for name in names]
    rows = [
        (index, *(form.format(value) for form, value in zip(formats, values, strict=True)))
        for index, *values in frame.itertuples()
    ]
    print_table(title, [str(frame.index.name), *names], rows)


def print_set(summary: "SetSummary") -> None:
    """Print what a set of images holds."""
    types = [(f"type {kind}", n) for kind, n in summary.types.items()]
    shapes = [(f"size {height} x {width}", n) for (height, width), n in summary.sizes.items()]
    counts = [("images", summary.images), ("nuclei", summary.nuclei)]
    print_table(summary.name, ["", "count"], [*counts, *types, *shapes])


def print_score(report: "ScoreReport") -> None:
    """Print a score by threshold, by image type and by image."""
    print(f"score {report.score.mean:.4f} of {report.predicted} against {report.truth}")
    thresholds = report.to_json()["per_threshold"].items()
    rows: list[Row] = [(f"IoU > {float(t):.2f}", f"{value:.4f}") for t, value in thresholds]
    print_table("mean precision by threshold", ["", "precision"], rows)
    rows = [(kind, n, f"{mean:.4f}") for kind, (n, mean) in report.per_type().items()]
    if rows:
        print_table("by image type", ["type", "images", "score"], rows)
    worst_first = sorted(report.score.images.items(), key=lambda item: item[1].score)
    rows = [(id_, f"{i.score:.4f}", i.n_true, i.n_predicted) for id_, i in worst_first]
    print_table("by image, the worst first", ["image", "score", "true", "predicted"], rows)


def print_validation(name: str, result: "OutOfFold", scores: "pd.DataFrame") -> None:
    """Print the out-of-fold score of a run by fold, image type, threshold and source."""
    from kaggle_dsb.report.scores import describe_score, tabulate
    from kaggle_dsb.report.sources import tabulate_sources

    print(f"out-of-fold score of {name}: {describe_score(result.scores)}")
    print_frame("by fold and image type", result.table())
    for title, table in tabulate(result.scores).items():
        print_frame(title, table)
    print_frame("by source", tabulate_sources(scores))


def print_diagnosis(diagnosed: "DiagnosedRun") -> None:
    """Print what the lost score was lost to, and where the pictures are."""
    print_frame("score, what was lost to what, and outlines (pixels)", diagnosed.table)
    print(*diagnosed.pictures, sep="\n")


def print_comparison(result: "RunComparison") -> None:
    """Print which run is better, over all images and by image type."""
    print(result.sentence())
    header = ["images", "n", "A", "B", "B - A", "95 %", "better", "worse"]
    rows = [(name, *_comparison_row(comparison)) for name, comparison in result.rows()]
    print_table("by image type", header, rows)


def _comparison_row(comparison: "Comparison") -> Row:
    gain = comparison.difference
    return (
        comparison.n_images,
        f"{comparison.mean_a:.4f}",
        f"{comparison.mean_b:.4f}",
        f"{gain.mean:+.4f}",
        f"{gain.low:+.4f} to {gain.high:+.4f}",
        f"{comparison.share_better:.0%}",
        f"{comparison.share_worse:.0%}",
    )


def print_boards(boards: Mapping[str, Sequence[tuple[int | None, "Mark"]]]) -> None:
    """Print each leaderboard; an arrow marks one's own submissions."""
    for board, marks in boards.items():
        rows = [
            (
                f"{'→' if mark.is_own else ' '}  {mark.name}",
                rank or "",
                f"{mark.score:.4f}",
                mark.date,
                mark.source,
            )
            for rank, mark in marks
        ]
        print_table(board, ["   name", "rank", "score", "date", "source"], rows)
