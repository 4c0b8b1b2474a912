"""Open what the user names on the command line: data, networks, settings, submissions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_dsb.files import InputError
from kaggle_dsb.progress import say, show_progress
from kaggle_dsb.workspace import RUNS, SUBMISSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kaggle_dsb.config import Settings
    from kaggle_dsb.options import Reading
    from kaggle_dsb.workspace.run import Run
    from kaggle_dsb.workspace.source import Source
    from kaggle_dsb.workspace.submission import SubmissionFolder


def open_data(
    data: Path | None,
    reading: "Reading",
    *,
    limit: int | None = None,
    made: "SubmissionFolder | None" = None,
    repeats_warnings: bool = False,
) -> "Source":
    """Open the named data, else those of a submission.

    Parameters
    ----------
    data : Path or None
    reading : Reading
        If its options are the defaults, those recorded for the submission are used.
    limit : int, optional
        Use only this many images of each set.
    made : SubmissionFolder, optional
        The submission that the data are opened for.
    repeats_warnings : bool
        Print the warnings about the files even if they were read before.

    Raises
    ------
    InputError
        When the data cannot be used.
    """
    say(f"reading {data or 'the data'}")  # before the imports, which take seconds
    from kaggle_dsb.workspace.source import open_source

    if made and data is None:
        data = made.find_data()
    with show_progress("preparing the data") as progress:
        source = open_source(
            data,
            work=reading.work,
            limit=limit,
            demo=bool(made and made.is_of_demo),
            progress=progress,
            options=made.choose_read_options(reading.options) if made else reading.options,
        )
    if source.is_demo:
        say("demo: no data given; using the package's own synthetic images")
    shows_warnings = source.prepared.is_new or repeats_warnings
    for warning in source.prepared.warnings if shows_warnings else ():
        print(f"warning: {warning}", file=sys.stderr)
    return source


def open_all(
    data: Path | None,
    others: "Sequence[Path] | None",
    reading: "Reading",
    *,
    limit: int | None = None,
) -> "tuple[Source, list[Source]]":
    """Open the main source and any others; see `open_data`."""
    main, *rest = (open_data(path, reading, limit=limit) for path in (data, *(others or ())))
    return main, rest


def open_networks(
    weights: Path | None,
    config: Path | None = None,
    overrides: "Sequence[str] | None" = None,
    *,
    fast: bool = False,
) -> "tuple[Run, Settings]":
    """Find the networks, and load their settings with any changes.

    Parameters
    ----------
    weights : Path or None
        Folder of a run, or ``bundled``; by default the newest complete and validated run, else the
        bundled one.
    config : Path, optional
        TOML file of settings, or the name of a profile.
    overrides : sequence of str, optional
        ``section.key=value`` each.
    fast : bool
        Use one network, at one scale and without test-time augmentation, unless ``config`` or
        ``overrides`` set otherwise.

    Raises
    ------
    InputError
        When there are no such networks, or a setting is invalid.
    """
    from kaggle_dsb.workspace.run import find_run

    run = find_run(weights)
    files = settings_files(config)
    changes = [*(_fast_settings(files) if fast else ()), *(overrides or ())]
    settings = run.load_settings(*files, overrides=changes)
    run = run.fast() if fast else run
    say(f"weights: {describe_networks(run, weights)}")
    return run, settings


def _fast_settings(files: "Sequence[Path]") -> list[str]:
    """Return the settings of ``--fast`` that no file sets."""
    from kaggle_dsb.settings_files import load_settings
    from kaggle_dsb.workspace.run import FAST_SETTINGS

    given = {f"prediction.{key}" for key in load_settings(*files).prediction.model_fields_set}
    return [change for change in FAST_SETTINGS if change.partition("=")[0] not in given]


def describe_networks(run: "Run", weights: Path | None) -> str:
    """Describe the networks in one line and, if none were named, why they were chosen."""
    return run.describe(runs=None if weights else RUNS)


def settings_files(config: Path | None) -> list[Path]:
    """Return the path of the settings file, if any, as a list."""
    from kaggle_dsb.settings_files import find_settings_file

    return [find_settings_file(config)] if config else []


def find_submission(name: str | None) -> "SubmissionFolder":
    """Return the folder of a submission, given as ``NAME`` or ``submissions/NAME``.

    Parameters
    ----------
    name : str or None
        None is the newest submission.

    Raises
    ------
    InputError
        When there is no submission of this name, or none at all.
    """
    from kaggle_dsb.workspace.submission import SubmissionFolder, list_submissions

    if name is None:
        made_here = [each for each in list_submissions() if each.csv_file.exists()]
        # By the record, since a fresh clone gives all files one time.
        newest = max(
            made_here, key=lambda each: str(each.read_made().get("made", "")), default=None
        )
        if newest is None:
            raise InputError(
                f"{SUBMISSIONS}: contains no submission; create one with `kaggle-dsb submit`"
            )
        say(f"submission: {newest.name}, the newest")
        return newest
    is_path = Path(name).parent == SUBMISSIONS  # from the shell's tab completion
    submission = SubmissionFolder(SUBMISSIONS / require_name(Path(name).name if is_path else name))
    if not submission.csv_file.exists():
        raise InputError(
            f"{submission.folder}: contains no submission.csv; create one with `kaggle-dsb submit`"
            f"{_list_existing()}"
        )
    return submission


def _list_existing() -> str:
    from kaggle_dsb.workspace.submission import list_submissions

    made = ", ".join(made.name for made in list_submissions() if made.csv_file.exists())
    return f"; existing submissions: {made}" if made else ""


def find_submission_of(predicted: Path) -> "SubmissionFolder | None":
    """Return the submission whose folder, CSV or name a path is; None if there is none.

    Raises
    ------
    InputError
        When the path is a name without suffix, and there is no file, folder or submission of it.
    """
    from kaggle_dsb.workspace.submission import SubmissionFolder

    is_name = predicted.name == str(predicted) and not predicted.exists()
    for folder in (SUBMISSIONS / predicted if is_name else predicted, predicted.parent):
        submission = SubmissionFolder(folder)
        is_meant = is_name or predicted in (folder, submission.csv_file)
        if is_meant and submission.made_file.exists():
            return submission
    if is_name and not predicted.suffix:
        raise InputError(f"{predicted}: no such file, folder or submission{_list_existing()}")
    return None


def require_name(name: str) -> str:
    """Return a name; raise ``InputError`` unless it is a valid folder name.

    Raises
    ------
    InputError
        When it is empty, hidden, or a path.
    """
    if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
        raise InputError(f"--name {name!r}: must be a plain folder name, such as first-try")
    return name


def refuse_with(option: str, **given: object) -> None:
    """Raise ``InputError`` if an option in ``given`` is set that has no effect with ``option``."""
    _refuse(given, f"with {option}")


def refuse_without(option: str, **given: object) -> None:
    """Raise ``InputError`` if an option in ``given`` is set, which needs ``option``."""
    _refuse(given, f"without {option}")


def _refuse(given: "Mapping[str, object]", when: str) -> None:
    for name, value in given.items():
        if value or (value == 0 and value is not False):
            option = name.rstrip("_").replace("_", "-")
            raise InputError(f"--{option}: has no effect {when}; remove it")
