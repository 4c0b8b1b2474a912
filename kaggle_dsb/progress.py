"""Progress on stderr: a bar with rate and remaining time, or log lines."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from kaggle_dsb.aliases import Progress

LOG_EVERY_S = 30.0
WINDOW_S = 60.0

_quiet = False


def be_quiet(quiet: bool) -> None:
    """Set whether to suppress progress and remarks; warnings and errors are always shown."""
    global _quiet  # noqa: PLW0603
    _quiet = quiet


def say(message: str) -> None:
    """Print a remark to stderr, flushed, unless quiet."""
    if not _quiet:
        print(message, file=sys.stderr, flush=True)


@contextmanager
def show_progress(title: str) -> "Iterator[Progress]":
    """Show a progress bar during the block, or a line every half minute if not on a terminal."""
    if _quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _report_to(bar, title)
    else:
        yield _log(title)


class Pace:
    """The rate over the last minute, available from the first step.

    Parameters
    ----------
    started_s : float
        Start time, on the same clock as in `update`.

    Examples
    --------
    >>> pace = Pace(0.0)
    >>> pace.update(4.0, 2, 10)
    >>> pace.text
    '30.0/min, 16 s left'
    """

    def __init__(self, started_s: float) -> None:
        self._steps = deque([(started_s, 0)])
        self.text = ""

    def update(self, now_s: float, done: int, total: int) -> None:
        """Record the number of steps done and the total."""
        while len(self._steps) > 1 and now_s - self._steps[1][0] > WINDOW_S:
            self._steps.popleft()
        self._steps.append((now_s, done))
        first_s, first = self._steps[0]
        if done <= first or now_s <= first_s:
            return
        rate = (done - first) / (now_s - first_s)
        self.text = f"{_describe_rate(rate)}, {_describe_time((total - done) / rate)} left"


def _describe_rate(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def _describe_time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    text, pace = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
    return Bar(text, BarColumn(), MofNCompleteColumn(), pace, console=Console(stderr=True))


def _report_to(bar: "Bar", title: str) -> "Progress":
    task = bar.add_task(title, total=None, pace="")
    pace = Pace(time.monotonic())

    def _report(done: int, total: int) -> None:
        pace.update(time.monotonic(), done, total)
        bar.update(task, completed=done, total=total, pace=pace.text)

    return _report


def _log(title: str) -> "Progress":
    said_s = time.monotonic()
    pace = Pace(said_s)

    def _report(done: int, total: int) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        pace.update(now_s, done, total)
        if done == total:
            say(f"{title}: {done} of {total}")
        elif now_s - said_s >= LOG_EVERY_S:
            said_s = now_s
            say(f"{title}: {done} of {total}, {pace.text}")

    return _report
