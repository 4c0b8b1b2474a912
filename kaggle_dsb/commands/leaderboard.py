"""Rank local submissions among the known scores of 2018."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaggle_dsb.report.leaderboard import KNOWN_MARKS, Mark, rank_marks, read_marks
from kaggle_dsb.workspace.submission import list_submissions


def make_leaderboard(
    submissions: Path, *, only_own: bool = False
) -> dict[str, list[tuple[int | None, Mark]]]:
    """Rank all local submissions.

    Parameters
    ----------
    submissions : Path
        The folder of submissions; it need not exist.
    only_own : bool
        Leave out the known scores.

    Returns
    -------
    dict of str to list of (rank, Mark)
        The rows of each board, as `kaggle_dsb.report.leaderboard.rank_marks` returns them.
    """
    own = read_marks(submissions)
    return rank_marks(own if only_own else [*KNOWN_MARKS, *own])


def find_unscored(submissions: Path) -> list[str]:
    """Return the names of the submissions that have no score."""
    written = (each for each in list_submissions(submissions) if each.csv_file.exists())
    return [each.name for each in written if not each.read_score()]


def boards_to_json(
    boards: Mapping[str, Sequence[tuple[int | None, Mark]]],
) -> dict[str, list[dict[str, Any]]]:
    """Convert the boards of `make_leaderboard` to JSON types, with one dict per row."""
    return {
        board: [{"rank": rank} | vars(mark) for rank, mark in marks]
        for board, marks in boards.items()
    }
