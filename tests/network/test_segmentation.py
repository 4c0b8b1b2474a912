import errno
import os
import time

import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.network.segmentation import SPAWN, _run_together, _write_part


class Part:
    """Stands in for a part of the images, none of which can be written."""

    def __init__(self, error):
        self.error = error

    def write_some(self, ids):
        raise self.error


def run_together(*processes, errors=None):
    return _run_together(processes, errors or SPAWN.SimpleQueue())


def lost(number, n_processes, code):
    return (
        f"process {number} of the {n_processes} that predict was lost (exit code {code}); the "
        "same command resumes where they stopped"
    )


def test_a_lost_process_ends_the_others_and_is_named():
    waiting = SPAWN.Process(target=time.sleep, args=(600,))
    with pytest.raises(InputError) as error:
        list(run_together(waiting, SPAWN.Process(target=os._exit, args=(9,))))
    assert str(error.value) == lost(2, 2, 9)
    assert not waiting.is_alive()


def test_the_last_process_is_missed_when_it_is_lost_while_nobody_looks():
    process = SPAWN.Process(target=time.sleep, args=(600,))
    running = run_together(process)
    next(running)
    process.kill()
    process.join()
    with pytest.raises(InputError) as error:
        next(running)
    assert str(error.value) == lost(1, 1, -9)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "labels/a.png"), InputError("a is no image")],
)
def test_a_process_tells_what_it_lacks_as_if_it_were_the_only_one(error):
    errors = SPAWN.SimpleQueue()
    process = SPAWN.Process(target=_write_part, args=(Part(error), ["a"], None, errors))
    with pytest.raises(type(error)) as raised:
        list(run_together(process, errors=errors))
    assert str(raised.value) == str(error)


def test_processes_that_end_well_are_waited_for():
    processes = [SPAWN.Process(target=time.sleep, args=(0,)) for _ in range(2)]
    list(run_together(*processes))
    assert [process.exitcode for process in processes] == [0, 0]
