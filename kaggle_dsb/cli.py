"""The command line: parses, calls one library function, prints.

Results go to stdout and progress to stderr. Exit code 0 is done, 1 a check that failed, 2 a mistake
in the call or its input, 130 an interruption.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kaggle_dsb import __version__
from kaggle_dsb.dataset.export_formats import parse_formats
from kaggle_dsb.files import (
    CHART_SUFFIXES,
    TABLE_SUFFIXES,
    InputError,
    require_folder,
    require_suffix,
)
from kaggle_dsb.opening import (
    describe_networks,
    find_submission,
    find_submission_of,
    open_all,
    open_data,
    open_networks,
    refuse_with,
    refuse_without,
    require_name,
    settings_files,
)
from kaggle_dsb.options import (
    Config,
    Data,
    DryRun,
    Extra,
    Json,
    KernelName,
    Limit,
    Pictures,
    Quiet,
    Reading,
    Set,
    TrueLabels,
    Weights,
    reads_data,
)
from kaggle_dsb.progress import be_quiet, say
from kaggle_dsb.publish import BUNDLE_FOLDER, Hardware
from kaggle_dsb.verbs import CallError, Verbs, VerbsByPurpose
from kaggle_dsb.workspace import PICTURES, REPORTS, RUNS, SUBMISSIONS

if TYPE_CHECKING:
    from kaggle_dsb.publish.client import Kaggle, PushedVersion

DATA, TRAIN, PREDICT, VALIDATE = "Data", "Train", "Predict", "Validate and compare"
INSPECT, KAGGLE = "Inspect", "Kaggle"

INTERRUPTED = 130
N_TRIALS, N_WORST = 24, 8
SYSTEM_ERRORS = {
    errno.ENOSPC: "No space left on device; free some space and run the same command again",
    errno.EACCES: "Permission denied; choose a location with read and write access",
    errno.EROFS: "Read-only file system; choose a writable location",
    errno.EEXIST: "is a file; expected a folder",
    errno.ENOTDIR: "is below a file; expected a folder",
    errno.EISDIR: "is a folder; expected a file",
}
"""What of the system's errors a user can do something about, and what."""
RESUMABLE = {"train", "tune", "submit", "validate", "experiment", "download"}


app = Verbs(
    cls=VerbsByPurpose,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line, turning every expected failure into one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of a pipe may lack a character of a file name.
        sys.stdout.reconfigure(errors="backslashreplace")
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
        return _fail(_describe_call_error(error, arguments), 2)
    except ModuleNotFoundError as error:
        if (error.name or "kaggle_dsb").startswith("kaggle_dsb"):
            raise
        return _fail(
            f"{error.name} is not installed; install all optional dependencies with pip install "
            "'kaggle_dsb[all]'",
            2,
        )
    except OSError as error:
        reason = SYSTEM_ERRORS.get(error.errno or 0, error.strerror or error)
        return _fail(f"{error.filename or 'a file'}: {reason}", 1)
    except (KeyboardInterrupt, typer.Abort):
        is_resumable = arguments[0] in RESUMABLE
        left = "resume" if is_resumable else "start over; no partial files were left"
        return _fail(f"interrupted; run the same command again to {left}", INTERRUPTED)
    return result if isinstance(result, int) else 0


def _describe_call_error(error: Any, arguments: list[str]) -> str:
    """Say what is wrong with a call, with its value, and which help tells what is right."""
    message = " ".join(error.format_message().rstrip(".").split())
    # Of pydantic, by which typer checks values.
    message = message.replace("Value error, ", "").partition(", unable to parse")[0]
    options = getattr(getattr(error, "param", None), "opts", ())
    for option, value in zip(
        _split_options(arguments), _split_options(arguments)[1:], strict=False
    ):
        if option in options and value not in message:
            message += f", not {value!r}"
    verb = arguments[0] if arguments[0] in {verb.name for verb in app.registered_commands} else ""
    command = error.ctx.command_path if error.ctx else f"kaggle-dsb {verb}".rstrip()
    return f"{message} (see `{command} --help`)"


def _split_options(arguments: list[str]) -> list[str]:
    """Return the words of a call, with ``--option=value`` as two."""
    return [
        part for word in arguments for part in (word.split("=", 1) if word[:2] == "--" else [word])
    ]


def _fail(message: str, code: int) -> int:
    # A file name may hold what a terminal would take for a command.
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message)
    print(f"error: {shown}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Segment nuclei: from the competition's images to a checked submission."""


@app.command("download", rich_help_panel=DATA)
def download(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Destination folder.")] = Path(
        "data"
    ),
    origin: Annotated[
        Literal["auto", "kaggle", "broad"],
        typer.Option("--from", help="kaggle, broad, or auto: kaggle if credentials exist."),
    ] = "auto",
    quiet: Quiet = False,
) -> None:
    """Download the missing files of the competition."""
    from kaggle_dsb.commands.download import download_competition

    fetched = download_competition(data, origin=origin)
    print(
        f"{data}: downloaded {', '.join(fetched)}" if fetched else f"{data}: all files are present"
    )


