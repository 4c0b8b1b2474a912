"""Push a kernel to Kaggle, wait for its run and fetch what it made."""

import json
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb.competition.submission import HEADER
from kaggle_dsb.publish.client import Kaggle, Run, wait_until
from kaggle_dsb.publish.kernel import (
    KERNELS_FOLDER,
    Hardware,
    find_kernel,
    prepare_kernel,
)

BUILD = Path("build")
_LONGEST_RUN_S = 12 * 3600
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
    try:
        text = "".join(str(piece["data"]) for piece in json.loads(text))
    except (ValueError, TypeError, KeyError):
        pass  # a log cut short is still worth reading
    return text.splitlines()[-n_lines:]
