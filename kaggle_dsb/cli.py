"""The command line: parses, calls one library function, prints.

Results go to stdout and progress to stderr. Exit code 0 is done, 1 a check that failed, 2 a mistake
in the call or its input, 130 an interruption.
"""

import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kaggle_dsb import __version__
from kaggle_dsb.config import Settings, load_settings
from kaggle_dsb.files import InputError

if TYPE_CHECKING:
    import pandas as pd

    from kaggle_dsb.commands.score import ScoreReport
    from kaggle_dsb.report.statistics import Comparison
    from kaggle_dsb.workspace.run import Run
    from kaggle_dsb.workspace.source import Source

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
Folds = Annotated[
    Path | None, typer.Option(help="Table of folds, as runs/NAME/folds.csv. [default: split anew]")
]
Origin = Literal["auto", "kaggle", "broad"]
Hardware = Literal["gpu", "cpu"]

# The error of every wrong call, of whichever copy of click typer brings along.
CallError: type[Any] = typer.BadParameter.__bases__[0]

INTERRUPTED = 130
WORK = Path("work")
SUBMISSIONS = Path("submissions")
PICTURES = Path("pictures")
FAST = ("prediction.tta=none",)


def main() -> None:
    """Run the command line, turning every expected failure into one line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with these arguments and give its exit code."""
    try:
        result = app(args=arguments, prog_name="kaggle-dsb", standalone_mode=False)
        if result == INTERRUPTED:  # what typer makes of Ctrl+C
            raise KeyboardInterrupt
    except InputError as error:
        return _fail(str(error), 2)
    except CallError as error:
        return _fail(error.format_message().replace("\n", " "), 2)
    except OSError as error:
        hint = "; free some and give the same command again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}{hint}", 1)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(
            "interrupted; nothing half-written is left, the same command goes on", INTERRUPTED
        )
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
    from kaggle_dsb.dataset.samples import describe
    from kaggle_dsb.dataset.types import image_type
    from kaggle_dsb.workspace.source import open_source

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
    from kaggle_dsb.commands.train import shrink, train
    from kaggle_dsb.workspace.run import RUNS
    from kaggle_dsb.workspace.source import open_source

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
    keep_probabilities: Annotated[
        bool, typer.Option("--keep-probabilities", help="Keep them for the report to show.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="One network, no rotations: a fifth of the time.")
    ] = False,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Predict the test images and write submissions/NAME/submission.csv, checked."""
    from kaggle_dsb.commands.submit import name_today, submit
    from kaggle_dsb.workspace.source import open_source

    ensemble, settings = _ensemble(weights, config, [*FAST, *(set_ or [])] if fast else set_)
    ensemble = ensemble.fast() if fast else ensemble
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    print(f"weights: {ensemble.name}, {len(ensemble.networks)} networks", file=sys.stderr)
    folder = SUBMISSIONS / ("demo" if source.is_demo else _plain(name or name_today()))
    done = submit(
        source,
        ensemble,
        settings,
        folder=folder,
        set_name=set_name,
        keeps_probabilities=keep_probabilities,
    )
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
    limit: Limit = None,
    work: Work = WORK,
    save: Annotated[Path | None, typer.Option(help="Write a row an image to this CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Score every training image with the network that has not seen it."""
    from kaggle_dsb.commands.validate import validate, write_scores, write_validation
    from kaggle_dsb.workspace.source import open_source

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    result = validate(source, ensemble, settings, work=work)
    if save:
        write_scores(save, result)
    if ensemble.name != "bundled" and not (limit or config or set_):
        write_validation(ensemble, result)
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        from kaggle_dsb.report.scores import describe_score, tabulate

        print(f"out-of-fold score of {ensemble.name}: {describe_score(result.scores)}")
        _print_frame("by fold and image type", result.table())
        for title, table in tabulate(result.scores).items():
            _print_frame(title, table)


@app.command()
def tune(
    data: Data = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    trials: Annotated[int, typer.Option(min=1, help="How many plain splits to try.")] = 24,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Tune how probabilities become nuclei, and grow the second level, both nested by fold."""
    from kaggle_dsb.commands.tune import tune
    from kaggle_dsb.workspace.source import open_source

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    tuned = tune(source, ensemble, settings, work=work, n_trials=trials)
    _print_frame("nested score, of the images that all were tried on", tuned.table())
    chosen = tuned.settings.instances.model_dump()
    _print_table("chosen", ["instances", "value"], list(chosen.items()))
    print(f"{ensemble.folder}: tuned; nested score {tuned.scores['second level'].mean():.4f}")


@app.command()
def diagnose(
    data: Data = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    worst: Annotated[int, typer.Option(min=0, help="Draw so many of the worst images.")] = 8,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Say where the out-of-fold score goes: missed, invented, merged, split, or outlines."""
    from kaggle_dsb.commands.diagnose import diagnose_run
    from kaggle_dsb.workspace.source import open_source

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    run = diagnose_run(source, ensemble, settings, work=work, output=output, n_worst=worst)
    _print_frame("score, what was lost to what, and outlines (pixels)", run.table)
    print(*run.pictures, sep="\n")


@app.command()
def robustness(
    data: Data = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    every: Annotated[int, typer.Option(min=1, help="Only each so many-th image.")] = 1,
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Score held-out images that are rescaled, inverted, darkened, blurred, noisy or recoloured."""
    from kaggle_dsb.commands.robustness import score_disturbed
    from kaggle_dsb.workspace.source import open_source

    ensemble, settings = _ensemble(weights, config, set_)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    _print_frame("out-of-fold score", score_disturbed(source, ensemble, settings, every=every))


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="Of the variation's run, in runs/.")],
    set_: Annotated[
        list[str], typer.Option("--set", help="What differs: section.key=value, repeatable.")
    ],
    data: Data = None,
    against: Weights = None,
    both: Annotated[
        list[str] | None, typer.Option(help="What is set for both: section.key=value, repeatable.")
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option(help="Only this fold, repeatable: a quick look.")
    ] = None,
    log: Annotated[Path, typer.Option(help="Gets the row.")] = Path("docs/experiments.md"),
    limit: Limit = None,
    work: Work = WORK,
) -> None:
    """Try a variation against a standing run, and add a row to the log of experiments."""
    from kaggle_dsb.commands.experiment import Variation, append_trial, try_variation
    from kaggle_dsb.workspace.run import RUNS, find_run
    from kaggle_dsb.workspace.source import open_source

    standing = find_run(against)
    source = open_source(data, work=work, limit=limit)
    _announce(source)
    trial = try_variation(
        source,
        standing,
        Variation(set_, both or ()),
        folder=RUNS / _plain(name),
        folds=fold or list(standing.members),
        work=work,
    )
    append_trial(log, trial)
    print(trial.comparison.sentence(standing.name, name))
    print(f"{log}: one row more")


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
    from kaggle_dsb.commands.score import score_files
    from kaggle_dsb.workspace.source import open_source

    source = open_source(data, work=work) if data or not truth else None
    if source and not truth:
        _announce(source)
    path = predicted or SUBMISSIONS / _plain(name) / "submission.csv"
    report = score_files(path, truth, source=source)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _print_score(report)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="CSV of validate --save, or score.json, of run A.")],
    b: Annotated[Path, typer.Argument(help="The same of run B.")],
    common: Annotated[
        bool, typer.Option("--common", help="Leave out images that only one of them scored.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell whether run B is better than run A, and how sure that is."""
    from kaggle_dsb.commands.compare import compare_runs

    result = compare_runs(a, b, only_common=common)
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
        return
    print(result.sentence())
    header = ["images", "n", "A", "B", "B - A", "95 %", "better", "worse"]
    _print_table("by image type", header, [_compare_row(name, one) for name, one in result.rows()])


@app.command()
def leaderboard(
    submissions: Annotated[Path, typer.Option(help="Folder of submissions.")] = SUBMISSIONS,
    own: Annotated[bool, typer.Option("--own", help="Leave out the known marks.")] = False,
    as_json: Json = False,
) -> None:
    """Rank the local submissions among the known marks of 2018."""
    from kaggle_dsb.commands.leaderboard import make_leaderboard

    boards = make_leaderboard(submissions, only_own=own)
    if as_json:
        print(
            json.dumps(
                {k: json.loads(v.to_json(orient="records")) for k, v in boards.items()}, indent=2
            )
        )
        return
    for board, rows in boards.items():
        header = ["   name", "rank", "score", "date", "source"]
        _print_table(board, header, [_board_row(*row) for row in rows.itertuples(index=False)])


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="Of the submission.")] = None,
    data: Data = None,
    truth: Annotated[Path | None, typer.Option(help="Solution CSV.")] = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    out_of_fold: Annotated[
        bool, typer.Option("--oof", help="Report on the training images, out of fold.")
    ] = False,
    work: Work = WORK,
) -> None:
    """Write one HTML page on a submission, or with --oof on the networks' own validation."""
    from kaggle_dsb.commands.report import report_submission, report_validation
    from kaggle_dsb.workspace.source import open_source

    source = open_source(data, work=work)
    _announce(source)
    if out_of_fold:
        ensemble, settings = _ensemble(weights, config, set_)
        path = Path("reports") / f"{_plain(name or 'out-of-fold')}.html"
        print(report_validation(source, ensemble, settings, work=work, path=path))
    else:
        print(report_submission(source, SUBMISSIONS / _plain(name or "demo"), truth=truth))