@app.command("data", rich_help_panel=DATA)
@reads_data
def data(
    data: Data = None,
    info: Annotated[bool, typer.Option("--info", help="Print a summary table.")] = False,
    limit: Limit = None,
    *,
    reading: Reading,
) -> None:
    """Check the data and cache them for fast loading."""
    source = open_data(data, reading, limit=limit, repeats_warnings=True)
    from kaggle_dsb.workspace.source import check_groups

    for line in source.prepared.describe():
        print(line)
    check_groups(source)
    if info:
        from kaggle_dsb.tables import print_sets

        print_sets(source)


@app.command("gallery", rich_help_panel=DATA)
@reads_data
def gallery(
    data: Data = None,
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table of folds, such as runs/NAME/folds.csv. [default: new split]"
        ),
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Draw neighbouring crops assembled, by fold.")
    ] = False,
    output: Pictures = PICTURES,
    *,
    reading: Reading,
) -> None:
    """Draw the training images by type and fold."""
    source = open_data(data, reading)
    from kaggle_dsb.commands.gallery import draw_gallery, draw_groups

    if groups:
        print(*draw_groups(source, output, folds=folds), sep="\n")
    else:
        print(draw_gallery(source, output, folds=folds))


@app.command("train", rich_help_panel=TRAIN)
@reads_data
def train(
    data: Data = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Run name, saved to runs/NAME.")] = (
        "mine"
    ),
    extra: Extra = None,
    fold: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Only this fold, or all: one network on all images."),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="GPUs, or CPU processes, to train on. [default: hardware.devices = 1]",
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Machines to train on. [default: hardware.nodes = 1]"
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    *,
    reading: Reading,
) -> None:
    """Train a U-Net for each fold, resuming where it stopped."""
    from kaggle_dsb.settings_files import load_settings

    changes = [*_hardware(devices=devices, nodes=nodes), *(set_ or [])]
    settings = load_settings(*settings_files(config), overrides=changes)
    folder = RUNS / require_name(name)
    source, others = open_all(data, extra, reading, limit=limit)
    from kaggle_dsb.commands.train import describe_training, plan_run, shrink, train_run
    from kaggle_dsb.workspace.run import open_run

    settings = shrink(settings, limit) if limit else settings
    if dry_run:
        plan = plan_run(source, settings, folder=folder, folds=fold, extra=others)
        print(describe_training(plan.parts, settings, folder))
        return
    for path in train_run(source, settings, folder=folder, folds=fold, extra=others):
        print(path)
    if open_run(folder).networks:  # not if only the one trained on everything
        say(f"next: kaggle-dsb validate --weights {folder}")


