"""Time equivalent jobs in turn, and print the results as a table."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kaggle_dsb import __version__
from kaggle_dsb.network.hardware import count_cores

Job = Callable[[], object]
Row = tuple[str, str, str, str, str]
"""Task, measure of this package, alternative, its measure, and the ratio."""

HEAD: Row = ("task", "kaggle_dsb", "beside", "measure", "ratio")

_ROUND_S, _LONG_S = 0.05, 10.0


@dataclass(frozen=True)
class Comparison:
    """The best times of this package and of its alternatives on one task.

    Attributes
    ----------
    task : str
    ours_s : float
    peers_s : dict of str to float or None
        By name; None for one that is not installed.
    """

    task: str
    ours_s: float
    peers_s: dict[str, float | None]

    def rows(self) -> Iterator[Row]:
        """Yield a row for each alternative; a ratio above 1 is in this package's favour."""
        ours = format_s(self.ours_s)
        for name, seconds in self.peers_s.items():
            if seconds is None:
                yield self.task, ours, name, "not installed", ""
            else:
                ratio = f"{seconds / self.ours_s:.2f}"
                yield self.task, ours, name, format_s(seconds), ratio


def compare(task: str, ours: Job, peers: Mapping[str, Job | None], *, rounds: int) -> Comparison:
    """Measure the CPU time of jobs in turn, the best of several rounds.

    A short job is repeated within a round, since a single call would measure the cache misses left
    by the previous job. A very long one is measured once.
    """
    jobs = {"": ours, **{name: job for name, job in peers.items() if job is not None}}
    best = {name: _measure(job, 1) for name, job in jobs.items()}
    for _ in range(rounds - 1):
        for name, job in jobs.items():
            if best[name] > _LONG_S:
                continue
            times = max(1, int(_ROUND_S / max(best[name], 1e-6)))
            best[name] = min(best[name], _measure(job, times))
    return Comparison(task, best[""], {name: best.get(name) for name in peers})


def _measure(job: Job, times: int) -> float:
    """Return the CPU time of a job in seconds, averaged over calls."""
    started = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - started) / times


def format_s(seconds: float) -> str:
    """Format a time with its unit."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def describe_machine() -> str:
    """Return the CPU, its cores, the versions and the date."""
    cpu = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpu.read_text().splitlines() if cpu.exists() else ())
        if line.startswith("model name")
    ]
    name = names[0] if names else platform.processor() or platform.machine()
    return (
        f"{name}, {count_cores()} cores of it used, Python {platform.python_version()}, "
        f"kaggle_dsb {__version__}, {date.today().isoformat()}"
    )


def print_rows(rows: Iterable[Row]) -> None:
    """Print rows of a Markdown table as they arrive."""
    widths = (44, 12, 34, 14, 6)
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        print(f"| {' | '.join(cells)} |", flush=True)


def print_head() -> None:
    """Print the head of the table."""
    print_rows([HEAD])
    print_rows([("---", "---:", "---", "---:", "---:")])
