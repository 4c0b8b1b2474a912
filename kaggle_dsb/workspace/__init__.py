"""The folders that the stages hand over: data, trained runs, submissions."""

from pathlib import Path

RUNS = Path("runs")
SUBMISSIONS = Path("submissions")