@app.command("tune", rich_help_panel=TRAIN)
@reads_data
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
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Number of watershed parameter sets to try. [default: {N_TRIALS}]",
        ),
    ] = None,
    outlines_only: Annotated[
        bool,
        typer.Option(
            "--outlines-only", help="Only learn outline thresholds from the labelled images."
        ),
    ] = False,
    limit: Limit = None,
    *,
    reading: Reading,
) -> None:
    """Tune the post-processing; train candidate scorers."""
    if outlines_only:
        refuse_with("--outlines-only", trials=trials)
    run, settings = open_networks(weights, config, set_)
    source, others = open_all(data, extra, reading, limit=limit)
    from kaggle_dsb.commands.tune import learn_outlines_of_run, tune_run
    from kaggle_dsb.tables import print_tuned

    if outlines_only:
        learn_outlines_of_run(source, run, settings, work=reading.work, extra=others)
        print(run.outlines_file)
    else:
        n_trials = trials or N_TRIALS
        tuned = tune_run(source, run, settings, work=reading.work, n_trials=n_trials, extra=others)
        print_tuned(run, tuned)
    say(f"next: kaggle-dsb validate --weights {run.folder}")


@app.command("experiment", rich_help_panel=TRAIN)
@reads_data
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Saved to runs/NAME.")],
    set_: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Setting that differs, repeatable."),
    ],
    data: Data = None,
    extra: Extra = None,
    against: Weights = None,
    both: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Setting for both runs, repeatable."),
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Only this fold, repeatable.")
    ] = None,
    log: Annotated[Path, typer.Option(metavar="FILE", help="Markdown log to append to.")] = Path(
        "docs/experiments.md"
    ),
    limit: Limit = None,
    *,
    reading: Reading,
) -> None:
    """Train a variation, compare it with a baseline, log the result."""
    folder = RUNS / require_name(name)
    require_suffix(log, (".md",))
    baseline, _ = open_networks(against)
    source, others = open_all(data, extra, reading, limit=limit)
    from kaggle_dsb.commands.experiment import Variation, append_trial, try_variation

    variation = Variation(folder, set_, both or (), folds=fold or list(baseline.networks))
    trial = try_variation(source, baseline, variation, work=reading.work, extra=others)
    print(trial.comparison.sentence(baseline.name, name))
    append_trial(log, trial)
    print(f"{log}: added one row")


@app.command("curves", rich_help_panel=TRAIN)
def curves(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Training run: its folder, or its name.")
    ] = RUNS / "mine",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output picture. [default: in the run folder]"),
    ] = None,
) -> None:
    """Draw loss, score and learning rate of a training run."""
    if output:
        require_suffix(output, CHART_SUFFIXES)
    from kaggle_dsb.commands.curves import draw_run
    from kaggle_dsb.workspace.run import resolve_run

    path, lines = draw_run(resolve_run(run), output)
    print(*lines, path, sep="\n")


@app.command("submit", rich_help_panel=PREDICT)
@reads_data
def submit(
    data: Data = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Saved to submissions/NAME. [default: date and time, or demo]"
        ),
    ] = None,
    set_name: Annotated[
        str | None, typer.Option(metavar="SET", help="Set of images to predict.")
    ] = None,
    keep_probabilities: Annotated[
        bool, typer.Option("--keep-probabilities", help="Keep probability maps for the report.")
    ] = False,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="One network, one view, one scale: about nine times faster."),
    ] = False,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="FORMATS",
            help="Also export nuclei as geojson, coco, roi, ome, csv (comma-separated).",
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes that share the images, and the GPUs. [default: hardware.devices = 1]",
        ),
    ] = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    dry_run: DryRun = False,
    *,
    reading: Reading,
) -> None:
    """Predict the test images and write a checked submission."""
    named = None if name is None else require_name(name)
    formats = parse_formats(export or "")
    changes = [*_hardware(devices=devices), *(set_ or [])]
    run, settings = open_networks(weights, config, changes, fast=fast)
    source = open_data(data, reading, limit=limit)
    from kaggle_dsb.commands.submit import describe_prediction, make_submission, name_submission

    if dry_run:
        folder = SUBMISSIONS / (named or name_submission(source))
        print(describe_prediction(source, folder=folder, set_name=set_name))
        print(f"weights: {describe_networks(run, weights)}")
        return
    submission = make_submission(
        source,
        run,
        settings,
        folder=SUBMISSIONS / named if named else None,
        set_name=set_name,
        keeps_probabilities=keep_probabilities,
    )
    exported = submission.export(formats)
    told = [f"{submission.files.export_folder}: {len(exported)} files"] if exported else []
    print(*submission.lines(), *told, f"weights: {describe_networks(run, weights)}", sep="\n")


