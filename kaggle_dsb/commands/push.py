"""Push the bundle and the kernels to Kaggle, wait for a run and fetch its output."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.competition.submission import HEADER
from kaggle_dsb.dataset.building import building
from kaggle_dsb.files import InputError, read_json, write_json
from kaggle_dsb.progress import say
from kaggle_dsb.publish import BUNDLE_FOLDER
from kaggle_dsb.publish.bundle import BUNDLE_SLUG, open_bundle, write_metadata
from kaggle_dsb.publish.client import Kaggle, KernelRun, PushedVersion
from kaggle_dsb.publish.errors import KaggleError
from kaggle_dsb.publish.kernel import find_kernel
from kaggle_dsb.publish.session import wait_until
from kaggle_dsb.workspace import BUILD

PUSHED_FILE = BUILD / "pushed.json"
_LONGEST_RUN_S = 14 * 3600  # Kaggle allows 12 hours, and time in the queue comes before
_LOG_LINES = 20


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of a kernel, and its fetched output.

    Attributes
    ----------
    version : PushedVersion
    run : KernelRun
    folder : Path
        Holds its output and its log.
    files : list of Path
    faults : list of str
        Why the run failed, one line each; empty if it succeeded.
    """

    version: PushedVersion
    run: KernelRun
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
    """Upload the bundle as a data set or a new version of it, and wait until it is ready.

    Parameters
    ----------
    kaggle : Kaggle
    folder : Path
        As `kaggle_dsb.commands.bundle.bundle_run` built it.
    notes : str
        The notes of the version.
    every_s, limit_s : float
        The polling interval and the time limit until it is ready, in seconds.

    Returns
    -------
    str
        Its name on Kaggle, ``user/slug``.

    Raises
    ------
    InputError
        When the folder is not a complete bundle, or Kaggle rejects it.

    Notes
    -----
    ``build/pushed.json`` records what was uploaded; the same bundle is not uploaded twice.
    """
    write_metadata(folder, kaggle.username)
    bundle = open_bundle(folder)
    ref = f"{kaggle.username}/{BUNDLE_SLUG}"
    entry = {"ref": ref, "sha256": bundle.digest}
    status = kaggle.dataset_status(ref)
    if status == "ready" and _read_pushed().get("bundle") == entry:
        say(f"{ref}: unchanged since the last push, not uploaded again")
        return ref
    kaggle.upload_dataset(folder, is_new=status is None, notes=notes)

    def _ask() -> str | None:
        status = kaggle.dataset_status(ref)
        return status if status in ("ready", "failed", "deleted") else None

    status = wait_until(_ask, doing=f"{ref}: processing", every_s=every_s, limit_s=limit_s)
    if status != "ready":
        raise KaggleError(f"{ref}: Kaggle could not prepare the data set (status {status})")
    _record_pushed("bundle", entry)
    return ref


def push_kernel(kaggle: Kaggle, name: str, folder: Path) -> PushedVersion:
    """Push a kernel, which starts its run.

    Parameters
    ----------
    kaggle : Kaggle
    name : str
        ``submit`` or ``train``.
    folder : Path
        As `kaggle_dsb.publish.kernel.prepare_kernel` wrote it.

    Raises
    ------
    KaggleError
        When Kaggle rejects it or one of its sources.
    """
    version = kaggle.push_kernel(folder)
    _record_pushed(name, asdict(version))
    return version


def find_pushed(kaggle: Kaggle, name: str) -> PushedVersion:
    """Return the version of a kernel that was last pushed from here, else Kaggle's latest."""
    ref = f"{kaggle.username}/{find_kernel(name).slug}"
    entry = _read_pushed().get(name)
    if entry is not None:
        try:
            pushed = PushedVersion(**entry)
        except TypeError:
            raise InputError(f"{PUSHED_FILE}: is damaged at {name!r}; remove it") from None
        if pushed.ref == ref:
            return pushed
    return PushedVersion(ref, None, f"https://www.kaggle.com/code/{ref}")


def fetch_run(
    kaggle: Kaggle, name: str, version: PushedVersion, *, every_s: float = 15
) -> FinishedRun:
    """Wait until the run of a kernel is over, and fetch its output and log.

    Those of a failed run are in ``build/output/NAME-failed``; earlier output is kept.

    Parameters
    ----------
    kaggle : Kaggle
    name : str
        ``submit`` or ``train``.
    version : PushedVersion
        As `push_kernel` or `find_pushed` returned it.
    every_s : float
        The polling interval in seconds. Polling goes on while there is no connection.
    """

    def _ask() -> KernelRun | None:
        run = kaggle.kernel_run(version)
        return run if run.is_over else None

    doing = f"{version.ref}: running"
    run = wait_until(_ask, doing=doing, every_s=every_s, limit_s=_LONGEST_RUN_S)
    target, failed = BUILD / "output" / name, BUILD / "output" / f"{name}-failed"
    with building(failed) as fetched:
        files = [path.relative_to(fetched) for path in kaggle.fetch_output(version, fetched)]
    output = failed / find_kernel(name).output
    faults = [*_find_faults(run, failed / files[-1]), *_find_output_faults(output)]
    if not faults:
        with building(target) as new:
            for path in failed.iterdir():
                path.rename(new / path.name)
        failed.rmdir()
    folder = failed if faults else target
    return FinishedRun(version, run, folder, [folder / path for path in files], faults)


def tail_log(path: Path) -> list[str]:
    """Return the last lines of a kernel's log, a JSON list of pieces."""
    text = path.read_text(encoding="utf-8", errors="replace")
    # A truncated log is not valid JSON, but still worth reading.
    with suppress(ValueError, TypeError, KeyError):
        text = "".join(str(piece["data"]) for piece in json.loads(text))
    return text.splitlines()[-_LOG_LINES:]


def _find_faults(run: KernelRun, log: Path) -> list[str]:
    if run.status == "complete":
        return []
    reason = f": {run.failure}" if run.failure else ""
    return [f"the run ended with status {run.status}{reason}", *tail_log(log)]


def _find_output_faults(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path}: missing from the output of the run"]
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
    if path.name == "submission.csv" and first != ",".join(HEADER):
        return [f"{path}: starts with {first[:60]!r}, expected {','.join(HEADER)!r}"]
    return []


def _read_pushed() -> dict[str, Any]:
    return read_json(PUSHED_FILE) if PUSHED_FILE.exists() else {}


def _record_pushed(key: str, entry: dict[str, Any]) -> None:
    write_json(PUSHED_FILE, _read_pushed() | {key: entry})
