"""The command line: parses, calls one library function, prints.

Results go to stdout and progress to stderr. Exit code 0 is done, 1 a check that failed, 2 a mistake
in the call or its input, 130 an interruption.
"""

import errno
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from kaggle_dsb import __version__
from kaggle_dsb.files import InputError
from kaggle_dsb.progress import be_quiet, say, show_progress
from kaggle_dsb.publish import Hardware
from kaggle_dsb.workspace import RUNS, SUBMISSIONS

if TYPE_CHECKING:
    from kaggle_dsb.config import Settings
    from kaggle_dsb.publish.client import Kaggle, PushedVersion
    from kaggle_dsb.workspace.run import Run
    from kaggle_dsb.workspace.source import Source
    from kaggle_dsb.workspace.submission import SubmissionFolder

DATA, TRAIN, PREDICT, VALIDATE = "Data", "Train", "Predict", "Validate and compare"
LOOK, KAGGLE = "Look", "Kaggle"

INTERRUPTED = 130
RESUMABLE = {"train", "tune", "submit", "validate", "experiment", "download"}


class VerbsByPurpose(TyperGroup):
    """Lists the verbs of the help under the panel of each, and arguments without their types."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; its arguments are named in the help without Python's types."""
        command: Any = super().get_command(ctx, cmd_name)
        for param in command.params if command else ():
            if param.param_type_name == "argument":
                param.display_type_rich = lambda **_: ""
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, and a line for each verb of it."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            summary = command.get_short_help_str(limit=80)
            panels.setdefault(command.rich_help_panel, []).append((name, summary))
        for panel, verbs in panels.items():
            with formatter.section(panel):
                formatter.write_dl(verbs)


app = typer.Typer(
    cls=VerbsByPurpose,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)

# The error of every wrong call, of whichever copy of click typer brings along.
CallError: type[Any] = typer.BadParameter.__bases__[0]


Data = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Kaggle's zips, their folder, or a folder of images. [default: data, else the demo]",
    ),
]
Work = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where caches and probabilities are kept.")
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Trained networks. [default: the newest whole, validated run, else the bundled]",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML file of settings that differ, or a profile's name."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, repeatable; see `config`."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Use only N images of each set.")
]
Fold = Annotated[list[int] | None, typer.Option(metavar="N", help="Only this fold, repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Pictures = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the pictures go.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=be_quiet, help="Leave out progress and remarks.")
]
TruthOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Solution CSV or folder of label images.")
]
_STACKS = "Files with several pictures or nuclei"
_READ_OPTIONS: dict[str, tuple[Any, Any]] = {
    "channel": (
        Annotated[
            int | None,
            typer.Option(min=1, metavar="N", rich_help_panel=_STACKS, help="Read this channel."),
        ],
        None,
    ),
    "plane": (
        Annotated[
            int | None,
            typer.Option(
                min=1, metavar="N", rich_help_panel=_STACKS, help="Read this plane of a stack."
            ),
        ],
        None,
    ),
    "project": (
        Annotated[
            Literal["max"] | None,
            typer.Option(
                metavar="max", rich_help_panel=_STACKS, help="Read the maximum over all planes."
            ),
        ],
        None,
    ),
    "connected_components": (
        Annotated[
            bool,
            typer.Option(
                "--connected-components",
                rich_help_panel=_STACKS,
                help="Read each part of a binary mask as a nucleus.",
            ),
        ],
        False,
    ),
}
_READING: dict[str, Any] = {}  # what the verb that runs was told of them
KernelName = Literal["submit", "train"]
KernelArgument = Annotated[KernelName, typer.Argument(metavar="KERNEL", help="submit or train.")]

WORK = Path("work")
PICTURES = Path("pictures")
BUNDLE = Path("build/bundle")


