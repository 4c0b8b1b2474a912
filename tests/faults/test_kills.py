"""The short form of `make faults`: one command, few kills."""

import pytest

from tests.faults.disks import fill_disks, run_at_once, write_nowhere
from tests.faults.kills import kill_often

pytestmark = pytest.mark.slow


def test_preparing_data_ends_the_same_after_kills(tmp_path):
    outcome = kill_often("data", tmp_path, kills=2, seed=1)
    assert outcome.kills >= 2
    assert outcome.faults == []


def test_preparing_data_on_a_full_disk_ends_with_a_line_and_well_once_there_is_room(tmp_path):
    assert fill_disks("data", tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    assert write_nowhere(tmp_path) == []


def test_two_first_runs_at_once_do_not_harm_each_other(tmp_path):
    assert run_at_once("data", tmp_path) == []
