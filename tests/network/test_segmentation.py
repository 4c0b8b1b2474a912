import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.network import segmentation
from kaggle_dsb.network.segmentation import (
    AHEAD,
    SPAWN,
    ImageSet,
    Segmentation,
    _run_together,
    _write_part,
)
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.submission import SubmissionFolder


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


def test_as_many_threads_look_for_nuclei_as_the_settings_allow(monkeypatch):
    n_threads = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, number):
            n_threads.append(number)
            super().__init__(number)

    monkeypatch.setattr(segmentation, "ThreadPoolExecutor", Pool)
    for name in ("prepare_hardware", "load_predictor", "load_finder"):
        monkeypatch.setattr(segmentation, name, lambda *_, **__: None)
    monkeypatch.setattr(segmentation, "predict_samples", lambda *_: iter(()))
    settings = load_settings(overrides=["hardware.threads=3"])
    images, files = ImageSet(Path(), "test", {}), SubmissionFolder(Path())
    job = Segmentation(images, Run(Path()), settings, files, keeps_probabilities=False)
    assert list(job.write_some(["a"])) == []
    assert n_threads == [AHEAD, 3]


def test_processes_that_end_well_are_waited_for():
    processes = [SPAWN.Process(target=time.sleep, args=(0,)) for _ in range(2)]
    list(run_together(*processes))
    assert [process.exitcode for process in processes] == [0, 0]