def main() -> None:
    """Run the command line, turning every expected failure into one line."""
    # OpenCV reads it when it is imported, and else prints lines of its own beside the errors.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with these arguments and return its exit code."""
    be_quiet(False)
    try:
        result = app(args=arguments or ["--help"], prog_name="kaggle-dsb", standalone_mode=False)
        if result == INTERRUPTED:  # what typer makes of Ctrl+C
            raise KeyboardInterrupt
    except InputError as error:
        return _fail(str(error), 2)
    except CallError as error:
        command = error.ctx.command_path if error.ctx else "kaggle-dsb"
        message = error.format_message().rstrip(".").replace("\n", " ")
        message = message.replace("Value error, ", "")  # pydantic's, by which typer checks values
        return _fail(f"{message} (see `{command} --help`)", 2)
    except OSError as error:
        hint = "; free some and give the same command again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}{hint}", 1)
    except (KeyboardInterrupt, typer.Abort):
        goes_on = "goes on" if arguments[0] in RESUMABLE else "starts over"
        return _fail(
            f"interrupted; nothing half-written is left, the same command {goes_on}", INTERRUPTED
        )
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    # A file name may hold what a terminal would take for a command.
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message)
    print(f"error: {shown}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def reads_images(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose what is read of files with several pictures or nuclei."""

    @functools.wraps(verb)
    def with_options(**arguments: Any) -> None:
        _READING.update({name: arguments.pop(name) for name in _READ_OPTIONS})
        try:
            verb(**arguments)
        finally:
            _READING.clear()

    signature = inspect.signature(verb)
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in _READ_OPTIONS.items()
    ]
    parameters = [*signature.parameters.values(), *added]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    annotations = {name: annotation for name, (annotation, _) in _READ_OPTIONS.items()}
    with_options.__annotations__ = verb.__annotations__ | annotations
    return with_options


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Find the nuclei: from the competition's images to a checked submission."""


@app.command("download", rich_help_panel=DATA)
def download(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")] = Path(
        "data"
    ),
    origin: Annotated[
        Literal["auto", "kaggle", "broad"],
        typer.Option("--from", help="kaggle, broad, or auto: kaggle with credentials."),
    ] = "auto",
    quiet: Quiet = False,
) -> None:
    """Download what is missing of the competition's files."""
    from kaggle_dsb.commands.download import download_competition

    fetched = download_competition(data, origin=origin)
    print(f"{data}: fetched {', '.join(fetched)}" if fetched else f"{data}: everything is there")


@app.command("data", rich_help_panel=DATA)
@reads_images
def data(
    data: Data = None,
    info: Annotated[bool, typer.Option("--info", help="Print a table of what is there.")] = False,
    limit: Limit = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Check the data and prepare them for quick loading."""
    source = opened(data, work=work, limit=limit)
    for name, images in source.prepared.images.items():
        print(f"{name}: {images} images, {source.prepared.nuclei[name]} nuclei")
    if info:
        from kaggle_dsb.dataset.samples import describe
        from kaggle_dsb.dataset.types import image_type
        from kaggle_dsb.tables import print_set

        for summary in describe(source.cache, image_type):
            print_set(summary)


@app.command("gallery", rich_help_panel=DATA)
def gallery(
    data: Data = None,
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table of folds, as runs/NAME/folds.csv. [default: split anew]"
        ),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Neighbouring crops put together, by fold.")
    ] = False,
    output: Pictures = PICTURES,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Draw the training images by type and fold."""
    source = opened(data, work=work)
    from kaggle_dsb.commands.gallery import draw_gallery, draw_groups

    if groups:
        print(*draw_groups(source, output, folds=folds), sep="\n")
    else:
        print(draw_gallery(source, output, folds=folds))


@app.command("train", rich_help_panel=TRAIN)
@reads_images
def train(
    data: Data = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Run name; saved to runs/NAME.")] = (
        "mine"
    ),
    extra: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Further labelled images to train on, repeatable."),
    ] = None,
    fold: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Only this fold, or all: one network of all images."),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, metavar="N", help="GPUs, or processes, that train together.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Machines that train together.")
    ] = 1,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Train a U-Net for each fold, or go on where it stopped."""
    from kaggle_dsb.config import load_settings

    together = [f"hardware.devices={devices}", f"hardware.nodes={nodes}"]
    settings = load_settings(*_settings_files(config), overrides=[*together, *(set_ or [])])
    folder = RUNS / _plain(name)
    source, *others = (opened(path, work=work, limit=limit) for path in (data, *(extra or ())))
    from kaggle_dsb.commands.train import shrink, train_run

    settings = shrink(settings, limit) if limit else settings
    for path in train_run(source, settings, folder=folder, folds=fold, extra=others):
        print(path)
    say(f"next: kaggle-dsb validate --weights {folder}")


@app.command("tune", rich_help_panel=TRAIN)
@reads_images
def tune(
    data: Data = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    extra: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Labelled images of another source, repeatable."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of watershed parameters to try.")
    ] = 24,
    limit: Limit = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Tune how probabilities become nuclei; train candidate scorers."""
    run, settings = opened_run(weights, config, set_)
    source, *others = (opened(path, work=work, limit=limit) for path in (data, *(extra or ())))
    from kaggle_dsb.commands.tune import tune_run
    from kaggle_dsb.tables import print_frame, print_table

    tuned = tune_run(source, run, settings, work=work, n_trials=trials, extra=others)
    print_frame("score of each source with what is best without it", tuned.table())
    chosen = tuned.settings.instances.model_dump()
    print_table("chosen", ["instances", "value"], chosen.items())
    generalisation = tuned.table().loc["generalisation"]
    way = "scorer" if tuned.settings.instances.candidate_scorer else "watershed"
    print(f"{run.folder}: tuned; generalisation {generalisation[way]:.4f} by the {way}")


