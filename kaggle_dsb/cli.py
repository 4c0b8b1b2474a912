"""The command line: parses, calls one library function, prints.

Results go to stdout and progress to stderr. Exit code 0 is done, 1 a check that failed, 2 a mistake
in the call or its input, 130 an interruption.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from rich.console import Console
from rich.table import Table

from kaggle_dsb import __version__
from kaggle_dsb.config import Settings, load_settings
from kaggle_dsb.files import InputError

if TYPE_CHECKING:
    import pandas as pd

    from kaggle_dsb.commands.data import Source
    from kaggle_dsb.commands.score import ScoreReport
    from kaggle_dsb.network.ensemble import Ensemble

app = typer.Typer(
    help="Find the nuclei: from the competition's images to a checked submission.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Data = Annotated[
    Path | None,
    typer.Option(
        help="Kaggle's zips, their folder, or a folder of images. [default: data, or demo]"
    ),
]
Work = Annotated[Path, typer.Option(help="Where caches and probabilities are kept.")]
Weights = Annotated[
    Path | None,
    typer.Option(help="Folder of trained networks. [default: the newest run, or the bundled ones]"),
]
Config = Annotated[Path | None, typer.Option(help="TOML file of settings that differ.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, repeatable.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many images of each set.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

WORK = Path("work")
SUBMISSIONS = Path("submissions")


def main() -> None:
    """Run the command line, turning every expected failure into one line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with these arguments and give its exit code."""
    try:
        result = app(args=arguments, prog_name="kaggle-dsb", standalone_mode=False)
    except InputError as error:
        return _fail(str(error), 2)
    except click.ClickException as error:
        return _fail(error.format_message().replace("\n", " "), 2)
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; nothing half-written is left, the same command goes on", 130)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Find the nuclei: from the competition's images to a checked submission."""


