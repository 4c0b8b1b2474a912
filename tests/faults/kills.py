"""Kill commands at random moments, and see that the same command then ends as if undisturbed."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
VOLATILE = {"made", "elapsed_s", "commit", "fingerprint"}  # a fingerprint holds times of files
SHORT = ["--limit", "6", "--set", "folds.n_folds=2", "--set", "hardware.threads=1"]


@dataclass(frozen=True)
class Command:
    """A command, what must have run before it, and what it leaves.

    Attributes
    ----------
    arguments : list of str
    before : list of list of str
    results : list of str
        Patterns of the files that must be the same after a kill and a rerun.
    """

    arguments: list[str]
    results: list[str]
    before: list[list[str]] = field(default_factory=list)


COMMANDS = {
    "data": Command(["data"], ["work/cache/**/*", "work/demo-*/**/*"]),
    "submit": Command(
        ["submit", "--fast", "--name", "killed", "--limit", "4"],
        ["submissions/killed/*.csv", "submissions/killed/*.json", "submissions/killed/labels/*"],
        before=[["data", "--limit", "4"]],
    ),
    "train": Command(
        ["train", "--name", "killed", "--fold", "0", *SHORT],
        ["runs/killed/*.safetensors", "runs/killed/*.csv", "runs/killed/*.toml"],
        before=[["data", "--limit", "6"]],
    ),
    "tune": Command(
        ["tune", "--weights", "runs/small", "--limit", "6"],
        ["runs/small/*.safetensors", "runs/small/*.toml", "runs/small/*.json"],
        before=[["train", "--name", "small", *SHORT]],
    ),
}


@dataclass
class KillOutcome:
    """How often a command was killed before its end, and what went wrong after it."""

    name: str
    kills: int = 0
    ends: int = 0
    faults: list[str] = field(default_factory=list)


def start(arguments: Sequence[str], folder: Path, **options: object) -> "subprocess.Popen[str]":
    """Start the command line in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "kaggle_dsb", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )


def run(arguments: Sequence[str], folder: Path, **options: object) -> tuple[int, str]:
    """Run the command line to its end; return its exit code and what it said last on stderr."""
    process = start(arguments, folder, **options)
    _, said = process.communicate()
    return process.returncode, said.strip()[-500:]


def digest(folder: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Return the hash of every file; of a record without the time at which it was made."""
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    names = {path.relative_to(folder): path for path in sorted(paths)}
    # What a killed process was building has a hidden name, and is no result.
    return {
        str(name): _digest_file(path)
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def _digest_file(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        record = {key: v for key, v in json.loads(content).items() if key not in VOLATILE}
        content = json.dumps(record).encode()
    return hashlib.sha256(content).hexdigest()


def kill_often(
    name: str, scratch: Path, *, kills: int, seed: int, tell: Callable[[str], None] = print
) -> KillOutcome:
    """Kill a command at random moments of its time, each time from the start and once more.

    Each round kills the command twice, the second time while it goes on from the first, then lets
    it end, and compares what it leaves with an undisturbed run.
    """
    command, folder = COMMANDS[name], scratch / name
    base = prepare(name, scratch)
    started = time.monotonic()
    expected = run_undisturbed(name, base, folder)
    takes_s = time.monotonic() - started
    outcome, source = KillOutcome(name), random.Random(seed)
    while outcome.kills < kills:
        shutil.copytree(base, folder)
        for _ in range(2):
            outcome.kills += kill_once(command, folder, after_s=source.uniform(0, takes_s))
        code, said = run(command.arguments, folder)
        outcome.ends += 1
        if code:
            outcome.faults.append(f"exit {code}: {said}")
        elif digest(folder, command.results) != expected:
            changed = dict(digest(folder, command.results).items() ^ expected.items())
            outcome.faults.append(f"other bytes in {sorted(changed)[:5]}")
        tell(f"{name}: {outcome.kills} kills, {outcome.faults[-1:]}")
        shutil.rmtree(folder)
    return outcome


def prepare(name: str, scratch: Path) -> Path:
    """Return a folder in which all has run that must run before a command."""
    base = scratch / f"{name}-base"
    if not base.exists():
        base.mkdir(parents=True)
        for arguments in COMMANDS[name].before:
            _require_success(arguments, base)
    return base


def run_undisturbed(name: str, base: Path, folder: Path) -> dict[str, str]:
    """Run a command in ``folder``, a copy of ``base``, and return what it leaves.

    The same folder must be used for what is compared: the names of caches depend on it.
    """
    shutil.copytree(base, folder)
    _require_success(COMMANDS[name].arguments, folder)
    expected = digest(folder, COMMANDS[name].results)
    shutil.rmtree(folder)
    return expected


def _require_success(arguments: Sequence[str], folder: Path) -> None:
    code, said = run(arguments, folder)
    if code:
        raise RuntimeError(f"{arguments}: exit {code}: {said}")


def kill_once(command: Command, folder: Path, *, after_s: float) -> bool:
    """Start a command and kill it after a time; return whether it had not ended by then."""
    process = start(command.arguments, folder)
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def limit_files(most_bytes: int) -> Callable[[], None]:
    """Return what makes every write beyond a size fail in a process, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return limit
