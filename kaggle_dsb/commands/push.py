"""Push the bundle and the kernels to Kaggle, wait for a run and fetch what it made."""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb.competition.submission import HEADER
from kaggle_dsb.publish.bundle import BUNDLE_FOLDER, BUNDLE_SLUG, check_bundle, write_metadata
from kaggle_dsb.publish.client import Kaggle, KaggleError, Run, wait_until
from kaggle_dsb.publish.kernel import (
    KERNELS_FOLDER,
    Hardware,
    find_kernel,
    prepare_kernel,
)

BUILD = Path("build")
_LONGEST_RUN_S = 14 * 3600  # 12 hours is what Kaggle allows, and a queue goes before
_LOG_LINES = 20


@dataclass(frozen=True)
class Pushed:
    """A kernel that was pushed and has run.

    Attributes
    ----------
    page : str
        Where it is on Kaggle.
    run : Run
    folder : Path
        Holds its output and its log.
    files : list of Path
    faults : list of str
        Why the run is no success, a line each; none when it is one.
    """

    page: str
    run: Run
    folder: Path
    files: list[Path]
    faults: list[str]


def push_bundle(
    kaggle: Kaggle,
    folder: Path = BUNDLE_FOLDER,
    *,
    notes: str,
    every_s: float = 5,
    limit_s: float = 1800,
) -> str:
    """Create the bundle's data set, or a new version of it, and wait until kernels can use it.

    Parameters
    ----------
    kaggle : Kaggle
    folder : Path
        As `kaggle_dsb.commands.bundle.bundle` built it.
    notes : str
        What the version is called.
    every_s, limit_s : float
        How often to ask whether it is ready, and how long.

    Returns
    -------
    str
        Its name on Kaggle, ``user/slug``.

    Raises
    ------
    InputError
        When the folder is no whole bundle, or Kaggle refuses it.
    """
    check_bundle(folder)
    write_metadata(folder, kaggle.username)
    ref = f"{kaggle.username}/{BUNDLE_SLUG}"
    kaggle.upload_dataset(folder, is_new=kaggle.dataset_status(ref) is None, notes=notes)

    def ask() -> str | None:
        status = kaggle.dataset_status(ref)
        return status if status in ("ready", "failed", "deleted") else None

    status = wait_until(ask, doing=f"{ref}: getting ready", every_s=every_s, limit_s=limit_s)
    if status != "ready":
        raise KaggleError(f"{ref}: Kaggle could not prepare the data set (status {status})")
    return ref


def push(
    kaggle: Kaggle,
    name: str,
    *,
    hardware: Hardware = "gpu",
    trained: bool = False,
    kernels: Path = KERNELS_FOLDER,
    every_s: float = 15,
) -> Pushed:
    """Push a kernel, wait until its run is over, and fetch its output and log.

    Parameters
    ----------
    kaggle : Kaggle
    name : str
        ``submit`` or ``train``.
    hardware : {"gpu", "cpu"}
    trained : bool
        Whether to attach the output of the train kernel.
    kernels : Path
        The folder of the scripts.
    every_s : float
        How often to ask how the run stands.

    Raises
    ------
    InputError
        When the kernel has a fault or Kaggle refuses it or one of its sources.
    """
    kernel = find_kernel(name)
    owner = kaggle.username
    folder = prepare_kernel(
        name,
        BUILD / "kernels",
        owner=owner,
        hardware=hardware,
        trained=trained,
        kernels=kernels,
    )
    page = kaggle.push_kernel(folder)
    ref = f"{owner}/{kernel.slug}"

    def ask() -> Run | None:
        run = kaggle.kernel_run(ref)
        return run if run.is_over else None

    run = wait_until(ask, doing=f"{ref}: running", every_s=every_s, limit_s=_LONGEST_RUN_S)
    target = BUILD / "output" / name
    shutil.rmtree(target, ignore_errors=True)
    files = kaggle.fetch_output(ref, target)
    faults = [*_find_faults(run, files[-1]), *_find_output_faults(target / kernel.output)]
    return Pushed(page, run, target, files, faults)


def _find_faults(run: Run, log: Path) -> list[str]:
    if run.status == "complete":
        return []
    reason = f": {run.failure}" if run.failure else ""
    return [f"the run ended with {run.status}{reason}", *tail_log(log)]


def _find_output_faults(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path}: the run did not make it"]
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    if path.name == "submission.csv" and first != ",".join(HEADER):
        return [f"{path}: begins with {first[:60]!r}, not with {','.join(HEADER)!r}"]
    return []


def tail_log(path: Path, n_lines: int = _LOG_LINES) -> list[str]:
    """Give the last lines of a kernel's log, which Kaggle writes as a JSON list of pieces."""
    text = path.read_text(encoding="utf-8", errors="replace")
    # A log that was cut short is no JSON, and still worth reading.
    with suppress(ValueError, TypeError, KeyError):
        text = "".join(str(piece["data"]) for piece in json.loads(text))
    return text.splitlines()[-n_lines:]
