"""The folders passed between the stages: data, trained runs, submissions; and other results."""

from pathlib import Path

RUNS = Path("runs")
SUBMISSIONS = Path("submissions")
PICTURES = Path("pictures")
REPORTS = Path("reports")
BUILD = Path("build")
RESULTS = (RUNS, SUBMISSIONS, PICTURES, REPORTS, BUILD)