@app.command("experiment", rich_help_panel=TRAIN)
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Saved to runs/NAME.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="What differs, repeatable.")
    ],
    data: Data = None,
    against: Weights = None,
    both: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What is set for both, repeatable."),
    ] = None,
    fold: Fold = None,
    log: Annotated[Path, typer.Option(metavar="FILE", help="Markdown log to append to.")] = Path(
        "docs/experiments.md"
    ),
    limit: Limit = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Try a variation against a baseline, and log what it gave."""
    baseline, _ = opened_run(against, None, None)
    folder = RUNS / _plain(name)
    source = opened(data, work=work, limit=limit)
    from kaggle_dsb.commands.experiment import Variation, append_trial, try_variation

    folds = fold or list(baseline.networks)
    variation = Variation(set_, both or ())
    trial = try_variation(source, baseline, variation, folder=folder, folds=folds, work=work)
    append_trial(log, trial)
    print(trial.comparison.sentence(baseline.name, name))
    print(f"{log}: one row more")


@app.command("curves", rich_help_panel=TRAIN)
def curves(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a training, as runs/mine.")
    ] = RUNS / "mine",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The picture. [default: in the run]")
    ] = None,
) -> None:
    """Draw loss, score and learning rate of a training."""
    from kaggle_dsb.commands.curves import draw_run

    path, lines = draw_run(run, output)
    print(*lines, path, sep="\n")


@app.command("submit", rich_help_panel=PREDICT)
@reads_images
def submit(
    data: Data = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Saved to submissions/NAME. [default: date and time, or demo]"
        ),
    ] = None,
    set_name: Annotated[
        str | None, typer.Option(metavar="SET", help="The set of images to predict.")
    ] = None,
    keep_probabilities: Annotated[
        bool, typer.Option("--keep-probabilities", help="Keep them for the report to show.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="One network, one view: a fraction of the time.")
    ] = False,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="FORMATS", help="Also write nuclei as geojson, coco, roi or ome; a,b for both."
        ),
    ] = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Predict the test images and write a checked submission."""
    named = _plain(name) if name else None
    from kaggle_dsb.dataset.export import parse_formats

    formats = parse_formats(export or "")
    run, settings = opened_run(weights, config, set_, fast=fast)
    source = opened(data, work=work, limit=limit)
    from kaggle_dsb.commands.submit import make_submission, name_submission

    submission = make_submission(
        source,
        run,
        settings,
        folder=SUBMISSIONS / (named or name_submission(source)),
        set_name=set_name,
        keeps_probabilities=keep_probabilities,
    )
    exported = submission.export(formats)
    told = [f"{submission.files.export_folder}: {len(exported)} files"] if exported else []
    print(*submission.lines(), *told, f"weights: {_describe(run, weights)}", sep="\n")


