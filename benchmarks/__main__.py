"""Print a table of ratios: each row compares two measurements of the same run.

Run ``python -m benchmarks`` from the repository's root; with ``--data FOLDER`` on the competition's
images, else on synthetic ones and the demo set. Times are CPU times of one thread, which other load
affects less than wall-clock time; only engines are timed by the wall clock. A ratio above 1 is in
this package's favour. Name parts to print only these.
"""

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import cv2

from benchmarks.timing import Row, describe_machine, print_head, print_rows

PARTS = {
    "score": "competition.time_scores",
    "encode": "competition.time_run_lengths",
    "load": "competition.time_loading",
    "instances": "instances.time_steps",
    "submit": "inference.time_submissions",
    "engines": "inference.time_engines",
    "train": "training_step.time_training",
}


def time_part(part: str, data: Path | None, work: Path) -> Iterator[Row]:
    """Yield the rows of a part; its module is imported only when it is measured."""
    module, _, function = PARTS[part].partition(".")
    rows: Iterator[Row] = getattr(import_module(f"benchmarks.{module}"), function)(data, work)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--data", type=Path, help="the competition's files; drawn labels without")
    parser.add_argument("--work", type=Path, default=Path("work"), help="where caches are kept")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    cv2.setNumThreads(1)
    print(describe_machine())
    print_head()
    for part in arguments.parts or PARTS:
        print_rows(time_part(part, arguments.data, arguments.work))


if __name__ == "__main__":
    main()
