"""Write the label images of a set, in one process or distributed over several."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import Sample, image_file, load_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.probability import save_probability
from kaggle_dsb.instances.tiled import find_nuclei
from kaggle_dsb.network.hardware import count_threads, list_gpus, prepare_hardware
from kaggle_dsb.network.load import load_finder, load_predictor
from kaggle_dsb.network.pipeline import predict_samples, run_ahead
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.submission import SubmissionFolder

AHEAD = 4  # images queued for prediction, and as many for post-processing
LOOK_EVERY_S = 1.0
SPAWN = get_context("spawn")  # a forked process inherits locks that are never released


@dataclass(frozen=True)
class ImageSet:
    """The images of a set in a cache, with their sizes (H, W) by id."""

    cache: Path
    set_name: str
    sizes: dict[str, tuple[int, int]]

    def files(self) -> list[Path]:
        """Return the file of each image."""
        return [image_file(self.cache, self.set_name, id_) for id_ in self.sizes]

    def load(self, image_id: str) -> Sample:
        """Load an image, without labels."""
        image = load_image(self.cache, self.set_name, image_id, self.sizes[image_id])
        return Sample(image_id, image, None)


@dataclass(frozen=True)
class Segmentation:
    """A segmentation job: the images, the networks, and the folder of the label images.

    Attributes
    ----------
    images : ImageSet
    run : Run
        Its networks are combined.
    settings : Settings
        The images are distributed over ``hardware.devices`` processes.
    files : SubmissionFolder
    keeps_probabilities : bool
        Write the probability of each image too.
    """

    images: ImageSet
    run: Run
    settings: Settings
    files: SubmissionFolder
    keeps_probabilities: bool

    def missing(self) -> list[str]:
        """Return the ids of the images without a label image."""
        return [id_ for id_ in self.images.sizes if not self.files.label_file(id_).exists()]

    def write(self) -> Iterator[int]:
        """Write the missing label images; regularly yield the number of those that exist.

        Raises
        ------
        InputError
            When a process is lost; the files that were written stay.
        OSError
            When any process cannot write a file.
        """
        missing, n_images = self.missing(), len(self.images.sizes)
        n_processes = min(self.settings.hardware.devices, len(missing))
        if n_processes > 1:
            errors = SPAWN.SimpleQueue()
            for _ in _run_together(self._parts(missing, n_processes, errors), errors):
                yield n_images - len(self.missing())
            return
        for n_written, _ in enumerate(self.write_some(missing), 1):
            yield n_images - len(missing) + n_written

    def _parts(
        self, ids: Sequence[str], n_processes: int, errors: SimpleQueue[Exception]
    ) -> list[SpawnProcess]:
        """Return processes that each write a part of the images, on one GPU or some cores."""
        hardware = self.settings.hardware
        gpus = list_gpus(hardware.accelerator)
        threads = max(count_threads(self.settings) // n_processes, 1)
        own = hardware.model_copy(update={"threads": threads})
        part = replace(self, settings=self.settings.model_copy(update={"hardware": own}))
        return [
            SPAWN.Process(
                target=_write_part,
                args=(part, ids[n::n_processes], gpus[n % len(gpus)] if gpus else None, errors),
            )
            for n in range(n_processes)
        ]

    def write_some(self, ids: Sequence[str]) -> Iterator[str]:
        """Write the label images of the given images, and yield the id of each.

        Images are decoded and post-processed in threads while the networks compute others: the
        engines release Python's global interpreter lock, and the rest takes little time.
        """
        if not ids:
            return
        prepare_hardware(self.settings)
        folds = list(self.run.networks)
        predictor = load_predictor(self.run, self.settings, folds=folds)
        finder = load_finder(self.run, self.settings, folds=folds)

        def _find(sample: Sample, probability: NDArray[np.floating[Any]]) -> str:
            if self.keeps_probabilities:
                save_probability(self.files.probability_file(sample.id), probability)
            labels = find_nuclei(finder, probability, sample.image)
            write_labels(self.files.label_file(sample.id), labels)
            return sample.id

        n_threads = count_threads(self.settings)
        with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(n_threads) as finders:
            samples = run_ahead(readers, self.images.load, ((id_,) for id_ in ids), ahead=AHEAD)
            yield from run_ahead(finders, _find, predict_samples(predictor, samples), ahead=AHEAD)


def _run_together(
    processes: Sequence[SpawnProcess], errors: SimpleQueue[Exception]
) -> Iterator[None]:
    """Run processes, yielding regularly until all have ended; terminate all if one is lost."""
    try:
        for process in processes:
            process.start()
        while True:
            alive = [process for process in processes if process.is_alive()]
            for number, process in enumerate(processes, 1):
                exit_code = process.exitcode  # read once: the process may end at any time
                if exit_code and not errors.empty():
                    raise errors.get()
                if exit_code:
                    raise InputError(
                        f"process {number} of the {len(processes)} that predict was lost (exit "
                        f"code {exit_code}); the same command resumes where they stopped"
                    )
            if not alive:
                return
            wait([process.sentinel for process in alive], LOOK_EVERY_S)
            yield
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()


def _write_part(
    part: Segmentation, ids: Sequence[str], gpu: str | None, errors: SimpleQueue[Exception]
) -> None:
    """Write the label images of a part in a child process, and pass errors to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent terminates this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when torch is imported
    try:
        for _ in part.write_some(ids):
            pass
    except (InputError, OSError) as error:
        errors.put(error)
        sys.exit(1)


def _end_with_parent() -> None:
    """Exit when the parent process ends."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
