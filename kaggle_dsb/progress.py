"""Progress of long work, on stderr: a bar with rate and time left, or plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Report = Callable[[int, int], None]
"""Called with the numbers of things done and of all things."""

LOG_EVERY_S = 30.0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


@contextmanager
def show_progress(title: str) -> Iterator[Report]:
    """Show a bar while the block runs; where stderr is no terminal, a line every half minute."""
    if not sys.stderr.isatty():
        yield _log(title)
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), _RateColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _log(title: str) -> Report:
    said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= LOG_EVERY_S or done == total:
            said = now
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    return report
