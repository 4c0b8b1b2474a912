"""Leaderboards: the user's submissions among the published scores.

Scores are ranked only against scores on the same images. Each such set of images is a board.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.dataset import TEST_SETS
from kaggle_dsb.files import InputError
from kaggle_dsb.workspace.submission import list_submissions

STAGE1 = "stage 1 test, 65 images"
STAGE2 = "stage 2 private, 106 images"
STARDIST = "StarDist's split, 50 fluorescence images, AP pooled over nuclei, mean of IoU .5 to .9"
CROSS_VALIDATION = "cross-validation on the training images, each entry with its own folds"
DEMO = "demo images"
BOARDS = (STAGE1, STAGE2, CROSS_VALIDATION, STARDIST, DEMO)

STAGE1_IDS_SHA256 = "031c0a93e6f58c3d6bb67656dc0c264fb9e79c250c750443fc2585dd82ab8209"
"""SHA-256 of the 65 ids of the first stage's test images, sorted and joined by newlines."""

_CAICEDO = "Caicedo et al. 2019, Nature Methods 16:1247; carpenterlab/2019_caicedo_dsb"
_SCHMIDT = "Schmidt et al. 2018, MICCAI"
_UNRANKED = {CROSS_VALIDATION}


@dataclass(frozen=True)
class Mark:
    """A score on a board.

    Attributes
    ----------
    board : str
        One of `BOARDS`, or another set of images.
    name : str
    score : float
    source : str
        Publication, or how the user's own score was measured.
    date : str
        ``YYYY-MM-DD``; empty if unknown.
    is_own : bool
        Whether it is a submission of the user.
    """

    board: str
    name: str
    score: float
    source: str
    date: str = ""
    is_own: bool = False


def _marks(board: str, source: str, scores: dict[str, float]) -> list[Mark]:
    return [Mark(board, name, score, source) for name, score in scores.items()]


def _stardist(name: str, paper: str, *precision: float) -> Mark:
    listed = " ".join(f"{value:.3f}"[1:] for value in precision)
    return Mark(STARDIST, name, sum(precision) / len(precision), f"{paper}; {listed}")


KNOWN_MARKS: tuple[Mark, ...] = (
    *_marks(
        STAGE2,
        _CAICEDO,
        {
            "topcoders (1st)": 0.631646,
            "jacobkie (2nd)": 0.614730,
            "Deep Retina (3rd)": 0.614046,
            "Nuclear Vision": 0.610883,
            "Mirzaev": 0.609295,
            "Payyavula": 0.608128,
            "ACS": 0.594075,
            "ZhengLi": 0.590253,
            "Guan & Dong": 0.588339,
            "Two Masketeers": 0.585559,
            "Gold Diggers": 0.584876,
            "MPWARE": 0.578236,
            "emergent complexity": 0.576831,
            "SUGO": 0.576654,
            "CellProfiler tuned by experts": 0.528,
            "median of all teams": 0.442953,
        },
    ),
    *_marks(
        STAGE1,
        "self-reported, after the deadline, external data",
        {"ensemble with external data": 0.6262, "single model with external data": 0.6176},
    ),
    *_marks(
        STAGE1,
        "self-reported, after the deadline, Kaggle's data only",
        {"ResNet34 U-Net + flips": 0.5488, "U-Net from scratch": 0.4807},
    ),
    *_marks(STAGE1, "live board, self-reported", {"samuelschen, two-model ensemble": 0.534}),
    *_marks(STAGE1, "public kernel, widely copied", {"copied public kernel": 0.505}),
    *_marks(STAGE1, "public repositories", {"Mask R-CNN, best": 0.490, "Mask R-CNN, worst": 0.458}),
    *_marks(STAGE1, "public repository", {"U-Net + watershed + contour markers": 0.447}),
    Mark(STAGE1, "minerva-ml", 0.457, "minerva-ml/open-solution-data-science-bowl-2018"),
    Mark(STAGE1, "Keras U-Net starter", 0.277, "Kaggle kernel keegil/keras-u-net-starter-lb-0-277"),
    Mark(CROSS_VALIDATION, "minerva-ml", 0.577, "minerva-ml/open-solution-data-science-bowl-2018"),
    _stardist("StarDist", _SCHMIDT, 0.864, 0.804, 0.685, 0.450, 0.119),
    _stardist("Mask R-CNN", _SCHMIDT, 0.832, 0.773, 0.684, 0.489, 0.189),
    _stardist("PatchPerPix", "Hirsch et al. 2020, ECCV", 0.868, 0.827, 0.755, 0.635, 0.379),
)


