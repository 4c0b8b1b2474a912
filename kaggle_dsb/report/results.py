"""The content of a page for one image: table row, thumbnails and pixel data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Image, Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import ImageScore, score_image
from kaggle_dsb.dataset.naming import shorten_id
from kaggle_dsb.report.display import (
    draw_thumbnail,
    encode_webp,
    find_display_range,
    find_reduction,
    pack_labels,
    stretch_for_display,
)
from kaggle_dsb.report.outcomes import OUTCOMES, Outcome, Outcomes, find_outcomes

_IMAGE_QUALITY, _MAP_QUALITY, _THUMB_QUALITY = 82, 60, 78
_THUMB_SIDE_PX = 320


@dataclass(frozen=True, eq=False)
class ImageResult:
    """An image with its prediction and, if available, ground truth and baseline.

    Attributes
    ----------
    id, type : str
    image : (H, W, 3) uint8
    predicted : (H, W) int32
    truth : (H, W) int32, or None
    probability : (C, H, W) float, in [0, 1], or None
        The first two channels are body and touching border.
    fold : int or None
        The fold that held out the image.
    baseline : (H, W) int32, or None
        An earlier prediction to compare with.
    """

    id: str
    type: str
    image: NDArray[np.uint8]
    predicted: Labels
    truth: Labels | None = None
    probability: NDArray[np.floating] | None = None
    fold: int | None = None
    baseline: Labels | None = None


@dataclass(frozen=True, eq=False)
class Change:
    """Comparison of a prediction with the baseline.

    Attributes
    ----------
    n_baseline : int
        Number of nuclei in the baseline.
    agreement : float, in [0, 1]
        Score of the prediction with the baseline as ground truth.
    baseline_score : float or None
        None without ground truth.
    """

    n_baseline: int
    agreement: float
    baseline_score: float | None


@dataclass(frozen=True, eq=False)
class ImageRow:
    """The table row of one image; counts and score are None without ground truth."""

    id: str
    type: str
    fold: int | None
    size: tuple[int, int]
    n_predicted: int
    score: ImageScore | None
    counts: dict[Outcome, int] | None
    change: Change | None
    true_areas_px: NDArray[np.int64]
    predicted_areas_px: NDArray[np.int64]

    @property
    def short_id(self) -> str:
        """The id, truncated if it is a hash."""
        return shorten_id(self.id, length=8)

    @property
    def alt(self) -> str:
        """The alternative text of the thumbnail."""
        place = f"{self.type}, {self.size[1]} by {self.size[0]} pixels"
        if self.score is None or self.counts is None:
            return f"{place}; {self.n_predicted} nuclei predicted"
        listed = ", ".join(f"{n} {name}" for name, n in self.counts.items() if n)
        return (
            f"{place}; score {self.score.score:.3f}; {self.score.n_true} true and "
            f"{self.n_predicted} predicted nuclei: {listed or 'none'}"
        )

    @property
    def gain(self) -> float | None:
        """The score minus that of the baseline; None if either is unknown."""
        if self.change is None or self.change.baseline_score is None or self.score is None:
            return None
        return self.score.score - self.change.baseline_score

    def to_json(self) -> dict[str, Any]:
        """Return the data for the page's script."""
        return {
            "id": self.id,
            "type": self.type,
            "fold": self.fold,
            "height": self.size[0],
            "width": self.size[1],
            "size": self.size[0] * self.size[1],
            "score": self.score and round(self.score.score, 4),
            "precision": self.score and self.score.precision.round(3).tolist(),
            "nTrue": self.score and self.score.n_true,
            "nPredicted": self.n_predicted,
            "counts": self.counts,
            "agreement": self.change and round(self.change.agreement, 4),
            "gain": None if self.gain is None else round(self.gain, 4),
            "alt": self.alt,
        }


@dataclass(frozen=True, eq=False)
class ImageEntry:
    """The page's data about one image.

    Attributes
    ----------
    row : ImageRow
    thumbnails : dict of str to str
        Base64 WebP: ``prediction``, and ``baseline`` if there is one.
    payload : dict
        The viewer's data, JSON-serializable.
    """

    row: ImageRow
    thumbnails: dict[str, str]
    payload: dict[str, Any]