@app.command("score", rich_help_panel=PREDICT)
@reads_data
def score(
    predicted: Annotated[
        Path | None,
        typer.Argument(
            metavar="PREDICTED", help="Submission: its name or CSV; or a folder of label images."
        ),
    ] = None,
    truth: TrueLabels = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Data with image sizes, types and, without --truth, the ground truth.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Submission to score if PREDICTED is omitted. [default: newest]"
        ),
    ] = None,
    set_name: Annotated[
        str | None,
        typer.Option(metavar="SET", help="Set to score against. [default: the submission's]"),
    ] = None,
    as_json: Json = False,
    *,
    reading: Reading,
) -> None:
    """Score a submission or label images as the competition does."""
    if truth:
        refuse_with("--truth", set_name=set_name)
    if predicted:
        refuse_with("PREDICTED", name=name)
        made = find_submission_of(predicted)
    else:
        made = find_submission(name)
    source = None
    if data or not truth:
        source = open_data(data, reading, limit=made.limit if made else None, made=made)
    from kaggle_dsb.commands.score import record_score, score_files

    if made and source and made.set_name in source.prepared.images:
        set_name = set_name or made.set_name
    path = made.csv_file if made else predicted
    assert path
    report = score_files(path, truth, source=source, set_name=set_name)
    from kaggle_dsb.tables import print_json, print_score

    if as_json:
        print_json(report.to_json())
    else:
        print_score(report)
    for mistake in report.mistakes:
        print(f"note: {mistake}", file=sys.stderr)
    if report.n_unscored:
        say(f"predicted images without ground truth, not scored: {report.n_unscored}")
    if made:
        say(record_score(made, report, truth=truth))


@app.command("validate", rich_help_panel=VALIDATE)
@reads_data
def validate(
    data: Data = None,
    weights: Weights = None,
    errors: Annotated[
        bool,
        typer.Option("--errors", help="Also break down the errors, and draw the worst images."),
    ] = False,
    worst: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"With --errors: number of worst images to draw. [default: {N_WORST}]",
        ),
    ] = None,
    output: Pictures = PICTURES,
    disturbed: Annotated[
        bool, typer.Option("--disturbed", help="Score rescaled, dark, blurred ... images instead.")
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="With --disturbed: use every Nth image. [default: 1]"
        ),
    ] = None,
    foreign: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Also score images of another source, repeatable."),
    ] = None,
    config: Config = None,
    set_: Set = None,
    limit: Limit = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save scores as CSV, with a picture by source.",
        ),
    ] = None,
    as_json: Json = False,
    *,
    reading: Reading,
) -> None:
    """Score labelled images with the networks that held them out."""
    if disturbed:
        refuse_with("--disturbed", save=save, errors=errors)
    else:
        refuse_without("--disturbed", every=every)
    if not errors:
        refuse_without("--errors", worst=worst, output=output != PICTURES)
    if save:
        require_suffix(save, TABLE_SUFFIXES)
    run, settings = open_networks(weights, config, set_)
    source, others = open_all(data, foreign, reading, limit=limit)
    from kaggle_dsb.tables import print_diagnosis, print_disturbed, print_json, print_validation

    if disturbed:
        from kaggle_dsb.commands.robustness import score_disturbed

        table = score_disturbed(source, run, settings, every=every or 1, foreign=others)
        print_disturbed(table, as_json=as_json)
        return
    from kaggle_dsb.commands.validate import validate_sources

    validation = validate_sources(source, others, run, settings, work=reading.work)
    say(validation.record(settings))
    if save:
        validation.save(save)
    diagnosed = None
    if errors:
        from kaggle_dsb.commands.diagnose import diagnose_run

        n_worst = N_WORST if worst is None else worst
        diagnosed = diagnose_run(validation.results, output=output, n_worst=n_worst)
    if as_json:
        print_json(validation.to_json() | (diagnosed.to_json() if diagnosed else {}))
        return
    print_validation(validation)
    if diagnosed:
        print_diagnosis(diagnosed)


