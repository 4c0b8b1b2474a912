"""Fuzz, kill and starve at full length: ``python -m tests.faults``, or `make faults`."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults import disks
from tests.faults.fuzz import fuzz, fuzz_by_coverage, fuzz_by_hypothesis
from tests.faults.kills import COMMANDS, kill_often, run_undisturbed
from tests.faults.targets import TARGETS

WHAT = ["fuzz", "hypothesis", "atheris", "kills", "disks"]


def main() -> int:
    """Print what was tried and each fault; return 1 when there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=WHAT, choices=WHAT)
    parser.add_argument("--minutes", type=float, default=10, help="of each way to fuzz")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    faults: list[str] = []
    seconds = 60 * arguments.minutes / len(TARGETS)
    ways = {"fuzz": fuzz, "hypothesis": fuzz_by_hypothesis, "atheris": fuzz_by_coverage}
    for way in [name for name in ways if name in arguments.only]:
        for name, target in TARGETS.items():
            outcome = ways[way](target, name=name, seed=arguments.seed, seconds=seconds)
            tell(way, name, f"{outcome.inputs} inputs", outcome.faults, faults)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.commands:
            disturb(name, Path(folder), arguments, faults)
    return 1 if faults else 0


def disturb(name: str, scratch: Path, arguments: argparse.Namespace, faults: list[str]) -> None:
    """Kill and starve a command."""
    if "kills" in arguments.only:
        killed = kill_often(name, scratch, kills=arguments.kills, seed=arguments.seed)
        tell("kill -9", name, f"{killed.kills} kills", killed.faults, faults)
    if "disks" not in arguments.only:
        return
    expected = run_undisturbed(name, scratch)
    trials: dict[str, Callable[[], list[str] | None]] = {
        "files that cannot grow": lambda: disks.fill_disks(name, scratch, expected),
        "a full disk": lambda: disks.fill_small_disk(name, scratch, expected),
        "at once": lambda: disks.run_at_once(name, scratch, expected),
        "a clock moved back": lambda: disks.change_clock(name, scratch, expected),
    }
    if name == "data":
        trials["a folder that cannot be made"] = lambda: disks.write_nowhere(scratch / "nowhere")
    if name == "submit":
        trials["no home"] = lambda: disks.run_without_home(scratch, expected)
    if name == "train":
        elsewhere = Path("/dev/shm")
        trials["moved"] = lambda: disks.move_between(scratch, expected, elsewhere=elsewhere)
    for what, trial in trials.items():
        found = trial()
        tell(what, name, "not possible here" if found is None else "tried", found or [], faults)


def tell(what: str, name: str, counts: str, found: list[str], faults: list[str]) -> None:
    """Print a line about a trial, and a line for each of its faults."""
    print(f"{what}: {name}: {counts}, {len(found)} faults", flush=True)
    for fault in found:
        print(f"  {fault}", flush=True)
    faults += [f"{what}: {name}: {fault}" for fault in found]


if __name__ == "__main__":
    sys.exit(main())
