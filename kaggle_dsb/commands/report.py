"""Write the HTML report of a submission or of a run's out-of-fold predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.commands.score import read_true_labels
from kaggle_dsb.competition.submission import read_submission
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import Sample, list_sets, load_samples
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.probability import load_probability, mean_over_scales
from kaggle_dsb.progress import show_progress
from kaggle_dsb.report.page import About, write_page
from kaggle_dsb.report.results import ImageResult
from kaggle_dsb.settings_files import dump_settings
from kaggle_dsb.workspace.source import (
    Source,
    choose_test_set,
    read_solution_labels,
    require_train_set,
)
from kaggle_dsb.workspace.submission import SubmissionFolder

if TYPE_CHECKING:
    from kaggle_dsb.workspace.run import Run

_SHOWN_FACTS = {
    "made": "made",
    "commit": "commit",
    "version": "version",
    "data": "data",
    "set": "images",
    "weights": "weights",
    "elapsed_s": "prediction time (s)",
}


def report_submission(
    source: Source, folder: Path, *, truth: Path | None = None, against: Path | None = None
) -> Path:
    """Write ``report.html`` of a submission.

    Parameters
    ----------
    source : Source
        The images that were predicted; if it has their masks or solution, the page shows scores.
    folder : Path
        The submission: ``submission.csv``, ``config.toml``, ``made.json``.
    truth : Path, optional
        A solution CSV or a folder of label images to use instead of the source's.
    against : Path, optional
        The folder of another submission of the same images; the page shows the changes.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        When a folder holds no submission, or its images are not available.
    """
    submission = _open_submission(folder)
    set_name = _choose_set(source, submission)
    samples = load_samples(source.cache, set_name)
    sizes = {sample.id: (sample.image.shape[0], sample.image.shape[1]) for sample in samples}
    true_labels = (
        read_true_labels(truth, sizes) if truth else read_solution_labels(source, set_name)
    )
    predicted = read_submission(submission.csv_file, sizes)
    baseline = read_submission(_open_submission(against).csv_file, sizes) if against else {}
    config = submission.settings_file
    about = About(
        title=folder.name,
        facts=_choose_facts(submission.read_made()),
        settings=config.read_text(encoding="utf-8") if config.exists() else "not recorded",
        baseline=against.name if against else None,
    )
    results = (
        ImageResult(
            id=sample.id,
            type=image_type(sample.image),
            image=sample.image,
            predicted=predicted[sample.id],
            truth=true_labels.get(sample.id, sample.labels),
            probability=_load_kept(submission.probability_file(sample.id)),
            baseline=baseline.get(sample.id),
        )
        for sample in samples
    )
    return _write_with_progress(submission.report_file, results, about, n_images=len(samples))


def _open_submission(folder: Path) -> SubmissionFolder:
    submission = SubmissionFolder(folder)
    if not submission.csv_file.exists():
        raise InputError(
            f"{folder}: contains no submission.csv; create one with `kaggle-dsb submit`"
        )
    return submission


@dataclass(frozen=True)
class OutOfFoldInput:
    """The inputs of the report on out-of-fold predictions.

    Attributes
    ----------
    probabilities : dict of str to Path
        Files of (n_scales, 3, H, W) float16.
    fold_of : dict of str to int
    labels : dict of str to (H, W) integers
        The label image of each image.
    about : About
    """

    probabilities: Mapping[str, Path]
    fold_of: Mapping[str, int]
    labels: Mapping[str, NDArray[np.integer]]
    about: About


def report_validation(
    source: Source, run: "Run", settings: Settings, *, work: Path, path: Path
) -> Path:
    """Validate a run out of fold, and write the report.

    Parameters
    ----------
    source, run, settings, work
        As `kaggle_dsb.commands.validate.validate_run` takes them.
    path : Path
        The page to write.
    """
    from kaggle_dsb.commands.submit import find_commit
    from kaggle_dsb.commands.validate import validate_run

    result = validate_run(source, run, settings, work=work)
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": find_commit() or "unknown (not a git checkout)",
        "data": source.origin.name,
        "images": f"{require_train_set(source)}, each predicted by the network that held it out",
        "weights": run.name,
    }
    folds = dict(zip(result.scores["ImageId"], result.scores["fold"].astype(int), strict=True))
    title = f"Out of fold: {run.name}"
    about = About(title, facts, dump_settings(settings))
    return report_out_of_fold(
        source, OutOfFoldInput(result.files, folds, result.labels, about), path=path
    )


def report_out_of_fold(source: Source, inputs: OutOfFoldInput, *, path: Path) -> Path:
    """Write the report on existing out-of-fold predictions.

    Parameters
    ----------
    source : Source
        The training images.
    inputs : OutOfFoldInput
    path : Path
        The page to write.
    """
    samples = [
        sample
        for sample in load_samples(source.cache, require_train_set(source))
        if sample.id in inputs.fold_of
    ]
    results = (_result_out_of_fold(sample, inputs) for sample in samples)
    return _write_with_progress(path, results, inputs.about, n_images=len(samples))


def _load_kept(file: Path) -> NDArray[np.float32] | None:
    """Return the probability that ``submit --keep-probabilities`` wrote; None if there is none."""
    return mean_over_scales(load_probability(file)) if file.exists() else None


def _result_out_of_fold(sample: Sample, inputs: OutOfFoldInput) -> ImageResult:
    probability = mean_over_scales(load_probability(inputs.probabilities[sample.id]))
    return ImageResult(
        id=sample.id,
        type=image_type(sample.image),
        image=sample.image,
        predicted=inputs.labels[sample.id].astype(np.int32),
        truth=sample.labels,
        probability=probability,
        fold=inputs.fold_of[sample.id],
    )


def _write_with_progress(
    path: Path, results: Iterator[ImageResult], about: About, *, n_images: int
) -> Path:
    with show_progress(f"drawing {path}") as progress:

        def _counted() -> Iterator[ImageResult]:
            for done, result in enumerate(results, 1):
                yield result
                progress(done, n_images)

        write_page(path, _counted(), about)
    return path


def _choose_facts(made: dict[str, Any]) -> dict[str, str]:
    facts = {shown: made[key] for key, shown in _SHOWN_FACTS.items() if made.get(key) is not None}
    return {
        name: f"{value:.0f}" if isinstance(value, float) else str(value)
        for name, value in facts.items()
    }


def _choose_set(source: Source, submission: SubmissionFolder) -> str:
    """Return the set that was predicted, as named by ``made.json``."""
    named, sets = submission.set_name, list_sets(source.cache)
    if named and named not in sets:
        raise InputError(
            f"{source.origin}: has no set {named}, which {submission.name} predicts; it has "
            f"{', '.join(sets)}"
        )
    return choose_test_set(source, named)
