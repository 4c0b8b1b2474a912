"""The short form of `make faults`."""

import pytest

from tests.faults.fuzz import fuzz, fuzz_by_hypothesis
from tests.faults.targets import TARGETS, find_fault

# Each copies some megabytes an input.
LARGE = {"network", "candidate scorer"}


@pytest.mark.parametrize("name", TARGETS)
def test_a_sound_file_is_read(name, tmp_path):
    assert find_fault(TARGETS[name], TARGETS[name].sound, tmp_path) is None


@pytest.mark.parametrize("way", [fuzz, fuzz_by_hypothesis])
@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_file_is_read_or_refused(name, way):
    outcome = way(TARGETS[name], name=name, seed=1, inputs=5 if name in LARGE else 40)
    assert outcome.faults == []
    assert outcome.inputs >= 5