def read_marks(submissions: Path) -> list[Mark]:
    """Read every score of every submission.

    Parameters
    ----------
    submissions : Path
        Folder of subfolders ``NAME`` with ``score.json`` (``score`` and ``images`` if scored
        locally, ``kaggle`` with ``public_score`` and ``private_score`` if scored by Kaggle) and
        ``made.json`` (``made``, ``set``, ``cross_validation``). Others are skipped.

    Raises
    ------
    InputError
        When a file is damaged.
    """
    marks: list[Mark] = []
    for submission in list_submissions(submissions):
        made, score = submission.read_made(), submission.read_score()
        try:
            marks += _marks_of(submission.name, made, score)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{submission.folder}: score.json or made.json is damaged ({error!r})"
            ) from error
    return marks


def _marks_of(name: str, made: dict[str, Any], score: dict[str, Any]) -> list[Mark]:
    kaggle = score.get("kaggle") or {}
    scores = {CROSS_VALIDATION: (made.get("cross_validation"), "out of fold")}
    # Kaggle scores the images of one stage; its score of the other stage is meaningless.
    if made.get("set") != TEST_SETS[1]:
        scores[STAGE1] = (kaggle.get("public_score"), "Kaggle, public")
    if made.get("set") != TEST_SETS[0]:
        scores[STAGE2] = (kaggle.get("private_score"), "Kaggle, private")
    if score.get("images"):
        board = find_board(score, made)
        official, source = scores.get(board, (None, ""))
        here = f"measured here: {score['score']:.4f}"
        scores[board] = (
            (score["score"], here) if official is None else (official, f"{source}; {here}")
        )
    date = str(made.get("made", ""))[:10]
    return [
        Mark(board, name, float(value), source, date, is_own=True)
        for board, (value, source) in scores.items()
        if value is not None
    ]


def find_board(score: dict[str, Any], made: dict[str, Any]) -> str:
    """Return the board of a local score, determined by the scored images.

    Notes
    -----
    The image ids decide, not file names: a score on a subset of the test images, or on other
    images, gets a board of its own and is never ranked among the scores of the competition.
    """
    ids = sorted(score["images"])
    if hashlib.sha256("\n".join(ids).encode()).hexdigest() == STAGE1_IDS_SHA256:
        return STAGE1
    if made.get("data") == "demo":
        return DEMO
    if made.get("set") == TEST_SETS[1] and len(ids) == 106:
        return STAGE2
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:8]
    return f"{made.get('set', 'own truth')}, {len(ids)} images ({digest})"


def rank_marks(marks: Iterable[Mark]) -> dict[str, list[tuple[int | None, Mark]]]:
    """Rank the entries of each board.

    Returns
    -------
    dict of str to list of (rank, Mark)
        The entries of each board, the best first. Equal scores share a rank; ranks are None if the
        entries of a board were not measured on the same images.

    Examples
    --------
    >>> board = rank_marks([Mark("b", "x", 0.2, ""), Mark("b", "y", 0.3, "")])["b"]
    >>> [(rank, mark.name) for rank, mark in board]
    [(1, 'y'), (2, 'x')]
    """
    order = {board: place for place, board in enumerate(BOARDS)}
    boards: dict[str, list[Mark]] = {}
    for mark in sorted(
        marks, key=lambda mark: (order.get(mark.board, len(order)), mark.board, mark.name)
    ):
        boards.setdefault(mark.board, []).append(mark)
    return {board: _rank_board(board, rows) for board, rows in boards.items()}


def _rank_board(board: str, marks: list[Mark]) -> list[tuple[int | None, Mark]]:
    best_first = sorted(marks, key=lambda mark: -mark.score)
    if board in _UNRANKED:
        return [(None, mark) for mark in best_first]
    return [(1 + sum(other.score > mark.score for other in marks), mark) for mark in best_first]