@app.command("compare", rich_help_panel=VALIDATE)
def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="Scores of run A: validate --save, or score.json.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The same for run B.")],
    common: Annotated[
        bool, typer.Option("--common", help="Compare only images that both runs scored.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save a picture of both by source.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs A and B, with a confidence interval."""
    if save:
        require_suffix(save, CHART_SUFFIXES)
    from kaggle_dsb.commands.compare import compare_runs, draw_comparison
    from kaggle_dsb.tables import print_comparison, print_json

    result = compare_runs(a, b, only_common=common)
    if save:
        draw_comparison(save, a, b, only_common=common)
    if as_json:
        print_json(result.to_json())
    else:
        print_comparison(result)


@app.command("leaderboard", rich_help_panel=VALIDATE)
def leaderboard(
    submissions: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of submissions.")
    ] = SUBMISSIONS,
    own: Annotated[bool, typer.Option("--own", help="Omit the published scores.")] = False,
    as_json: Json = False,
) -> None:
    """Rank local submissions among the published scores of 2018."""
    from kaggle_dsb.commands.leaderboard import boards_to_json, find_unscored, make_leaderboard
    from kaggle_dsb.tables import print_boards, print_json

    if submissions != SUBMISSIONS:
        require_folder(submissions, "expected a folder of submissions, such as submissions")
    boards = make_leaderboard(submissions, only_own=own)
    if unscored := find_unscored(submissions):
        say(f"not scored: {', '.join(unscored)}; score with `kaggle-dsb score NAME`")
    if as_json:
        print_json(boards_to_json(boards))
    else:
        print_boards(boards)


@app.command("report", rich_help_panel=INSPECT)
@reads_data
def report(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Submission name. [default: newest]")
    ] = None,
    data: Data = None,
    truth: TrueLabels = None,
    weights: Weights = None,
    config: Config = None,
    set_: Set = None,
    out_of_fold: Annotated[
        bool, typer.Option("--oof", help="Report the out-of-fold validation instead.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Baseline submission to compare with."),
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Write an HTML report of a submission or a validation (--oof)."""
    if out_of_fold:
        refuse_with("--oof", truth=truth, against=against)
        run, settings = open_networks(weights, config, set_)
        source = open_data(data, reading)
        from kaggle_dsb.commands.report import report_validation

        title = "out-of-fold" if name is None else require_name(name)
        path = REPORTS / f"{title}.html"
        print(report_validation(source, run, settings, work=reading.work, path=path))
        return
    refuse_with("a submission", weights=weights, config=config, set_=set_)
    submission = find_submission(name)
    baseline = find_submission(against).folder if against else None
    source = open_data(data, reading, limit=submission.limit, made=submission)
    from kaggle_dsb.commands.report import report_submission

    print(report_submission(source, submission.folder, truth=truth, against=baseline))


@app.command("show", rich_help_panel=INSPECT)
@reads_data
def show(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Image ids or prefixes of ids.")],
    data: Data = None,
    predicted: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A submission, a CSV or a folder of label images."),
    ] = None,
    output: Pictures = PICTURES,
    *,
    reading: Reading,
) -> None:
    """Draw images with their ground truth and a prediction."""
    made = find_submission_of(predicted) if predicted else None
    source = open_data(data, reading, limit=made.limit if made else None, made=made)
    from kaggle_dsb.commands.show import show_images

    shown = made.folder if made else predicted
    print(*show_images(source, ids, predicted=shown, output=output), sep="\n")


@app.command("config", rich_help_panel=INSPECT)
def config(
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Folder or name of a run, or bundled. [default: built-in settings]"
        ),
    ] = None,
) -> None:
    """Print every setting with its default and meaning, as TOML."""
    from kaggle_dsb.config import Settings
    from kaggle_dsb.settings_files import annotate_settings
    from kaggle_dsb.workspace.run import find_run

    print(annotate_settings(find_run(weights).load_settings() if weights else Settings()), end="")


@app.command("bundle", rich_help_panel=KAGGLE)
def bundle(
    weights: Weights = None,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder.")] = BUNDLE_FOLDER,
) -> None:
    """Bundle code and networks for a kernel without internet."""
    run, _ = open_networks(weights)
    from kaggle_dsb.commands.bundle import bundle_run

    made = bundle_run(run, output)
    print(f"{made.folder}: {run.name} networks, {sum(made.sizes.values()) / 1e6:.1f} MB")
    for name, size in made.sizes.items():
        print(f"  {name}: {size} bytes")


@app.command("push", rich_help_panel=KAGGLE)
def push(
    name: KernelName,
    hardware: Annotated[Hardware, typer.Option(help="gpu is two T4s.")] = "gpu",
    trained: Annotated[
        bool, typer.Option("--trained", help="Attach the train kernel's output.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait; `fetch` gets the output later.")
    ] = False,
    weights: Weights = None,
    dry_run: DryRun = False,
) -> None:
    """Push a kernel, wait for its run, and fetch its output."""
    run, _ = open_networks(weights)
    from kaggle_dsb.commands.bundle import bundle_run
    from kaggle_dsb.commands.push import push_bundle, push_kernel
    from kaggle_dsb.publish.client import connect
    from kaggle_dsb.publish.kernel import prepare_kernel

    kaggle = connect()
    folder = prepare_kernel(name, owner=kaggle.username, hardware=hardware, trained=trained)
    if dry_run:
        print(f"{folder}: would be pushed to {kaggle.username}'s account, with {run.name} networks")
        return
    push_bundle(kaggle, bundle_run(run).folder, notes=__version__)
    version = push_kernel(kaggle, name, folder)
    if no_wait:
        print(f"{version.page}: pushed; get its output with `kaggle-dsb fetch {name}`")
    else:
        _fetch(kaggle, name, version)


@app.command("fetch", rich_help_panel=KAGGLE)
def fetch(name: KernelName) -> None:
    """Wait for the run of a pushed kernel, and fetch its output."""
    from kaggle_dsb.commands.push import find_pushed
    from kaggle_dsb.publish.client import connect

    kaggle = connect()
    _fetch(kaggle, name, find_pushed(kaggle, name))


@app.command("kaggle-submit", rich_help_panel=KAGGLE)
@reads_data
def kaggle_submit(
    name: Annotated[str, typer.Option(metavar="NAME", help="Submission in submissions/.")],
    message: Annotated[str, typer.Option(metavar="TEXT", help="Description on Kaggle.")],
    data: Data = None,
    dry_run: DryRun = False,
    *,
    reading: Reading,
) -> None:
    """Check a submission, submit it, and record its scores."""
    from kaggle_dsb.commands.kaggle_submit import check_locally, check_record, submit_to_kaggle

    submission = find_submission(name)
    check_record(submission)
    source = open_data(data, reading, made=submission)
    from kaggle_dsb.publish.client import connect

    path = check_locally(submission.folder, source)
    if dry_run:
        print(f"{path}: valid; would be submitted as {message!r}")
        return
    say(f"{path}: valid")
    verdict = submit_to_kaggle(connect(), submission.folder, message)
    print(f"public score {verdict.public_score}, private score {verdict.private_score}")


def _hardware(**given: int | None) -> list[str]:
    """Return the settings of the hardware options that are given."""
    return [f"hardware.{name}={value}" for name, value in given.items() if value is not None]


def _fetch(kaggle: "Kaggle", name: str, version: "PushedVersion") -> None:
    from kaggle_dsb.commands.push import fetch_run

    say(f"{version.page}: waiting; after Ctrl+C, resume with `kaggle-dsb fetch {name}`")
    done = fetch_run(kaggle, name, version)
    print(f"{version.page}: {done.run.status}, {len(done.files)} files in {done.folder}")
    for fault in done.faults:
        print(fault, file=sys.stderr)
    raise typer.Exit(1 if done.faults else 0)
