import io
import re

import pytest

from kaggle_dsb import progress
from kaggle_dsb.progress import Pace, be_quiet, say, show_progress


@pytest.fixture
def clock(monkeypatch):
    """Stand in for the clock: a list whose last entry is the time now."""
    times = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    return times


def test_rate_and_time_left_are_known_from_the_first_step_on():
    pace = Pace(0.0)
    assert pace.text == ""
    pace.update(50.0, 1, 65)
    assert pace.text == "1.2/min, 53 min left"
    pace.update(100.0, 51, 65)
    assert pace.text == "30.6/min, 27 s left"


def test_the_rate_is_that_of_the_last_minute():
    pace = Pace(0.0)
    pace.update(0.5, 300, 664)  # what was there already
    for step in range(1, 41):
        pace.update(0.5 + 4.0 * step, 300 + step, 664)
    assert pace.text == "15.0/min, 22 min left"


def test_a_log_gets_a_line_every_half_minute_and_one_at_the_end(capsys, clock):
    with show_progress("predicting") as report:
        for done in range(1, 5):
            clock.append(clock[-1] + 20.0)
            report(done, 4)
    assert capsys.readouterr().err.splitlines() == [
        "predicting: 2 of 4, 3.0/min, 40 s left",
        "predicting: 4 of 4",
    ]


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch, clock):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with show_progress("predicting") as report:
        clock.append(10.0)
        report(1, 5)
    assert "1/5 6.0/min, 40 s left" in terminal.getvalue()
    assert not re.search(r"\x1b\[[\d;]*(?:3|9)\d", terminal.getvalue())  # no colour


def test_what_is_quiet_says_nothing(capsys):
    be_quiet(True)
    try:
        say("hello")
        with show_progress("predicting") as report:
            report(4, 4)
    finally:
        be_quiet(False)
    assert capsys.readouterr().err == ""
    say("hello")
    assert capsys.readouterr().err == "hello\n"