@app.command("score", rich_help_panel=PREDICT)
@reads_images
def score(
    predicted: Annotated[
        Path | None,
        typer.Argument(metavar="PREDICTED", help="Submission CSV or folder of label images."),
    ] = None,
    truth: TruthOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Where image sizes, types and, without --truth, truth are."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The submission, without PREDICTED.")
    ] = "demo",
    work: Work = WORK,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a submission or label images as the competition does."""
    submission = _submission(name)
    if data or not truth:
        made = None if predicted else submission
        source = opened(data, work=work, limit=made.limit if made else None, made=made)
    else:
        source = None
    from kaggle_dsb.commands.score import score_files

    report = score_files(predicted or submission.csv_file, truth, source=source)
    if as_json:
        _print_json(report.to_json())
    else:
        from kaggle_dsb.tables import print_score

        print_score(report)
    for mistake in report.mistakes:
        print(f"note: {mistake}", file=sys.stderr)


@app.command("validate", rich_help_panel=VALIDATE)
@reads_images
def validate(
    data: Data = None,
    weights: Weights = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Also tell where the score goes, and draw the worst.")
    ] = False,
    worst: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --errors: draw so many images.")
    ] = 8,
    output: Pictures = PICTURES,
    disturbed: Annotated[
        bool, typer.Option("--disturbed", help="Score rescaled, dark, blurred ... images instead.")
    ] = False,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="With --disturbed: use every Nth image.")
    ] = 1,
    foreign: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Also score images of another source, repeatable."),
    ] = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    work: Work = WORK,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV of all images; a picture by source beside it.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score labelled images by the networks that have not seen them."""
    run, settings = opened_run(weights, config, set_)
    sources = [opened(path, work=work, limit=limit) for path in (data, *(foreign or ()))]
    from kaggle_dsb.tables import print_diagnosis, print_frame, print_validation

    source, *others = sources
    if disturbed:
        from kaggle_dsb.commands.robustness import score_disturbed

        table = score_disturbed(source, run, settings, every=every, foreign=others)
        if as_json:
            _print_json(_records(table.reset_index()))
        else:
            print_frame("score by disturbance", table)
        return
    from kaggle_dsb.commands.validate import (
        join_scores,
        record_validation,
        summarise,
        validate_sources,
        write_scores,
    )

    results = validate_sources(source, others, run, settings, work=work)
    if save:
        from kaggle_dsb.report.sources import draw_sources

        write_scores(save, join_scores(results))
        draw_sources(save.with_suffix(".png"), join_scores(results))
    say(record_validation(source, run, settings, results[0]))
    diagnosed = None
    if errors:
        from kaggle_dsb.commands.diagnose import diagnose_run

        pairs = list(zip(sources, results, strict=True))
        diagnosed = diagnose_run(pairs, output=output, n_worst=worst)
    if as_json:
        losses = {"errors": _records(diagnosed.table.reset_index())} if diagnosed else {}
        _print_json(summarise(results) | losses)
        return
    print_validation(run.name, results[0], join_scores(results))
    if diagnosed:
        print_diagnosis(diagnosed)


