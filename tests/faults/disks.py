"""Full disks, folders that cannot be written to, and two commands at once."""

import shutil
from pathlib import Path

from tests.faults.kills import COMMANDS, digest, limit_files, prepare, run, run_undisturbed, start

# Nothing can be made here, not even by root.
READ_ONLY = Path("/sys")
SIZES_BYTES = (0, 100, 2_000, 20_000)


def fill_disks(name: str, scratch: Path) -> list[str]:
    """Run a command where no file can grow beyond some sizes; list what went wrong.

    It must end with one line and exit code 1, leave nothing half-written, and end well once there
    is room.
    """
    command, folder = COMMANDS[name], scratch / name
    base = prepare(name, scratch)
    expected = run_undisturbed(name, base, folder)
    faults = []
    for size in SIZES_BYTES:
        shutil.copytree(base, folder)
        code, said = run(command.arguments, folder, preexec_fn=limit_files(size))
        last = said.splitlines()[-1] if said else ""
        if code not in (0, 1) or (code and not last.startswith("error: ")):
            faults.append(f"{size} bytes: exit {code}: {last}")
        code, said = run(command.arguments, folder)
        if code or digest(folder, command.results) != expected:
            faults.append(f"{size} bytes, then room: exit {code}: {said}")
        shutil.rmtree(folder)
    return faults


def write_nowhere(scratch: Path) -> list[str]:
    """Run commands whose output folder cannot be made; list those that do not say so in a line."""
    scratch.mkdir(parents=True, exist_ok=True)
    faults = []
    for arguments in (["data", "--work", str(READ_ONLY / "work")],):
        code, said = run(arguments, scratch)
        if code != 1 or not said.splitlines()[-1].startswith(f"error: {READ_ONLY}"):
            faults.append(f"{arguments}: exit {code}: {said}")
    return faults


def run_at_once(name: str, scratch: Path, *, n: int = 2) -> list[str]:
    """Start a command several times at once in an empty folder; list what went wrong.

    Each must end well or be refused with a line, and the command must end well after them.
    """
    command = COMMANDS[name]
    folder = scratch / f"{name}-at-once"
    shutil.copytree(prepare(name, scratch), folder)
    processes = [start(command.arguments, folder) for _ in range(n)]
    faults = []
    for process in processes:
        _, said = process.communicate()
        last = said.strip().splitlines()[-1:] or [""]
        if process.returncode not in (0, 1, 2) or "Traceback" in said:
            faults.append(f"exit {process.returncode}: {last[0]}")
        if process.returncode and not last[0].startswith("error: "):
            faults.append(f"exit {process.returncode}: {last[0]}")
    code, said = run(command.arguments, folder)
    if code:
        faults.append(f"afterwards: exit {code}: {said}")
    return faults
