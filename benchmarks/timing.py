"""Times of jobs that do the same, measured in turn and printed as a table of ratios."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

Job = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """The best times of this package and of its peers on one task.

    Attributes
    ----------
    task : str
    ours_s : float
    peers_s : dict of str to float or None
        By name; None for a peer that is not installed.
    """

    task: str
    ours_s: float
    peers_s: dict[str, float | None]


def compare(task: str, ours: Job, peers: Mapping[str, Job | None], *, rounds: int) -> Comparison:
    """Time jobs in turn, so that a busy moment of the machine hits all of them, best of rounds."""
    jobs = {"": ours, **{name: job for name, job in peers.items() if job is not None}}
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - started)
    return Comparison(task, best[""], {name: best.get(name) for name in peers})


def print_comparisons(comparisons: list[Comparison]) -> None:
    """Print a row for each task and peer; a ratio above 1 is in this package's favour."""
    table = Table(box=None, pad_edge=False)
    for name in ("task", "kaggle_dsb", "peer", "", "ratio"):
        table.add_column(name, justify="left" if name in ("task", "peer") else "right")
    for comparison in comparisons:
        for name, seconds in comparison.peers_s.items():
            table.add_row(
                comparison.task,
                f"{1000 * comparison.ours_s:.2f} ms",
                name,
                f"{1000 * seconds:.2f} ms" if seconds is not None else "not installed",
                f"{seconds / comparison.ours_s:.1f}" if seconds is not None else "",
            )
    Console(width=110).print(table)
