"""Times of jobs that do the same, measured in turn and printed as a table of ratios."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    """Measure the CPU time of jobs in turn, the best of some rounds."""
    jobs = {"": ours, **{name: job for name, job in peers.items() if job is not None}}
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.process_time()
            job()
            best[name] = min(best[name], time.process_time() - started)
    return Comparison(task, best[""], {name: best.get(name) for name in peers})


def print_head() -> None:
    """Print the names of the columns; a ratio above 1 is in this package's favour."""
    _print_row("task", "kaggle_dsb", "peer", "its time", "ratio")


def print_comparison(comparison: Comparison) -> None:
    """Print a row for each peer."""
    ours = f"{1000 * comparison.ours_s:.2f} ms"
    for name, seconds in comparison.peers_s.items():
        if seconds is None:
            _print_row(comparison.task, ours, name, "not installed", "")
        else:
            ratio = f"{seconds / comparison.ours_s:.1f}"
            _print_row(comparison.task, ours, name, f"{1000 * seconds:.2f} ms", ratio)


def _print_row(task: str, ours: str, peer: str, theirs: str, ratio: str) -> None:
    print(f"{task:32}{ours:>14}  {peer:32}{theirs:>14}{ratio:>8}", flush=True)
