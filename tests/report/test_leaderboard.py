import json
import re

import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.report.leaderboard import (
    BOARDS,
    CROSS_VALIDATION,
    DEMO,
    KNOWN_MARKS,
    STAGE1,
    STAGE2,
    STARDIST,
    Mark,
    find_board,
    rank_marks,
    read_marks,
)


def write(folder, **files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_every_known_mark_names_its_board_and_its_source():
    assert {mark.board for mark in KNOWN_MARKS} <= set(BOARDS)
    assert all(mark.source and 0 < mark.score < 1 and not mark.is_own for mark in KNOWN_MARKS)


def test_the_winner_of_stage_2_leads_its_board_and_stands_on_no_other():
    places = [
        (board, rank, mark.score)
        for board, marks in rank_marks(KNOWN_MARKS).items()
        for rank, mark in marks
        if mark.name == "topcoders (1st)"
    ]
    assert places == [(STAGE2, 1, 0.631646)]


def test_boards_come_in_their_order_and_those_of_ones_own_images_last():
    own = Mark("images of my own", "mine", 0.52, "measured here", is_own=True)
    boards = [STAGE1, STAGE2, CROSS_VALIDATION, STARDIST, "images of my own"]
    assert list(rank_marks([own, *KNOWN_MARKS])) == boards


def test_an_own_run_stands_between_the_marks_it_beats_and_those_it_does_not():
    own = Mark(STAGE1, "mine", 0.52, "measured here", is_own=True)
    board = rank_marks([*KNOWN_MARKS, own])[STAGE1]
    names = [mark.name for _, mark in board]
    place = names.index("mine")
    around = [names[place - 1], names[place + 1]]
    assert around == ["samuelschen, two-model ensemble", "copied public kernel"]
    assert board[place] == (place + 1, own)


def test_equal_scores_share_a_rank_and_the_next_rank_is_skipped():
    marks = [Mark("b", name, score, "") for name, score in [("x", 0.3), ("y", 0.3), ("z", 0.1)]]
    assert rank_marks(marks) == {"b": list(zip([1, 1, 3], marks, strict=True))}


def test_scores_of_different_folds_are_listed_without_a_rank():
    worse, better = Mark(CROSS_VALIDATION, "a", 0.5, ""), Mark(CROSS_VALIDATION, "b", 0.6, "")
    assert rank_marks([worse, better]) == {CROSS_VALIDATION: [(None, better), (None, worse)]}


def test_no_marks_make_no_board():
    assert rank_marks([]) == {}


def test_a_submission_gives_a_mark_for_each_score_that_is_known(tmp_path):
    score = {
        "score": 0.5,
        "images": {"a": {}, "b": {}},
        "kaggle": {"public_score": 0.41, "private_score": 0.42},
    }
    made = {"made": "2026-11-23T01:02:03+00:00", "set": "mine", "cross_validation": 0.57}
    write(tmp_path / "first", score=score, made=made)
    marks = {(m.board, m.score, m.source) for m in read_marks(tmp_path)}
    assert marks == {
        (STAGE1, 0.41, "Kaggle, public"),
        (STAGE2, 0.42, "Kaggle, private"),
        (CROSS_VALIDATION, 0.57, "out of fold"),
        ("mine, 2 images (7e18f737)", 0.5, "measured here: 0.5000"),
    }
    assert {(m.name, m.date, m.is_own) for m in read_marks(tmp_path)} == {
        ("first", "2026-11-23", True)
    }


def test_kaggles_figure_for_the_other_stage_is_left_out(tmp_path):
    kaggle = {"public_score": 0.41, "private_score": 0.0}
    write(tmp_path / "one", score={"kaggle": kaggle}, made={"set": "stage1_test"})
    write(tmp_path / "two", score={"kaggle": kaggle}, made={"set": "stage2_test_final"})
    assert [(m.name, m.board) for m in read_marks(tmp_path)] == [("one", STAGE1), ("two", STAGE2)]


def test_kaggles_score_and_the_one_measured_here_share_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr("kaggle_dsb.report.leaderboard.find_board", lambda *_: STAGE1)
    score = {"score": 0.5, "images": {"a": {}}, "kaggle": {"public_score": 0.499}}
    write(tmp_path / "one", score=score, made={"set": "stage1_test"})
    (mark,) = read_marks(tmp_path)
    assert (mark.score, mark.source) == (0.499, "Kaggle, public; measured here: 0.5000")


def test_a_submission_without_any_score_gives_no_mark(tmp_path):
    write(tmp_path / "first", made={"made": "2026-11-23", "set": "stage1_test"})
    (tmp_path / "README.md").write_text("not a submission")
    assert read_marks(tmp_path) == []


def test_no_folder_of_submissions_gives_no_mark(tmp_path):
    assert read_marks(tmp_path / "none") == []


def test_a_score_on_demo_images_stays_on_the_demo_board():
    assert find_board({"images": {"a": {}}}, {"data": "demo", "set": "stage1_test"}) == DEMO


def test_a_score_on_a_part_of_the_test_images_is_not_ranked_among_all(tmp_path):
    board = find_board({"images": {"a": {}}}, {"set": "stage1_test", "data": "dsb2018"})
    assert board == "stage1_test, 1 images (ca978112)"


def test_stage_2_needs_its_106_images():
    made = {"set": "stage2_test_final"}
    assert find_board({"images": {str(n): {} for n in range(106)}}, made) == STAGE2
    assert find_board({"images": {str(n): {} for n in range(105)}}, made) != STAGE2


@pytest.mark.kaggle_data
def test_the_ids_of_the_first_stage_are_known_by_their_digest():
    import os
    import zipfile
    from pathlib import Path

    if "KAGGLE_DSB_DATA" not in os.environ:
        pytest.skip("KAGGLE_DSB_DATA names no folder")
    with zipfile.ZipFile(Path(os.environ["KAGGLE_DSB_DATA"]) / "stage1_test.zip") as archive:
        ids = {Path(name).stem for name in archive.namelist() if name.endswith(".png")}
    assert len(ids) == 65
    assert find_board({"images": dict.fromkeys(ids)}, {}) == STAGE1


def test_a_damaged_score_is_named(tmp_path):
    write(tmp_path / "first", score={"images": {"a": {}}})
    message = f"{tmp_path / 'first'}: score.json or made.json is damaged (KeyError('score'))"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_marks(tmp_path)


def test_a_score_that_is_no_object_is_refused(tmp_path):
    write(tmp_path / "first", score=[1])
    message = f"{tmp_path / 'first' / 'score.json'}: contains a list, expected an object"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_marks(tmp_path)
