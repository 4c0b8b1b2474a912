"""Score a submission or a folder of label images against the truth, as the competition does."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import LabelsById
from kaggle_dsb.competition.label_files import find_label_files, read_label_folder
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, Score, score_images
from kaggle_dsb.competition.mistakes import find_likely_mistakes
from kaggle_dsb.competition.submission import HEADER, read_solution, read_submission
from kaggle_dsb.competition.table import read_table, shorten
from kaggle_dsb.dataset.types import IMAGE_TYPES, image_type
from kaggle_dsb.files import InputError

if TYPE_CHECKING:
    from kaggle_dsb.workspace.source import Source
    from kaggle_dsb.workspace.submission import SubmissionFolder


@dataclass(frozen=True)
class ScoreReport:
    """A score with its components.

    Attributes
    ----------
    predicted, truth : str
        The names of the prediction and of the truth.
    score : Score
    types : dict of str to str
        The type of each image whose pixels are available.
    mistakes : list of str
        Likely mistakes in the prediction or the truth, one sentence each.
    n_unscored : int
        The number of predicted images without ground truth.
    """

    predicted: str
    truth: str
    score: Score
    types: dict[str, str]
    mistakes: list[str] = field(default_factory=list)
    n_unscored: int = 0

    def per_type(self) -> dict[str, tuple[int, float]]:
        """Return the number of images of each image type, and their mean score."""
        scores: dict[str, list[float]] = {}
        for id_, image in self.score.images.items():
            if id_ in self.types:
                scores.setdefault(self.types[id_], []).append(image.score)
        return {
            kind: (len(scores[kind]), float(np.mean(scores[kind])))
            for kind in IMAGE_TYPES
            if kind in scores
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            "score": self.score.mean,
            "per_threshold": _by_threshold(self.score.per_threshold),
            "pooled_per_threshold": _by_threshold(self.score.pooled),
            "per_type": {
                kind: {"images": n, "score": mean} for kind, (n, mean) in self.per_type().items()
            },
            "images": {
                id_: {
                    "score": image.score,
                    "type": self.types.get(id_),
                    "n_true": image.n_true,
                    "n_predicted": image.n_predicted,
                    "hits": list(image.hits),
                }
                for id_, image in self.score.images.items()
            },
            "predicted": self.predicted,
            "truth": self.truth,
            "likely_mistakes": self.mistakes,
            "unscored_images": self.n_unscored,
        }


def _by_threshold(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"{t / 100:.2f}": float(v) for t, v in zip(THRESHOLDS_PERCENT, values, strict=True)}


def score_files(
    predicted: Path,
    truth: Path | None = None,
    *,
    source: "Source | None" = None,
    set_name: str | None = None,
) -> ScoreReport:
    """Score a prediction.

    Parameters
    ----------
    predicted : Path
        A submission (CSV or zip), or a folder of label images named by image id.
    truth : Path, optional
        A solution CSV, or a folder of label images. By default the source's solution or the masks
        of its training images, depending on the images of the prediction.
    source : Source, optional
        Provides image sizes, image types and, without ``truth``, the truth.
    set_name : str, optional
        The set of the source whose truth is used; needed if several hold the same images.

    Raises
    ------
    InputError
        When a file cannot be read, an image of the truth has no prediction or another size, or
        sizes are missing.
    """
    known = source.sizes() if source else {}
    if truth is not None:
        expected, truth_name = read_true_labels(truth, known), str(truth)
    else:
        truth_name, expected = _require_truth(predicted, source, set_name)
    true_sizes = {id_: (true.shape[0], true.shape[1]) for id_, true in expected.items()}
    labels = _read_predicted(predicted, true_sizes)
    score = score_images(expected, labels)
    mistakes = find_likely_mistakes(expected, labels, score, from_runs=predicted.is_file())
    types = _types_of(source, set(expected), set_name)
    n_unscored = len(labels.keys() - expected.keys())
    return ScoreReport(str(predicted), truth_name, score, types, mistakes, n_unscored)


def record_score(submission: "SubmissionFolder", report: ScoreReport, *, truth: Path | None) -> str:
    """Record a score beside its submission, unless a given truth seems to be the wrong one.

    Returns
    -------
    str
        Where it was recorded, or why it was not.
    """
    if truth and report.mistakes:
        return f"not recorded: is {truth} the ground truth of this submission?"
    submission.write_score(submission.read_score() | report.to_json())
    return f"recorded in {submission.score_file}"


def _types_of(source: "Source | None", ids: set[str], set_name: str | None) -> dict[str, str]:
    """Return the type of each image, in the named set, else in the one with most of the images."""
    if source is None:
        return {}
    # Imported late, since two files are scored without reading images.
    from kaggle_dsb.dataset.samples import load_samples, sizes

    shared = {name: ids & sizes(source.cache, name).keys() for name in source.prepared.images}
    last = sorted(shared, key=lambda name: (name == set_name, len(shared[name])))
    return {
        sample.id: image_type(sample.image)
        for name in last
        if shared[name]
        for sample in load_samples(source.cache, name)
        if sample.id in ids
    }


def read_true_labels(path: Path, known: dict[str, tuple[int, int]]) -> LabelsById:
    """Read a solution CSV or a folder of label images.

    Parameters
    ----------
    path : Path
    known : dict of str to (int, int)
        The size (H, W) of each image, as far as known; needed for a CSV without sizes.

    Raises
    ------
    InputError
        When it is missing, cannot be read, or is of images of another size.
    """
    from kaggle_dsb.workspace.source import require_sizes

    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; expected a solution CSV or a folder of label images"
        )
    labels = read_label_folder(path) if path.is_dir() else read_solution(path, known or None)
    require_sizes(path, labels, known)
    return labels


def _read_predicted(path: Path, true_sizes: dict[str, tuple[int, int]]) -> LabelsById:
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; expected a submission CSV or a folder of label images"
        )
    return read_label_folder(path) if path.is_dir() else read_submission(path, true_sizes)


def _require_truth(
    predicted: Path, source: "Source | None", set_name: str | None
) -> tuple[str, LabelsById]:
    if source is None:
        raise InputError(f"{predicted}: no ground truth to score against; pass --truth or --data")
    from kaggle_dsb.workspace.source import choose_test_set, find_truth

    set_name = choose_test_set(source, set_name) if set_name else None
    names = names_in(predicted)
    truth = find_truth(source, names, set_name=set_name)
    if truth is None:
        known = source.sizes().keys() - names
        suffixed = sorted(name for name in names if name.removesuffix(".png") in known)
        if suffixed:
            raise InputError(
                f"{predicted}: image id {shorten(suffixed[0])} ends in .png; omit the suffix"
            )
        raise InputError(
            f"{source.origin}: contains no ground truth for the images of {predicted}; pass a "
            "solution CSV or a folder of label images with --truth"
        )
    return truth


def names_in(predicted: Path) -> set[str]:
    """Return the image ids of a submission CSV, or of a folder of label images."""
    if predicted.is_dir():
        return set(find_label_files(predicted))
    names = {image_id for _, (image_id, _) in read_table(predicted).select(*HEADER)}
    if not names:
        raise InputError(f"{predicted}: contains no rows; a submission has a row for every image")
    return names
