import multiprocessing
import os
import time

import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.network.segmentation import _run_together


def test_a_lost_process_ends_the_others_and_is_named():
    context = multiprocessing.get_context("spawn")
    waiting = context.Process(target=time.sleep, args=(600,))
    with pytest.raises(InputError) as error:
        list(_run_together([waiting, context.Process(target=os._exit, args=(9,))]))
    assert str(error.value) == (
        "process 2 of the 2 that predict was lost (exit code 9); the same command goes on where "
        "they stopped"
    )
    assert not waiting.is_alive()


def test_processes_that_end_well_are_waited_for():
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=time.sleep, args=(0,)) for _ in range(2)]
    list(_run_together(processes))
    assert [process.exitcode for process in processes] == [0, 0]