@app.command()
def show(
    ids: Annotated[list[str], typer.Argument(help="Image ids, or how they begin.")],
    data: Data = None,
    predicted: Annotated[
        Path | None, typer.Option(help="submissions/NAME, a CSV or a folder of label images.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES,
    work: Work = WORK,
) -> None:
    """Draw images beside their truth and a prediction."""
    from kaggle_dsb.commands.show import show_images
    from kaggle_dsb.workspace.source import open_source

    source = open_source(data, work=work)
    _announce(source)
    for path in show_images(source, ids, predicted=predicted, output=output):
        print(path)


@app.command()
def gallery(
    data: Data = None,
    folds: Folds = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Neighbouring crops put together, by fold.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES,
    work: Work = WORK,
) -> None:
    """Draw the training images by type and fold."""
    from kaggle_dsb.commands.gallery import draw_gallery, draw_groups
    from kaggle_dsb.workspace.source import open_source

    source = open_source(data, work=work)
    _announce(source)
    drawn = (
        draw_groups(source, output, folds=folds)
        if groups
        else [draw_gallery(source, output, folds=folds)]
    )
    for path in drawn:
        print(path)


@app.command()
def curves(
    run: Annotated[Path, typer.Argument(help="Folder of the training, as runs/mine.")] = Path(
        "runs/mine"
    ),
    output: Annotated[Path | None, typer.Option(help="The picture. [default: in the run]")] = None,
) -> None:
    """Draw loss, score and learning rate of all folds of a training."""
    from kaggle_dsb.commands.curves import draw_run

    path, lines = draw_run(run, output)
    print(*lines, path, sep="\n")


@app.command()
def download(
    data: Annotated[Path, typer.Option(help="Where the files go.")] = Path("data"),
    origin: Annotated[
        Origin, typer.Option("--from", help="kaggle, broad, or auto: kaggle with credentials.")
    ] = "auto",
) -> None:
    """Download what is missing of the competition's files, from Kaggle or the Broad."""
    from kaggle_dsb.commands.download import download

    fetched = download(data, origin=origin)
    print(f"{data}: fetched {', '.join(fetched)}" if fetched else f"{data}: everything is there")


@app.command()
def bundle(
    weights: Weights = None,
    output: Annotated[Path, typer.Option(help="Of the data set.")] = Path("build/bundle"),
) -> None:
    """Build what a kernel without internet needs, as the folder of a Kaggle data set."""
    from kaggle_dsb.commands.bundle import bundle
    from kaggle_dsb.workspace.run import find_run

    ensemble = find_run(weights)
    made = bundle(ensemble, output)
    print(f"{made.folder}: {ensemble.name} networks, {sum(made.sizes.values()) / 1e6:.1f} MB")
    for name, size in made.sizes.items():
        print(f"  {name}: {size} bytes")


@app.command("bundle-push")
def bundle_push(
    folder: Annotated[Path, typer.Option(help="As `bundle` built it.")] = Path("build/bundle"),
    notes: Annotated[str, typer.Option(help="Of the version.")] = __version__,
) -> None:
    """Put the bundle on Kaggle: create its data set, or a new version of it."""
    from kaggle_dsb.commands.push import push_bundle
    from kaggle_dsb.publish.client import connect

    print(push_bundle(connect(), folder, notes=notes))


@app.command()
def push(
    name: Annotated[str, typer.Argument(help="submit or train.")],
    hardware: Annotated[Hardware, typer.Option(help="gpu is two T4.")] = "gpu",
    trained: Annotated[
        bool, typer.Option("--trained", help="Attach the train kernel's output.")
    ] = False,
) -> None:
    """Push a kernel to Kaggle, wait for its run, and fetch what it made."""
    from kaggle_dsb.commands.push import push
    from kaggle_dsb.publish.client import connect

    pushed = push(connect(), name, hardware=hardware, trained=trained)
    print(f"{pushed.page}: {pushed.run.status}, {len(pushed.files)} files in {pushed.folder}")
    for fault in pushed.faults:
        print(fault, file=sys.stderr)
    raise typer.Exit(1 if pushed.faults else 0)


@app.command("kaggle-submit")
def kaggle_submit(
    name: Annotated[str, typer.Option(help="The submission, in submissions/.")],
    message: Annotated[str, typer.Option(help="What it is called on Kaggle.")],
    data: Data = None,
    work: Work = WORK,
) -> None:
    """Check a submission, hand it in on Kaggle, and write down its scores."""
    from kaggle_dsb.commands.kaggle_submit import check_locally, submit_to_kaggle
    from kaggle_dsb.publish.client import connect
    from kaggle_dsb.workspace.source import open_source

    folder = SUBMISSIONS / _plain(name)
    path = check_locally(folder, open_source(data, work=work))
    print(f"{path}: sound", file=sys.stderr)
    verdict = submit_to_kaggle(connect(), folder, message)
    print(f"public score {verdict.public_score}, private score {verdict.private_score}")


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
) -> "tuple[Run, Settings]":
    from kaggle_dsb.workspace.run import find_run

    ensemble = find_run(weights)
    return ensemble, ensemble.load_settings(
        *([config] if config else []), overrides=overrides or []
    )


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


def _compare_row(name: str, one: "Comparison") -> tuple[Any, ...]:
    gain = one.difference
    interval = f"{gain.low:+.4f} to {gain.high:+.4f}"
    shares = f"{one.share_better:.0%}", f"{one.share_worse:.0%}"
    return (
        name,
        one.n_images,
        f"{one.mean_a:.4f}",
        f"{one.mean_b:.4f}",
        f"{gain.mean:+.4f}",
        interval,
        *shares,
    )


def _board_row(
    board: str, rank: Any, name: str, score: float, date: str, is_own: bool, source: str
) -> tuple[Any, ...]:
    import pandas as pd

    shown = f"{'→' if is_own else ' '}  {name}"
    return shown, "" if pd.isna(rank) else rank, f"{score:.4f}", date, source


def _thresholds(report: "ScoreReport") -> list[tuple[float, float]]:
    return [(float(t), v) for t, v in report.to_json()["per_threshold"].items()]


def _print_frame(title: str, frame: "pd.DataFrame") -> None:
    names = list(map(str, frame.columns))
    rows = [
        (
            index,
            *(f"{v:.0f}" if n == "images" else f"{v:.4f}" for n, v in zip(names, row, strict=True)),
        )
        for index, *row in frame.itertuples()
    ]
    _print_table(title, [str(frame.index.name), *names], rows)


def _print_table(title: str, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    print(f"\n{title}")
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        # Text, since rich takes square brackets in a plain string for markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    # Ids of 64 characters must not be cut where the output is a file.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
