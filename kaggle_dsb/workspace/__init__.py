"""The folders passed between the stages: data, trained runs, submissions."""

from pathlib import Path

RUNS = Path("runs")
SUBMISSIONS = Path("submissions")