@app.command("compare", rich_help_panel=VALIDATE)
def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="Of run A: a CSV of validate --save or score.json.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The same of run B.")],
    common: Annotated[
        bool, typer.Option("--common", help="Leave out images that only one of them scored.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw both by source into this picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell whether run B is better than run A, and how sure that is."""
    from kaggle_dsb.commands.compare import compare_runs, draw_comparison
    from kaggle_dsb.tables import print_comparison

    result = compare_runs(a, b, only_common=common)
    if save:
        draw_comparison(save, a, b)
    if as_json:
        _print_json(result.to_json())
    else:
        print_comparison(result)


@app.command("leaderboard", rich_help_panel=VALIDATE)
def leaderboard(
    submissions: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of submissions.")
    ] = SUBMISSIONS,
    own: Annotated[bool, typer.Option("--own", help="Leave out the known marks.")] = False,
    as_json: Json = False,
) -> None:
    """Rank the local submissions among the known marks of 2018."""
    from kaggle_dsb.commands.leaderboard import make_leaderboard
    from kaggle_dsb.tables import print_boards

    boards = make_leaderboard(submissions, only_own=own)
    if as_json:
        _print_json(
            {
                board: [{"rank": rank} | vars(mark) for rank, mark in marks]
                for board, marks in boards.items()
            }
        )
    else:
        print_boards(boards)


@app.command("report", rich_help_panel=LOOK)
@reads_images
def report(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The submission. [default: demo]")
    ] = None,
    data: Data = None,
    truth: TruthOption = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    out_of_fold: Annotated[
        bool, typer.Option("--oof", help="Report on the training images, out of fold.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another submission: show what changed since."),
    ] = None,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Write an HTML page on a submission or a validation (--oof)."""
    if out_of_fold:
        run, settings = opened_run(weights, config, set_)
        source = opened(data, work=work)
        from kaggle_dsb.commands.report import report_validation

        path = Path("reports") / f"{_plain(name or 'out-of-fold')}.html"
        print(report_validation(source, run, settings, work=work, path=path))
        return
    submission = _submission(name or "demo")
    source = opened(data, work=work, limit=submission.limit, made=submission)
    from kaggle_dsb.commands.report import report_submission

    baseline = _submission(against).folder if against else None
    print(report_submission(source, submission.folder, truth=truth, against=baseline))


@app.command("show", rich_help_panel=LOOK)
@reads_images
def show(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids, or how they begin.")],
    data: Data = None,
    predicted: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="submissions/NAME, a CSV or a folder of label images."),
    ] = None,
    output: Pictures = PICTURES,
    work: Work = WORK,
    quiet: Quiet = False,
) -> None:
    """Draw images beside their truth and a prediction."""
    source = opened(data, work=work)
    from kaggle_dsb.commands.show import show_images

    print(*show_images(source, ids, predicted=predicted, output=output), sep="\n")


@app.command("config", rich_help_panel=LOOK)
def config(
    weights: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of this run. [default: the defaults]")
    ] = None,
) -> None:
    """Print every setting with its default and meaning, as TOML."""
    from kaggle_dsb.config import Settings, annotate_settings
    from kaggle_dsb.workspace.run import find_run

    print(annotate_settings(find_run(weights).load_settings() if weights else Settings()), end="")


@app.command("bundle", rich_help_panel=KAGGLE)
def bundle(
    weights: Weights = None,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Of the data set.")] = BUNDLE,
) -> None:
    """Build what a kernel without internet needs."""
    run, _ = opened_run(weights, None, None)
    from kaggle_dsb.commands.bundle import bundle_run

    made = bundle_run(run, output)
    print(f"{made.folder}: {run.name} networks, {sum(made.sizes.values()) / 1e6:.1f} MB")
    for name, size in made.sizes.items():
        print(f"  {name}: {size} bytes")


@app.command("push", rich_help_panel=KAGGLE)
def push(
    name: KernelArgument,
    hardware: Annotated[Hardware, typer.Option(help="gpu is two T4.")] = "gpu",
    trained: Annotated[
        bool, typer.Option("--trained", help="Attach the train kernel's output.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Let it run; `fetch` gets its output later.")
    ] = False,
    weights: Weights = None,
) -> None:
    """Push a kernel, wait for its run, and fetch its output."""
    run, _ = opened_run(weights, None, None)
    from kaggle_dsb.commands.bundle import bundle_run
    from kaggle_dsb.commands.push import push_bundle, push_kernel
    from kaggle_dsb.publish.client import connect
    from kaggle_dsb.publish.kernel import prepare_kernel

    kaggle = connect()
    folder = prepare_kernel(name, owner=kaggle.username, hardware=hardware, trained=trained)
    push_bundle(kaggle, bundle_run(run).folder, notes=__version__)
    version = push_kernel(kaggle, name, folder)
    if no_wait:
        print(f"{version.page}: pushed; get its output with `kaggle-dsb fetch {name}`")
    else:
        _fetch(kaggle, name, version)


@app.command("fetch", rich_help_panel=KAGGLE)
def fetch(name: KernelArgument) -> None:
    """Wait for the run of a pushed kernel, and fetch its output."""
    from kaggle_dsb.commands.push import find_pushed
    from kaggle_dsb.publish.client import connect

    kaggle = connect()
    _fetch(kaggle, name, find_pushed(kaggle, name))


@app.command("kaggle-submit", rich_help_panel=KAGGLE)
def kaggle_submit(
    name: Annotated[str, typer.Option(metavar="NAME", help="The submission, in submissions/.")],
    message: Annotated[str, typer.Option(metavar="TEXT", help="What it is called on Kaggle.")],
    data: Data = None,
    work: Work = WORK,
) -> None:
    """Check a submission, submit it, and record its scores."""
    submission = _submission(name)
    source = opened(data, work=work, made=submission)
    from kaggle_dsb.commands.kaggle_submit import check_locally, submit_to_kaggle
    from kaggle_dsb.publish.client import connect

    say(f"{check_locally(submission.folder, source)}: sound")
    verdict = submit_to_kaggle(connect(), submission.folder, message)
    print(f"public score {verdict.public_score}, private score {verdict.private_score}")


def _fetch(kaggle: "Kaggle", name: str, version: "PushedVersion") -> None:
    from kaggle_dsb.commands.push import fetch_run

    say(f"{version.page}: waiting; after Ctrl+C, `kaggle-dsb fetch {name}` goes on")
    done = fetch_run(kaggle, name, version)
    print(f"{version.page}: {done.run.status}, {len(done.files)} files in {done.folder}")
    for fault in done.faults:
        print(fault, file=sys.stderr)
    raise typer.Exit(1 if done.faults else 0)


def opened(
    data: Path | None,
    *,
    work: Path,
    limit: int | None = None,
    made: "SubmissionFolder | None" = None,
) -> "Source":
    """Open the data that are named, else those that a submission was made from."""
    say(f"reading {data or 'the data'}")  # before the imports, which take seconds
    from kaggle_dsb.dataset.read_options import ReadOptions
    from kaggle_dsb.workspace.source import open_source

    options = ReadOptions(**_READING)
    if made and data is None:
        data = made.find_data()
    demo = bool(made and made.is_of_demo)
    with show_progress("preparing the data") as progress:
        source = open_source(
            data, work=work, limit=limit, demo=demo, progress=progress, options=options
        )
    if source.is_demo:
        say("demo: no data given, so this works on the package's own synthetic images")
    for warning in source.prepared.warnings if source.prepared.is_new else ():
        print(f"warning: {warning}", file=sys.stderr)
    return source


def opened_run(
    weights: Path | None,
    config: Path | None,
    overrides: list[str] | None,
    *,
    fast: bool = False,
) -> "tuple[Run, Settings]":
    """Find the networks, and load their settings with what is changed on top."""
    from kaggle_dsb.workspace.run import FAST_SETTINGS, find_run

    run = find_run(weights)
    changes = [*(FAST_SETTINGS if fast else ()), *(overrides or ())]
    settings = run.load_settings(*_settings_files(config), overrides=changes)
    run = run.fast() if fast else run
    say(f"weights: {_describe(run, weights)}")
    return run, settings


def _describe(run: "Run", weights: Path | None) -> str:
    return run.describe(runs=None if weights else RUNS)


def _settings_files(config: Path | None) -> list[Path]:
    from kaggle_dsb.config import find_settings_file

    return [find_settings_file(config)] if config else []


def _submission(name: str) -> "SubmissionFolder":
    from kaggle_dsb.workspace.submission import SubmissionFolder

    return SubmissionFolder(SUBMISSIONS / _plain(name))


def _plain(name: str) -> str:
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise InputError(f"--name {name!r}: must be a plain folder name, as first-try")
    return name


def _records(table: Any) -> Any:
    return json.loads(table.to_json(orient="records"))


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2))
