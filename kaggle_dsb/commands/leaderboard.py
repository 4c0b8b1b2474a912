"""Put one's own submissions among the known marks of 2018."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaggle_dsb.report.leaderboard import KNOWN_MARKS, Mark, rank_marks, read_marks


def make_leaderboard(
    submissions: Path, *, only_own: bool = False
) -> dict[str, list[tuple[int | None, Mark]]]:
    """Rank all local submissions.

    Parameters
    ----------
    submissions : Path
        Folders of submissions; it need not exist.
    only_own : bool
        Leave the known marks out.

    Returns
    -------
    dict of str to list of (rank, Mark)
        For each board its rows, as `kaggle_dsb.report.leaderboard.rank_marks` returns them.
    """
    own = read_marks(submissions)
    return rank_marks(own if only_own else [*KNOWN_MARKS, *own])


def boards_to_json(
    boards: Mapping[str, Sequence[tuple[int | None, Mark]]],
) -> dict[str, list[dict[str, Any]]]:
    """Return what `make_leaderboard` returns as JSON's types: for each board a dict a row."""
    return {
        board: [{"rank": rank} | vars(mark) for rank, mark in marks]
        for board, marks in boards.items()
    }
