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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kaggle_dsb.config import HardwareSettings, NetworkSettings, PredictionSettings, Settings
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.files import LEFTOVER_AGE_S
from kaggle_dsb.settings_files import write_settings
from kaggle_dsb.workspace.run import BUNDLED

ROOT = Path(__file__).parents[2]
# When something was made, how long it took, and from which commit, which may change meanwhile.
VOLATILE = {"made", "elapsed_s", "commit"}
TINY = [
    "network.decoder_channels=[16,8,8,8,8]",
    "augment.crop_px=64",
    "folds.n_folds=2",
    "training.epochs=4",
    "training.crops_per_epoch=8",
    "training.batch_size=4",
    "training.validate_every_epochs=1",
    "hardware.threads=1",
]
WEIGHTS = ["--weights", "weights", "--set", "hardware.threads=1"]


@dataclass(frozen=True)
class Command:
    """A command, and what it leaves.

    Attributes
    ----------
    arguments : list of str
    results : list of str
        Patterns of the files that must be the same after a kill and a rerun.
    has_data : bool
        Whether there are data; else the command makes the demo set, whose files' times, which a
        cache remembers, are then its own.
    """

    arguments: list[str]
    results: list[str]
    has_data: bool = True


COMMANDS = {
    "demo": Command(["data"], ["work/cache/**/*", "work/demo-*/**/*"], has_data=False),
    "data": Command(["data"], ["work/cache/**/*"]),
    "train": Command(
        ["train", "--name", "killed", "--fold", "0", *(x for s in TINY for x in ("--set", s))],
        ["runs/killed/**/*.safetensors", "runs/killed/**/*.csv", "runs/killed/**/*.toml"],
    ),
    "validate": Command(["validate", *WEIGHTS], ["work/oof/**/*", "weights/*"]),
    "tune": Command(["tune", "--trials", "6", *WEIGHTS], ["work/oof/**/*", "weights/*"]),
    "submit": Command(["submit", "--name", "killed", *WEIGHTS], ["submissions/**/*"]),
}


@dataclass
class KillOutcome:
    """How often a command was killed before its end, and what went wrong after it."""

    name: str
    kills: int = 0
    ends: int = 0
    faults: list[str] = field(default_factory=list)


def start(
    arguments: Sequence[str], folder: Path, *, more: Mapping[str, str] = {}, **options: object
) -> "subprocess.Popen[str]":
    """Start the command line in a folder, with more variables in its environment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
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


def digest(folder: Path, command: Command) -> dict[str, str]:
    """Return the hash of every file that a command leaves, less the times in it.

    What a killed process was writing or building has a hidden name, and is no result.
    """
    paths = {path for pattern in command.results for path in folder.glob(pattern)}
    return {
        str(path.relative_to(folder)): _digest_file(path, command)
        for path in sorted(paths)
        if path.is_file() and not is_hidden(path.relative_to(folder))
    }


def is_hidden(path: Path) -> bool:
    """Return whether a path leads through a hidden name."""
    return any(part.startswith(".") for part in path.parts)


def _digest_file(path: Path, command: Command) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        volatile = VOLATILE if command.has_data else VOLATILE | {"fingerprint"}
        record = {key: v for key, v in json.loads(content).items() if key not in volatile}
        content = json.dumps(record).encode()
    if path.name == "metrics.csv":
        content = b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())
    return hashlib.sha256(content).hexdigest()


def kill_often(name: str, scratch: Path, *, kills: int, seed: int) -> KillOutcome:
    """Kill a command at random moments, and compare what its rerun leaves.

    Each round kills the command twice, the second time while it goes on from the first, then lets
    it end, and compares what it leaves with an undisturbed run. After all, what the kills have left
    under hidden names must be removed by a run an hour later.
    """
    command = COMMANDS[name]
    folder, base = scratch / name, prepare(name, scratch)
    started = time.monotonic()
    expected = run_undisturbed(name, scratch)
    takes_s = time.monotonic() - started
    outcome, source = KillOutcome(name), random.Random(seed)
    while outcome.kills < kills:
        restore(base, folder)
        for _ in range(2):
            outcome.kills += kill_once(command, folder, after_s=source.uniform(0, takes_s))
        outcome.faults += compare(command, folder, expected)
        outcome.ends += 1
    outcome.faults += find_lasting_leftovers(command, folder)
    return outcome


def compare(
    command: Command, folder: Path, expected: dict[str, str], *, has_ended: bool = False
) -> list[str]:
    """Run a command to its end, and return how it or what it leaves is not as expected.

    One that has ended is not run again: `tune` would begin from what it has chosen.
    """
    code, said = (0, "") if has_ended else run(command.arguments, folder)
    if code:
        return [f"exit {code}: {said}"]
    changed = sorted(dict(digest(folder, command).items() ^ expected.items()))
    return [f"other bytes in {changed[:5]}"] if changed else []


def find_lasting_leftovers(command: Command, folder: Path) -> list[str]:
    """Return a fault for what killed processes were building and a run an hour later leaves."""
    past = time.time() - LEFTOVER_AGE_S - 1
    leftovers = list(folder.rglob(".*-building-*"))
    for path in (inner for build in leftovers for inner in (build, *build.rglob("*"))):
        os.utime(path, (past, past))
    run(command.arguments, folder)
    lasting = sorted(str(path.relative_to(folder)) for path in leftovers if path.exists())
    return [f"an hour later there still are {lasting[:5]}"] if lasting else []


def prepare(name: str, scratch: Path) -> Path:
    """Return a folder as it is before a command: data, and the bundled networks as of two folds."""
    base = scratch / f"{name}-base"
    if base.exists():
        return base
    base.mkdir(parents=True)
    if COMMANDS[name].has_data:
        write_demo(base / "data", n_train=4, n_test=2, largest_px=128)
        _write_run(base / "weights", sorted(p.name for p in (base / "data/stage1_train").iterdir()))
    return base


def _write_run(folder: Path, ids: Sequence[str]) -> None:
    folder.mkdir()
    for number in (0, 1):
        shutil.copy(BUNDLED / f"fold{number}.safetensors", folder)
    rows = [f"{id_},fluorescence,{n},{n % 2}\n" for n, id_ in enumerate(ids)]
    (folder / "folds.csv").write_text("".join(["ImageId,type,group,fold\n", *rows]))
    write_settings(
        folder / "config.toml",
        Settings(
            network=NetworkSettings(),
            prediction=PredictionSettings(tta="none", scales=(1.0,)),
            hardware=HardwareSettings(),
        ),
    )


def restore(base: Path, folder: Path) -> None:
    """Make a folder as it was before a command.

    The same folder must be used for what is compared: the names of caches depend on it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)


def run_undisturbed(name: str, scratch: Path) -> dict[str, str]:
    """Run a command, and return what it leaves."""
    command, folder = COMMANDS[name], scratch / name
    restore(prepare(name, scratch), folder)
    code, said = run(command.arguments, folder)
    if code:
        raise RuntimeError(f"{command.arguments}: exit {code}: {said}")
    return digest(folder, command)


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
