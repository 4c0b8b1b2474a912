"""Times of jobs that do the same, measured in turn and printed as a table of ratios."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Job = Callable[[], object]

_ROUND_S = 0.05


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
    """Measure the CPU time of jobs in turn, the best of some rounds.

    A quick job is repeated within a round, as a single call would measure the caches that the job
    before it left.
    """
    jobs = {"": ours, **{name: job for name, job in peers.items() if job is not None}}
    best = {name: _measure(job, 1) for name, job in jobs.items()}
    for _ in range(rounds - 1):
        for name, job in jobs.items():
            times = max(1, int(_ROUND_S / max(best[name], 1e-6)))
            best[name] = min(best[name], _measure(job, times))
    return Comparison(task, best[""], {name: best.get(name) for name in peers})


def _measure(job: Job, times: int) -> float:
    """Return the CPU time of a job in seconds, the mean of some calls."""
    started = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - started) / times


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
