"""Predict a set of images, and write a checked submission with its provenance."""

import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb import __version__
from kaggle_dsb.commands.score import ScoreReport, score_files
from kaggle_dsb.competition.label_files import read_labels
from kaggle_dsb.competition.submission import (
    check_submission,
    require_writable_id,
    write_submission,
)
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset import TEST_SETS
from kaggle_dsb.dataset.export import export_labels
from kaggle_dsb.dataset.export_formats import TABLE_FORMAT
from kaggle_dsb.dataset.measurements import MEASUREMENTS_FILE, MeasuredImage, write_measurements
from kaggle_dsb.dataset.originals import name_originals, opening_originals
from kaggle_dsb.dataset.samples import sizes
from kaggle_dsb.files import InputError, digest_of, replacing
from kaggle_dsb.network.load import submission_key
from kaggle_dsb.network.segmentation import ImageSet, Segmentation
from kaggle_dsb.progress import say, show_progress
from kaggle_dsb.settings_files import write_settings
from kaggle_dsb.workspace import SUBMISSIONS
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import (
    SAMPLE_SUBMISSION_FILES,
    Source,
    choose_test_set,
    read_sample_ids,
)
from kaggle_dsb.workspace.submission import SubmissionFolder, list_submissions

_DATED = "%Y-%m-%d-%H%M%S"
_RENEWED = {"data", "set", "cross_validation", "no_cross_validation"}
"""What may change of a submission's record although the same nuclei are found."""


