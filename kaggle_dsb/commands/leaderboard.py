"""Put one's own submissions among the known marks of 2018."""

from pathlib import Path

import pandas as pd

from kaggle_dsb.report.leaderboard import KNOWN_MARKS, rank_marks, read_marks


def make_leaderboard(submissions: Path, *, only_own: bool = False) -> dict[str, pd.DataFrame]:
    """Rank all local submissions.

    Parameters
    ----------
    submissions : Path
        Folders of submissions; it need not exist.
    only_own : bool
        Leave the known marks out.

    Returns
    -------
    dict of str to DataFrame
        For each board its rows, as `kaggle_dsb.report.leaderboard.rank_marks` gives them.
    """
    own = read_marks(submissions)
    table = rank_marks(own if only_own else [*KNOWN_MARKS, *own])
    return {str(board): rows for board, rows in table.groupby("board", sort=False)}