def describe_result(result: ImageResult) -> ImageEntry:
    """Score an image, draw its thumbnails and encode its pixels for the page."""
    truth = None if result.truth is None else relabel(result.truth)
    predictions = {"prediction": relabel(result.predicted)}
    if result.baseline is not None:
        predictions["baseline"] = relabel(result.baseline)
    outcomes = {
        name: None if truth is None else find_outcomes(truth, labels)
        for name, labels in predictions.items()
    }
    own = outcomes["prediction"]
    thumbnails = {
        name: _draw_thumbnail(result.image, truth, labels, outcomes[name])
        for name, labels in predictions.items()
    }
    payload = _pack_image(result) | {
        name: _pack_labels(labels, outcomes[name], is_truth=False)
        for name, labels in predictions.items()
    }
    payload["truth"] = None if truth is None else _pack_labels(truth, own, is_truth=True)
    return ImageEntry(_describe_row(result, truth, predictions, own), thumbnails, payload)


def _describe_row(
    result: ImageResult,
    truth: Labels | None,
    predictions: Mapping[str, Labels],
    outcomes: Outcomes | None,
) -> ImageRow:
    predicted, baseline = predictions["prediction"], predictions.get("baseline")
    return ImageRow(
        id=result.id,
        type=result.type,
        fold=result.fold,
        size=(predicted.shape[0], predicted.shape[1]),
        n_predicted=int(predicted.max()),
        score=None if truth is None else score_image(truth, predicted),
        counts=outcomes.counts() if outcomes else None,
        change=None if baseline is None else _find_change(truth, predicted, baseline),
        true_areas_px=_areas_px(truth),
        predicted_areas_px=_areas_px(predicted),
    )


def _find_change(truth: Labels | None, predicted: Labels, baseline: Labels) -> Change:
    return Change(
        n_baseline=int(baseline.max()),
        agreement=score_image(baseline, predicted).score,
        baseline_score=None if truth is None else score_image(truth, baseline).score,
    )


def _areas_px(labels: Labels | None) -> NDArray[np.int64]:
    return np.bincount(np.ravel(labels))[1:] if labels is not None else np.zeros(0, np.int64)


def _draw_thumbnail(
    image: Image, truth: Labels | None, labels: Labels, outcomes: Outcomes | None
) -> str:
    """Draw the predicted nuclei by outcome, and the missed true nuclei."""
    layers: list[tuple[Labels, Mapping[int, Outcome]]]
    if truth is None or outcomes is None:
        layers = [(labels, dict.fromkeys(range(1, int(labels.max()) + 1), "hit"))]
    else:
        missed = {label: name for label, name in outcomes.true.items() if name == "missed"}
        layers = [(labels, outcomes.predicted), (truth, missed)]
    thumbnail = draw_thumbnail(image, layers, side_px=_THUMB_SIDE_PX)
    return encode_webp(thumbnail, quality=_THUMB_QUALITY)


def _pack_image(result: ImageResult) -> dict[str, Any]:
    shown = find_display_range(result.image)
    return {
        "image": encode_webp(stretch_for_display(result.image), quality=_IMAGE_QUALITY),
        "reduction": find_reduction(result.image.shape),
        "range": None if shown is None else [round(level, 1) for level in shown],
        **_encode_maps(result.probability),
    }


def _pack_labels(labels: Labels, outcomes: Outcomes | None, *, is_truth: bool) -> dict[str, Any]:
    """Encode labels 1..N with the outcome's index and the IoU in percent of each."""
    packed = {"labels": pack_labels(labels)}
    if outcomes is None:
        return packed | {"outcomes": None, "iou": None}
    names = outcomes.true if is_truth else outcomes.predicted
    iou = outcomes.true_iou if is_truth else outcomes.predicted_iou
    return packed | {
        "outcomes": [OUTCOMES.index(name) for name in names.values()],
        "iou": [round(100 * value) for value in iou.values()],
    }


def _encode_maps(probability: NDArray[np.floating] | None) -> dict[str, str]:
    if probability is None:
        return {}
    levels = (255 * probability.astype(np.float32)).round().astype(np.uint8)
    return {
        name: encode_webp(level, quality=_MAP_QUALITY)
        for name, level in zip(("body", "border"), levels[:2], strict=True)
    }