@dataclass(frozen=True)
class Submission:
    """A submission that was written.

    Attributes
    ----------
    files : SubmissionFolder
        Holds ``submission.csv``, ``config.toml``, ``made.json``, ``labels/ID.png`` and, if the
        truth is known, ``score.json``.
    source : Source
        The images that were predicted.
    set_name : str
    n_images, n_nuclei : int
    score : ScoreReport or None
        None if the truth is not known.
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
        """Return lines that say what was written, its score, and what to do next."""
        checked = "checked" if self.is_complete else "checked, incomplete"
        counts = f"{self.n_images} images, {self.n_nuclei} nuclei"
        lines = [f"{self.files.csv_file}: {counts}, {checked}"]
        if self.score:
            lines.append(f"score: {self.score.score.mean:.4f} against {self.score.truth}")
        return [*lines, f"next: {self._advice()}"]

    def export(self, formats: Sequence[str]) -> list[Path]:
        """Write the nuclei in formats of other tools, and ``csv``, a table of measurements.

        See `kaggle_dsb.dataset.export` and `kaggle_dsb.dataset.measurements`.
        """
        ids = list(sizes(self.source.cache, self.set_name))
        labels = LabelFiles(self.files, ids)
        source, others = self.source, [name for name in formats if name != TABLE_FORMAT]
        names = None
        if "coco" in others:
            names = name_originals(source.origin, self.set_name, skipped=source.skipped)
        files = export_labels(self.files.export_folder, labels, others, file_names=names)
        return [*files, *([self._measure(labels)] if TABLE_FORMAT in formats else [])]

    def _measure(self, labels: Mapping[str, NDArray[np.int32]]) -> Path:
        path = self.files.export_folder / MEASUREMENTS_FILE
        source = self.source
        with (
            opening_originals(
                source.origin, self.set_name, options=source.options, skipped=source.skipped
            ) as read,
            show_progress("measuring the nuclei") as progress,
        ):
            images = (MeasuredImage(id_, read(id_), labels[id_]) for id_ in labels)
            for n_done, _ in enumerate(write_measurements(path, images), 1):
                progress(n_done, len(labels))
        return path

    def _advice(self) -> str:
        if self.source.is_demo:
            return (
                "put Kaggle's files into data/ (or set DATA=folder) and run "
                "`make submit NAME=first`"
            )
        if self.set_name == TEST_SETS[1] and self.is_complete:
            return f"open {self.files.labels_folder}, then upload {self.files.csv_file} to Kaggle"
        if self.set_name == TEST_SETS[0] and self.is_complete:
            return (
                f"open {self.files.labels_folder}; Kaggle has scored only {TEST_SETS[1]} since the "
                f"deadline: predict it with --set-name {TEST_SETS[1]}"
            )
        report = f"kaggle-dsb report {shlex.quote(self.files.name)}"
        return f"open {self.files.labels_folder}, or run `{report}`"


def name_submission(source: Source) -> str:
    """Return a default name for a submission: ``demo``, else the date and time."""
    return "demo" if source.is_demo else datetime.now().astimezone().strftime(_DATED)


def _find_folder(source: Source, key: str) -> Path:
    """Return the folder of an interrupted submission without a given name, else a new one."""
    for each in list_submissions():
        with suppress(ValueError):
            datetime.strptime(each.name, _DATED)
            if each.draft_key == key:
                return each.folder
    return SUBMISSIONS / name_submission(source)


def describe_prediction(source: Source, *, folder: Path, set_name: str | None) -> str:
    """Return a line on what `make_submission` would predict, after making its input checks."""
    set_name = choose_test_set(source, set_name)
    required = _required_sizes(source, set_name)
    images = f"{len(required)} image{'s' * (len(required) != 1)}"
    return f"{folder}: {images} of the set {set_name} would be predicted"


def make_submission(
    source: Source,
    run: Run,
    settings: Settings,
    *,
    folder: Path | None = None,
    set_name: str | None = None,
    keeps_probabilities: bool = False,
) -> Submission:
    """Predict a set of images and write the submission.

    Parameters
    ----------
    source : Source
    run : Run
        Its networks are combined.
    settings : Settings
        Only ``prediction``, ``instances`` and ``hardware`` are used.
    folder : Path, optional
        An earlier submission in it is replaced; an interrupted one of the same images, weights and
        settings is resumed, and a complete one is kept. By default that of an interrupted
        submission, else a new one named by the date.
    set_name : str, optional
        The set to predict; see `kaggle_dsb.workspace.source.choose_test_set`.
    keeps_probabilities : bool
        Write the probability of each image, (n_scales, 3, H, W) float16, to
        ``probabilities/ID.npy``, for the report.

    Raises
    ------
    InputError
        When the CSV would not be accepted, or another process writes the same submission; an
        earlier submission is left unchanged.
    """
    started = time.monotonic()
    set_name = choose_test_set(source, set_name)
    required = _required_sizes(source, set_name)
    images = ImageSet(source.cache, set_name, sizes(source.cache, set_name))
    # What is used, not what another process may put in its place meanwhile.
    key = submission_key(run, settings, images.files())
    key = f"{key} with probabilities" if keeps_probabilities else key
    files = SubmissionFolder(folder or _find_folder(source, key))
    making = _describe_making(source, set_name, run, settings)
    with files.locking():
        made = files.read_made()
        if made.get("key") == key and _is_intact(files, made, list(required)):
            say(f"{files.folder}: already predicted with these images, networks and settings")
            kept = {name: made[name] for name in made if name not in _RENEWED}
            files.write_made(kept | {name: making[name] for name in making if name in _RENEWED})
            score = _score_if_known(source, files, set_name)
            return Submission(files, source, set_name, made["images"], made["nuclei"], score)
        files.begin(key)
        draft = files.draft
        segmentation = Segmentation(images, run, settings, draft, keeps_probabilities)
        with show_progress(f"predicting {set_name}") as progress:
            for n_written in segmentation.write():
                progress(n_written, len(images.sizes))
        labels = LabelFiles(draft, list(required))
        n_nuclei = _write_checked(draft.csv_file, labels, required)
        write_settings(draft.settings_file, settings)
        facts = {
            "images": len(labels),
            "nuclei": n_nuclei,
            "elapsed_s": time.monotonic() - started,
            "submission_sha256": digest_of(draft.csv_file),
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        draft.write_made({"made": now, "key": key} | making | facts)
        files.finish()
    score = _score_if_known(source, files, set_name)
    return Submission(files, source, set_name, len(labels), n_nuclei, score)


def _is_intact(files: SubmissionFolder, made: dict[str, Any], ids: Sequence[str]) -> bool:
    """Return whether a submission still has the CSV and label images that it was made with."""
    has_labels = all(files.label_file(id_).exists() for id_ in ids)
    is_same = files.csv_file.exists() and digest_of(files.csv_file) == made["submission_sha256"]
    return has_labels and is_same


class LabelFiles(Mapping[str, NDArray[np.int32]]):
    """The label images of a submission by id, each read on access."""

    def __init__(self, files: SubmissionFolder, ids: Sequence[str]) -> None:
        self._files = files
        self._ids = ids

    def __getitem__(self, image_id: str) -> NDArray[np.int32]:
        return read_labels(self._files.label_file(image_id))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def _required_sizes(source: Source, set_name: str) -> dict[str, tuple[int, int]]:
    """Return (H, W) by id in the order of the sample submission, which must name all images."""
    known = sizes(source.cache, set_name)
    for id_ in known:
        require_writable_id(id_)
    wanted = read_sample_ids(source, set_name)
    if wanted is None:
        return known
    if source.limit:
        return {id_: known[id_] for id_ in wanted if id_ in known}
    if set(wanted) != set(known):
        odd = sorted(set(wanted) ^ set(known))
        where = "only in the sample submission" if odd[0] in wanted else "only among the images"
        raise InputError(
            f"{SAMPLE_SUBMISSION_FILES[set_name]} and {set_name} must list the same images: "
            f"{odd[0]} is {where} ({len(odd)} images differ); download both files again"
        )
    return {id_: known[id_] for id_ in wanted}


def _write_checked(
    path: Path, labels: Mapping[str, NDArray[np.int32]], sizes: dict[str, tuple[int, int]]
) -> int:
    """Write a submission unless it has errors, and return the number of nuclei."""
    with replacing(path) as temporary:
        n_nuclei = write_submission(temporary, labels)
        faults = check_submission(temporary, sizes)
        if faults:
            raise InputError(f"{path}: not written, {len(faults)} errors, the first: {faults[0]}")
    return n_nuclei


def _describe_making(source: Source, set_name: str, run: Run, settings: Settings) -> dict[str, Any]:
    score, reason = run.cross_validation(settings)
    read_options = source.options.to_json()
    sizing = run.sizing_network(list(run.networks))
    if source.is_demo or set_name not in TEST_SETS:
        score, reason = None, "the images are not the competition's"
    return {
        "version": __version__,
        "commit": find_commit(),
        "data": source.name,
        **({"limit": source.limit} if source.limit else {}),
        **({"read_options": read_options} if read_options else {}),
        "set": set_name,
        "weights": run.name,
        "weights_sha256": {**run.digests(), sizing.name: digest_of(sizing)},
        "cross_validation": score,
        **({"no_cross_validation": reason} if reason else {}),
    }


def find_commit() -> str | None:
    """Return the commit of the checkout that this package runs from; None if it is not one."""
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
    report = score_files(files.csv_file, source=source, set_name=set_name)
    files.write_score(files.read_score() | report.to_json())
    return report
