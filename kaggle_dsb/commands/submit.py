"""From images to a checked submission, with what made it beside it."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb import __version__
from kaggle_dsb.commands.score import ScoreReport, score_files
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.competition.submission import (
    check_submission,
    require_writable_id,
    write_submission,
)
from kaggle_dsb.config import Settings, write_settings
from kaggle_dsb.dataset.samples import Sample, load_samples, sizes
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.probability import save_probability
from kaggle_dsb.network.hardware import prepare_hardware
from kaggle_dsb.network.load import load_finder, load_predictor
from kaggle_dsb.network.predict import Predictor
from kaggle_dsb.progress import Report, show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import TEST_SETS, Source, choose_test_set
from kaggle_dsb.workspace.submission import SubmissionFolder


@dataclass(frozen=True)
class Submission:
    """A submission as it was written.

    Attributes
    ----------
    files : SubmissionFolder
        Holds ``submission.csv``, ``config.toml``, ``made.json``, ``labels/ID.png`` and, where the
        truth is known, ``score.json``.
    source : Source
        What was predicted.
    set_name : str
    n_images, n_nuclei : int
    score : ScoreReport or None
        None where the truth is not known.
    """

    files: SubmissionFolder
    source: Source
    set_name: str
    n_images: int
    n_nuclei: int
    score: ScoreReport | None

    @property
    def is_complete(self) -> bool:
        """Whether it holds every image of its set."""
        return self.source.limit is None

    def lines(self) -> list[str]:
        """Say what was written, what it is worth, and what to do with it."""
        checked = "checked" if self.is_complete else "checked, not complete"
        counts = f"{self.n_images} images, {self.n_nuclei} nuclei"
        score = [f"score: {self.score.score.mean:.4f} against {self.score.truth}"] * bool(
            self.score
        )
        return [f"{self.files.csv_file}: {counts}, {checked}", *score, f"next: {self._advice()}"]

    def _advice(self) -> str:
        if self.source.is_demo:
            return (
                "put Kaggle's files in data/ (or give DATA=folder) and run `make submit NAME=first`"
            )
        if self.set_name in TEST_SETS and self.is_complete:
            return f"open {self.files.labels_folder}, then upload {self.files.csv_file} to Kaggle"
        return f"open {self.files.labels_folder}, or run `kaggle-dsb report {self.files.name}`"


def name_submission(source: Source) -> str:
    """Return a name for a submission that has none: ``demo``, else the date and time."""
    return "demo" if source.is_demo else datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")


def make_submission(
    source: Source,
    run: Run,
    settings: Settings,
    *,
    folder: Path,
    set_name: str | None = None,
    keeps_probabilities: bool = False,
) -> Submission:
    """Predict a set of images and write the submission.

    Parameters
    ----------
    source : Source
    run : Run
        The mean of its networks is taken.
    settings : Settings
        ``prediction``, ``instances`` and ``hardware`` count.
    folder : Path
        What it holds of an earlier submission is replaced.
    set_name : str, optional
        The set to predict; see `kaggle_dsb.workspace.source.choose_test_set`.
    keeps_probabilities : bool
        Write each image's probability, (3, H, W) float16, to ``probabilities/ID.npy``, for the
        report to show.

    Raises
    ------
    InputError
        When the CSV would not be accepted; an earlier one stays as it was.
    """
    started = time.monotonic()
    files = SubmissionFolder(folder)
    set_name = choose_test_set(source, set_name)
    required = _required_sizes(source, set_name)
    samples = load_samples(source.cache, set_name)
    prepare_hardware(settings)
    predictor = load_predictor(run, settings, folds=list(run.networks))
    finder = load_finder(run, settings, folds=list(run.networks))
    labels = {}
    with show_progress(f"predicting {set_name}") as progress:
        for sample, probability in predict_all(predictor, samples, progress):
            predicted = finder.find(probability, sample.image)
            labels[sample.id] = predicted
            write_labels(files.label_file(sample.id), predicted)
            if keeps_probabilities:
                save_probability(files.probability_file(sample.id), probability)
    _write_checked(files.csv_file, labels, required)
    # A score that an earlier submission of this name left would speak of other nuclei.
    files.score_file.unlink(missing_ok=True)
    write_settings(files.settings_file, settings)
    n_nuclei = sum(int(one.max()) for one in labels.values())
    facts = {"images": len(labels), "nuclei": n_nuclei, "elapsed_s": time.monotonic() - started}
    files.write_made(_describe(source, set_name, run, settings) | facts)
    score = _score_if_known(source, files, set_name)
    return Submission(files, source, set_name, len(labels), n_nuclei, score)


def predict_all(
    predictor: Predictor, samples: Sequence[Sample], progress: Report
) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
    """Yield each sample with its probability (3, H, W) float32, in their order."""
    probabilities = predictor.predict([sample.image for sample in samples])
    for done, pair in enumerate(zip(samples, probabilities, strict=True), 1):
        yield pair
        progress(done, len(samples))


def _required_sizes(source: Source, set_name: str) -> dict[str, tuple[int, int]]:
    """Return (H, W) by id in the order of the sample submission, which must name these images."""
    known = sizes(source.cache, set_name)
    for id_ in known:
        require_writable_id(id_)
    sample = source.sample_submission_file(set_name)
    if sample is None:
        return known
    wanted = list(pd.read_csv(sample, dtype=str, keep_default_na=False)["ImageId"].unique())
    if source.limit:
        return {id_: known[id_] for id_ in wanted if id_ in known}
    if set(wanted) != set(known):
        odd = sorted(set(wanted) ^ set(known))
        where = "only in the sample submission" if odd[0] in wanted else "only among the images"
        raise InputError(
            f"{sample.name} and {set_name} must name the same images: {odd[0]} is {where} "
            f"({len(odd)} such); get both files again"
        )
    return {id_: known[id_] for id_ in wanted}


def _write_checked(path: Path, labels: dict[str, Any], sizes: dict[str, tuple[int, int]]) -> None:
    with replacing(path) as temporary:
        write_submission(temporary, {id_: labels[id_] for id_ in sizes})
        faults = check_submission(temporary, sizes)
        if faults:
            raise InputError(f"{path}: not written, {len(faults)} faults, the first: {faults[0]}")


def _describe(source: Source, set_name: str, run: Run, settings: Settings) -> dict[str, Any]:
    score, reason = run.cross_validation(settings)
    if source.is_demo or set_name not in TEST_SETS:
        score, reason = None, "the images are not the competition's"
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": find_commit(),
        "data": source.name,
        "set": set_name,
        "weights": run.name,
        "weights_sha256": run.digests(),
        "cross_validation": score,
        **({"no_cross_validation": reason} if reason else {}),
    }


def find_commit() -> str | None:
    """Return the commit of the checkout this package runs from; None where it is no checkout."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _score_if_known(source: Source, files: SubmissionFolder, set_name: str) -> ScoreReport | None:
    if not source.solution_file(set_name):
        return None
    report = score_files(files.csv_file, source=source)
    files.write_score(report.to_json())
    return report
