"""Fuzz, kill and starve at full length: ``python -m tests.faults``, or `make faults`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.disks import fill_disks, run_at_once, write_nowhere
from tests.faults.fuzz import fuzz, fuzz_by_coverage
from tests.faults.kills import COMMANDS, kill_often
from tests.faults.targets import TARGETS


def main() -> int:
    """Print what was tried and each fault; return 1 when there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="of random fuzzing, in all")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    faults: list[str] = []
    seconds = 60 * arguments.minutes / len(TARGETS)
    for name, target in TARGETS.items() if seconds else ():
        outcome = fuzz(target, name=name, seed=arguments.seed, seconds=seconds)
        tell("fuzz", name, f"{outcome.inputs} inputs", outcome.faults, faults)
        said = fuzz_by_coverage(name, max(1, int(seconds)))
        failed = [said] if said and "AssertionError" in said else []
        tell("fuzz by coverage", name, "atheris" if said else "not installed", failed, faults)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in arguments.commands:
            if arguments.kills:
                killed = kill_often(name, scratch, kills=arguments.kills, seed=arguments.seed)
                tell("kill -9", name, f"{killed.kills} kills", killed.faults, faults)
            tell("full disk", name, "4 sizes", fill_disks(name, scratch), faults)
            tell("at once", name, "2 runs", run_at_once(name, scratch), faults)
        tell("read-only", "data", "1 folder", write_nowhere(scratch / "nowhere"), faults)
    return 1 if faults else 0


def tell(what: str, name: str, counts: str, found: list[str], faults: list[str]) -> None:
    """Print a line about a trial, and a line for each of its faults."""
    print(f"{what}: {name}: {counts}, {len(found)} faults", flush=True)
    for fault in found:
        print(f"  {fault}", flush=True)
    faults += [f"{what}: {name}: {fault}" for fault in found]


if __name__ == "__main__":
    sys.exit(main())
