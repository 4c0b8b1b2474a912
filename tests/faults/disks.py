"""Full disks, folders that cannot be written to or were moved, and two commands at once."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.kills import (
    COMMANDS,
    compare,
    digest,
    kill_once,
    limit_files,
    prepare,
    restore,
    run,
    run_undisturbed,
    start,
)

# Nothing can be made here, not even by root.
READ_ONLY = Path("/sys")
SIZES_BYTES = (0, 100, 2_000, 20_000)


def fill_disks(
    name: str, scratch: Path, expected: dict[str, str], *, sizes: tuple[int, ...] = SIZES_BYTES
) -> list[str]:
    """Run a command where no file can grow beyond some sizes; list what went wrong.

    It must end with one line and exit code 1, leave nothing half-written, and end well once there
    is room.
    """
    command, folder = COMMANDS[name], scratch / name
    faults = []
    for size in sizes:
        restore(prepare(name, scratch), folder)
        code, said = run(command.arguments, folder, preexec_fn=limit_files(size))
        faults += [f"{size} bytes: {fault}" for fault in _require_line(code, said)]
        again = compare(command, folder, expected, has_ended=code == 0)
        faults += [f"{size} bytes, then room: {fault}" for fault in again]
    return faults


def _require_line(code: int, said: str) -> list[str]:
    last = said.splitlines()[-1] if said else ""
    is_told = code == 0 or (code in (1, 2) and last.startswith("error: "))
    return [] if is_told and "Traceback" not in said else [f"exit {code}: {said}"]


def fill_small_disk(name: str, scratch: Path, expected: dict[str, str]) -> list[str] | None:
    """Run a command in small file systems that fill up, then with room; None where none is made.

    Only root may mount one.
    """
    command, folder = COMMANDS[name], scratch / name
    restore(prepare(name, scratch), folder)
    needed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    faults = []
    for more in (10_000, 200_000, 1_000_000):
        shutil.rmtree(folder, ignore_errors=True)
        with _small_disk(folder, needed + 4096 * 200 + more) as is_mounted:
            if not is_mounted:
                return None
            shutil.copytree(prepare(name, scratch), folder, dirs_exist_ok=True)
            code, said = run(command.arguments, folder)
            faults += [f"{more} bytes free: {fault}" for fault in _require_line(code, said)]
            subprocess.run(["mount", "-o", "remount,size=2g", folder], check=True)
            again = compare(command, folder, expected, has_ended=code == 0)
            faults += [f"{more} bytes, then room: {fault}" for fault in again]
    return faults


@contextmanager
def _small_disk(folder: Path, size_bytes: int) -> Iterator[bool]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder]
    is_mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def write_nowhere(scratch: Path) -> list[str]:
    """Run commands whose output folder cannot be made; list those that do not say so in a line."""
    scratch.mkdir(parents=True, exist_ok=True)
    faults = []
    for arguments in (["data", "--work", str(READ_ONLY / "work")],):
        code, said = run(arguments, scratch)
        if code != 1 or not said.splitlines()[-1].startswith(f"error: {READ_ONLY}"):
            faults.append(f"{arguments}: exit {code}: {said}")
    return faults


def run_without_home(scratch: Path, expected: dict[str, str]) -> list[str]:
    """Submit where neither the home folder nor a cache in it can be written to."""
    command, folder = COMMANDS["submit"], scratch / "submit"
    restore(prepare("submit", scratch), folder)
    environment = {"HOME": str(READ_ONLY), "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    code, said = run(command.arguments, folder, more=environment)
    if code or "Traceback" in said:
        return [f"exit {code}: {said}"]
    return [] if digest(folder, command) == expected else ["other bytes than with a home"]


def move_between(scratch: Path, expected: dict[str, str], *, elsewhere: Path) -> list[str]:
    """Kill a training, move its folder to another file system and back into another place."""
    command, folder = COMMANDS["train"], scratch / "train"
    restore(prepare("train", scratch), folder)
    checkpoint = folder / "runs" / "killed" / "fold0" / "last.ckpt"
    process = start(command.arguments, folder)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    moved = elsewhere / f"moved-{os.getpid()}"
    shutil.move(folder / "runs", moved)
    shutil.move(moved, folder / "runs")
    faults = compare(command, folder, expected)
    return [*faults, *([] if process.returncode else ["the training was not interrupted"])]


def run_at_once(name: str, scratch: Path, expected: dict[str, str], *, n: int = 2) -> list[str]:
    """Start a command several times at once; list what went wrong.

    Each must end well or be refused with a line, and what they leave must be that of one alone.
    """
    command, folder = COMMANDS[name], scratch / name
    restore(prepare(name, scratch), folder)
    processes = [start(command.arguments, folder) for _ in range(n)]
    faults = []
    for process in processes:
        _, said = process.communicate()
        faults += _require_line(process.returncode, said.strip()[-500:])
    has_ended = not all(process.returncode for process in processes)
    if not has_ended:
        faults.append("none of them ended well")
    afterwards = compare(command, folder, expected, has_ended=has_ended)
    return faults + [f"afterwards: {fault}" for fault in afterwards]


def change_clock(name: str, scratch: Path, expected: dict[str, str]) -> list[str]:
    """Kill a command, set the time of all that it left to tomorrow, and let it end."""
    command, folder = COMMANDS[name], scratch / name
    restore(prepare(name, scratch), folder)
    started = time.monotonic()
    run_undisturbed(name, scratch)
    takes_s = time.monotonic() - started
    restore(prepare(name, scratch), folder)
    kill_once(command, folder, after_s=takes_s / 2)
    tomorrow = time.time() + 86_400
    for path in folder.rglob("*"):
        if not path.is_relative_to(folder / "data"):  # whose times tell that it has not changed
            os.utime(path, (tomorrow, tomorrow))
    return compare(command, folder, expected)