@app.command()
def data(
    data: Data = None,
    info: Annotated[bool, typer.Option("--info", help="Print a table of what is there.")] = False,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Check the data and prepare it for quick loading."""
    from kaggle_dsb.commands.data import open_source
    from kaggle_dsb.dataset.samples import describe
    from kaggle_dsb.dataset.types import image_type

    source = open_source(data, work=work, limit=limit)
    _announce(source)
    for name, images in source.prepared.images.items():
        print(f"{name}: {images} images, {source.prepared.nuclei[name]} nuclei")
    for summary in describe(source.cache, image_type) if info else ():
        types = [(f"type {kind}", n) for kind, n in summary.types.items()]
        shapes = [(f"size {height} x {width}", n) for (height, width), n in summary.sizes.items()]
        counts = [("images", summary.images), ("nuclei", summary.nuclei)]
        _print_table(summary.name, ["", "count"], [*counts, *types, *shapes])


@app.command()
def train(
    data: Data = None,
    name: Annotated[str, typer.Option(help="Of the run, in runs/.")] = "mine",
    fold: Annotated[list[int] | None, typer.Option(help="Only this fold, repeatable.")] = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Train a U-Net for each fold; an interrupted training goes on where it stopped."""
    settings = _settings(config, set_)
    from kaggle_dsb.commands.data import open_source
    from kaggle_dsb.commands.train import shrink, train
    from kaggle_dsb.network.ensemble import RUNS

    source = open_source(data, work=work, limit=limit)
    _announce(source)
    settings = shrink(settings, limit) if limit else settings
    for path in train(source, settings, folder=RUNS / _plain(name), folds=fold):
        print(path)
    print(f"next: kaggle-dsb validate --weights {RUNS / name}", file=sys.stderr)


@app.command()
def submit(
    data: Data = None,
    name: Annotated[str | None, typer.Option(help="Of the submission. [default: date]")] = None,
    set_name: Annotated[str | None, typer.Option(help="The set to predict.")] = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Predict the test images and write submissions/NAME/submission.csv, checked."""
    from kaggle_dsb.commands.data import open_source
    from kaggle_dsb.commands.submit import name_today, submit

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    print(f"weights: {ensemble.name}, {len(ensemble.members)} networks", file=sys.stderr)
    folder = SUBMISSIONS / ("demo" if source.is_demo else _plain(name or name_today()))
    done = submit(source, ensemble, settings, folder=folder, set_name=set_name)
    print(f"{folder / 'submission.csv'}: {done.n_images} images, {done.n_nuclei} nuclei, checked")
    if done.score:
        print(f"score: {done.score.score.mean:.4f} against {done.score.truth}")
    print(f"next: {done.advice(is_demo=source.is_demo)}")


@app.command()
def validate(
    data: Data = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    work: Work = WORK,
    save: Annotated[Path | None, typer.Option(help="Write a row an image to this CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Score every training image with the network that has not seen it."""
    from kaggle_dsb.commands.data import open_source
    from kaggle_dsb.commands.validate import validate, write_scores

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work)
    _announce(source)
    result = validate(source, ensemble, settings, work=work)
    if save:
        write_scores(save, result)
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        _print_frame(f"out-of-fold score of {ensemble.name}", result.table())


@app.command()
def score(
    predicted: Annotated[
        Path | None, typer.Argument(help="Submission CSV or folder of label images.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Solution CSV or folder of label images.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where image sizes, types and, without --truth, truth are.")
    ] = None,
    name: Annotated[str, typer.Option(help="The submission, without PREDICTED.")] = "demo",
    work: Work = WORK,
    as_json: Json = False,
) -> None:
    """Score a submission or label images as the competition does."""
    from kaggle_dsb.commands.data import open_source
    from kaggle_dsb.commands.score import score_files

    source = open_source(data, work=work) if data or not truth else None
    if source and not truth:
        _announce(source)
    path = predicted or SUBMISSIONS / _plain(name) / "submission.csv"
    report = score_files(path, truth, source=source)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _print_score(report)


def _announce(source: "Source") -> None:
    if source.is_demo:
        print(
            "demo: no data given, so this works on the package's own synthetic images",
            file=sys.stderr,
        )
    for warning in source.prepared.warnings if source.prepared.is_new else ():
        print(f"warning: {warning}", file=sys.stderr)


def _plain(name: str) -> str:
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise InputError(f"--name {name!r}: must be a plain folder name, as first-try")
    return name


def _settings(config: Path | None, overrides: list[str] | None) -> Settings:
    return load_settings(*([config] if config else []), overrides=overrides or [])


def _ensemble(
    weights: Path | None, config: Path | None, overrides: list[str] | None
) -> "tuple[Ensemble, Settings]":
    from kaggle_dsb.network.ensemble import SETTINGS_FILE, find_ensemble

    ensemble = find_ensemble(weights)
    paths = [ensemble.folder / SETTINGS_FILE, *([config] if config else [])]
    return ensemble, load_settings(*paths, overrides=overrides or [])


def _print_score(report: "ScoreReport") -> None:
    print(f"score {report.score.mean:.4f} of {report.predicted} against {report.truth}")
    thresholds = [(f"IoU > {t:.2f}", f"{v:.4f}") for t, v in _thresholds(report)]
    _print_table("mean precision by threshold", ["", "precision"], thresholds)
    types = [(kind, n, f"{mean:.4f}") for kind, (n, mean) in report.per_type().items()]
    if types:
        _print_table("by image type", ["type", "images", "score"], types)
    worst_first = sorted(report.score.images.items(), key=lambda item: item[1].score)
    images = [(id_, f"{i.score:.4f}", i.n_true, i.n_predicted) for id_, i in worst_first]
    _print_table("by image, the worst first", ["image", "score", "true", "predicted"], images)


def _thresholds(report: "ScoreReport") -> list[tuple[float, float]]:
    return [(float(t), v) for t, v in report.to_json()["per_threshold"].items()]


def _print_frame(title: str, frame: "pd.DataFrame") -> None:
    rows = [(index, *(f"{v:.4f}" for v in row)) for index, *row in frame.itertuples()]
    _print_table(title, [str(frame.index.name), *map(str, frame.columns)], rows)


def _print_table(title: str, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, row))
    # Ids of 64 characters must not be cut where the output is a file.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
