"""The short form of `make faults`: one command, few kills."""

import pytest

from tests.faults.disks import fill_disks, run_at_once, write_nowhere
from tests.faults.kills import kill_often, run_undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def expected(scratch):
    return run_undisturbed("data", scratch)


def test_preparing_data_ends_the_same_after_kills(scratch):
    outcome = kill_often("data", scratch, kills=2, seed=1)
    assert outcome.kills >= 2
    assert outcome.faults == []


def test_preparing_data_on_a_full_disk_ends_with_a_line_and_well_once_there_is_room(
    scratch, expected
):
    assert fill_disks("data", scratch, expected, sizes=(0, 2_000)) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    assert write_nowhere(tmp_path) == []


def test_two_runs_at_once_do_not_harm_each_other(scratch, expected):
    assert run_at_once("data", scratch, expected) == []
