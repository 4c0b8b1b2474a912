"""Print results as tables on stdout."""

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

    from kaggle_dsb.commands.compare import RunComparison
    from kaggle_dsb.commands.diagnose import DiagnosedRun
    from kaggle_dsb.commands.score import ScoreReport
    from kaggle_dsb.commands.tune import Tuned
    from kaggle_dsb.commands.validate import Validation
    from kaggle_dsb.report.leaderboard import Mark
    from kaggle_dsb.report.statistics import Comparison
    from kaggle_dsb.workspace.run import Run
    from kaggle_dsb.workspace.source import Source

Row = Sequence[Any]

WIDTH_OF_A_FILE = 160  # so that ids of 64 characters are not truncated in files


def print_table(title: str, header: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table, the first column left-aligned, the others right-aligned."""
    print(f"\n{title}")
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        # As Text, since rich interprets square brackets in strings as markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE).print(table)


def print_frame(
    title: str, frame: "pd.DataFrame", *, counts: Collection[str] = ("images",)
) -> None:
    """Print a table of scores with its index; the columns ``counts`` hold whole numbers."""
    names = list(map(str, frame.columns))
    formats = ["{:.0f}" if name in counts else "{:.4f}" for name in names]
    rows = [
        (index, *(form.format(value) for form, value in zip(formats, values, strict=True)))
        for index, *values in frame.itertuples()
    ]
    print_table(title, [str(frame.index.name), *names], rows)


def print_json(content: Any) -> None:
    """Print a JSON-serializable value."""
    print(json.dumps(content, indent=2))


def print_sets(source: "Source") -> None:
    """Print the counts, types and sizes of images in each set, and the groups for training."""
    from kaggle_dsb.dataset.samples import describe
    from kaggle_dsb.dataset.types import image_type
    from kaggle_dsb.training.sources import load_sources
    from kaggle_dsb.workspace.source import list_train_sets

    for summary in describe(source.cache, image_type):
        types = [(f"type {kind}", n) for kind, n in summary.types.items()]
        shapes = [(f"size {height} x {width}", n) for (height, width), n in summary.sizes.items()]
        is_annotated = source.prepared.is_annotated(summary.name)
        nuclei = summary.nuclei if is_annotated else "no annotations"
        counts = [("images", summary.images), ("nuclei", nuclei)]
        print_table(summary.name, ["", "count"], [*counts, *types, *shapes])
    train_sets = list_train_sets(source)
    if len(train_sets) > 1:
        print(f"\nto train on, one by one, with --data and --extra: {', '.join(train_sets)}")
    elif train_sets:
        # Shown at once, since grouping hundreds of images by their pixels takes a while.
        print("\ngroups of images that share a fold: ", end="", flush=True)
        (labelled,) = load_sources(source)
        print(labelled.describe_groups())


def print_tuned(run: "Run", tuned: "Tuned") -> None:
    """Print the tuned settings of a run, and its scores by source and generalisation."""
    table, chosen = tuned.table(), tuned.settings.instances
    print_frame("score of each source, tuned on the others", table)
    print_table("chosen", ["instances", "value"], chosen.model_dump().items())
    way = "scorer" if chosen.candidate_scorer else "watershed"
    generalisation = table.loc["generalisation"]
    print(f"{run.folder}: tuned; generalisation score {generalisation[way]:.4f} with the {way}")


def print_score(report: "ScoreReport") -> None:
    """Print a score by threshold, by image type and by image."""
    print(f"score {report.score.mean:.4f} of {report.predicted} against {report.truth}")
    thresholds = report.to_json()["per_threshold"].items()
    rows: list[Row] = [(f"IoU > {float(t):.2f}", f"{value:.4f}") for t, value in thresholds]
    print_table("mean precision by IoU threshold", ["", "precision"], rows)
    rows = [(kind, n, f"{mean:.4f}") for kind, (n, mean) in report.per_type().items()]
    if rows:
        print_table("by image type", ["type", "images", "score"], rows)
    worst_first = sorted(report.score.images.items(), key=lambda item: item[1].score)
    rows = [(id_, f"{i.score:.4f}", i.n_true, i.n_predicted) for id_, i in worst_first]
    print_table("by image, worst first", ["image", "score", "true", "predicted"], rows)


def print_validation(validation: "Validation") -> None:
    """Print the out-of-fold score of a run by fold, image type, threshold and source."""
    from kaggle_dsb.report.scores import describe_score, tabulate
    from kaggle_dsb.report.sources import tabulate_sources

    own = validation.main
    name = validation.run.name
    if validation.was_trained_on_main:
        print(f"out-of-fold score of {name}: {describe_score(own.scores)}")
        print_frame("by fold and image type", own.table())
    else:
        print(f"score of {name} on images it was not trained on: {describe_score(own.scores)}")
    for title, table in tabulate(own.scores).items():
        print_frame(title, table)
    print_frame("by source", tabulate_sources(validation.scores))


def print_disturbed(table: "pd.DataFrame", *, as_json: bool) -> None:
    """Print the score under each disturbance, as a table or as JSON."""
    from kaggle_dsb.report.scores import to_records

    if as_json:
        print_json(to_records(table))
    else:
        print_frame("score by disturbance", table, counts=())  # a source may be named images


def print_diagnosis(diagnosed: "DiagnosedRun") -> None:
    """Print the loss by kind of error, and the paths of the figures."""
    print_frame("score, loss by type of error, and outline offset (px)", diagnosed.table)
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
    """Print each leaderboard; ``>`` marks the user's own submissions."""
    for board, marks in boards.items():
        rows = [
            (
                f"{'>' if mark.is_own else ' '}  {mark.name}",
                rank or "",
                f"{mark.score:.4f}",
                mark.date,
                mark.source,
            )
            for rank, mark in marks
        ]
        print_table(board, ["   name", "rank", "score", "date", "source"], rows)
