"""Decompose the lost score by kind of error: merged, split, invented, missed nuclei, outlines.

The errors of an image are corrected one kind after the other, each with a minimal change; the gain
in score is the cost of that kind. The remaining difference to 1 is due to the outlines. Invented
and missed mean false positives and false negatives, as in `kaggle_dsb.report.outcomes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import match, score_image
from kaggle_dsb.files import replacing
from kaggle_dsb.report.outcomes import COLOURS, HIT_ABOVE_PERCENT
from kaggle_dsb.report.style import STYLE

Loss = Literal["merged", "split", "invented", "missed", "outline"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
_COLOURS: dict[str, str] = {
    **{str(outcome): colour for outcome, colour in COLOURS.items()},
    "score": COLOURS["hit"],
    "outline": "#9aa0a6",
}
_TOO_NARROW_FOR_A_NUMBER = 0.02


@dataclass(frozen=True)
class Diagnosis:
    """The cost of each kind of error in one image.

    Attributes
    ----------
    score : float, in [0, 1]
    lost : dict of Loss to float
        Sums to 1 - score. A part can be slightly negative: a merged nucleus divided into two false
        positives is worse than one.
    outward_px : float
        Signed distance of predicted from true outlines in pixels, positive outwards: excess area
        divided by the length of the true outline, averaged over hits (pairs with an IoU above
        0.5). NaN if there is no hit.
    apart_px : float
        The same with the absolute difference: the area of the symmetric difference.
    """

    score: float
    lost: dict[Loss, float]
    outward_px: float
    apart_px: float


def diagnose_image(truth: ArrayLike, predicted: ArrayLike) -> Diagnosis:
    """Compute the cost of each kind of error in an image.

    Parameters
    ----------
    truth, predicted
        (H, W) integers, 0 for background.

    Notes
    -----
    Errors are corrected in this order: a predicted nucleus that covers more than half of each of
    several true ones is divided between them; predicted nuclei that lie more than half inside one
    true nucleus are joined; false positives (without an IoU above 0.5 with any true nucleus) are
    removed; false negatives are added. A pair with too little overlap for a hit is corrected by the
    last two steps.

    Examples
    --------
    >>> diagnosis = diagnose_image([[1, 1, 0, 2, 2]], [[1, 1, 0, 0, 0]])
    >>> diagnosis.score, diagnosis.lost["missed"], diagnosis.lost["outline"]
    (0.5, 0.5, 0.0)
    """
    true = relabel(np.asarray(truth))
    stages = [relabel(np.asarray(predicted))]
    for mend in (_cut_merged, _join_split, _remove_invented, _add_missed):
        stages.append(mend(true, stages[-1]))
    scores = [score_image(true, stage).score for stage in stages]
    gains = [*np.diff(scores).tolist(), 1 - scores[-1]]
    outward, apart = _outline_errors(true, stages[2])
    return Diagnosis(scores[0], dict(zip(LOSSES, gains, strict=True)), outward, apart)


def _cut_merged(true: Labels, predicted: Labels) -> Labels:
    matches = match(true, predicted)
    covered = 2 * matches.intersection_px > matches.true_areas_px[matches.true_index]
    owners = np.bincount(matches.predicted_index[covered], minlength=matches.predicted_labels.size)
    mended, free = predicted.copy(), int(predicted.max())
    boxes, true_boxes = ndimage.find_objects(predicted), ndimage.find_objects(true)
    for index in np.flatnonzero(owners > 1):
        label = int(matches.predicted_labels[index])
        of_these = covered & (matches.predicted_index == index)
        owning = matches.true_labels[matches.true_index[of_these]]
        box = _enclose([boxes[label - 1], *(true_boxes[owner - 1] for owner in owning.tolist())])
        inside = predicted[box] == label
        parts = np.where(np.isin(true[box], owning), true[box], 0)
        nearest = ndimage.distance_transform_edt(parts == 0, return_indices=True)[1]
        pieces = relabel(np.where(inside, parts[tuple(nearest)], 0))
        mended[box][inside] = free + pieces[inside]
        free += int(pieces.max())
    return relabel(mended)


def _enclose(boxes: Sequence[tuple[slice, slice]]) -> tuple[slice, slice]:
    """Return the smallest box around several."""
    rows, columns = (
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*boxes, strict=True)
    )
    return rows, columns


def _join_split(true: Labels, predicted: Labels) -> Labels:
    matches = match(true, predicted)
    inside = 2 * matches.intersection_px > matches.predicted_areas_px[matches.predicted_index]
    parts = np.bincount(matches.true_index[inside], minlength=matches.true_labels.size)
    number = np.arange(int(predicted.max()) + 1)
    for index in np.flatnonzero(parts > 1):
        of_this = inside & (matches.true_index == index)
        joined = matches.predicted_labels[matches.predicted_index[of_this]]
        number[joined] = joined[0]
    return relabel(number[predicted].astype(np.int32))


def _remove_invented(true: Labels, predicted: Labels) -> Labels:
    matches = match(true, predicted)
    hits = matches.hits_at(HIT_ABOVE_PERCENT)
    hitting = matches.predicted_labels[matches.predicted_index[hits]]
    return relabel(np.where(np.isin(predicted, hitting), predicted, 0).astype(np.int32))


def _add_missed(true: Labels, predicted: Labels) -> Labels:
    matches = match(true, predicted)
    hit = matches.true_index[matches.hits_at(HIT_ABOVE_PERCENT)]
    missed = np.delete(matches.true_labels, hit)
    added = np.where(np.isin(true, missed) & (true > 0), true + int(predicted.max()), predicted)
    return relabel(added.astype(np.int32))


def _outline_errors(true: Labels, predicted: Labels) -> tuple[float, float]:
    """Return the mean signed and absolute distance of the outlines of hits; NaN without hits."""
    matches = match(true, predicted)
    hits = matches.hits_at(HIT_ABOVE_PERCENT)
    if not hits.any():
        return float("nan"), float("nan")
    true_area = matches.true_areas_px[matches.true_index[hits]]
    predicted_area = matches.predicted_areas_px[matches.predicted_index[hits]]
    length = _outline_lengths(true, matches.true_labels)[matches.true_index[hits]]
    different = true_area + predicted_area - 2 * matches.intersection_px[hits]
    outward = (predicted_area - true_area) / length
    return float(outward.mean()), float((different / length).mean())


def _outline_lengths(labels: Labels, which: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the length of each outline: its number of pixels adjacent to another label."""
    padded = np.pad(labels, 1)
    inner = np.ones(labels.shape, bool)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = labels.shape
        inner &= padded[rows : rows + height, columns : columns + width] == labels
    counts = np.bincount(labels[~inner], minlength=int(which.max(initial=0)) + 1)
    return np.maximum(counts[which], 1).astype(np.float64)


def tabulate_losses(diagnoses: dict[str, Diagnosis], type_of: dict[str, str]) -> pd.DataFrame:
    """Return the mean loss of each kind by image type, and over all images.

    Returns
    -------
    DataFrame
        One row per type and one for ``all``: ``images, score``, a column for each of `LOSSES`,
        ``outward_px, apart_px``.
    """
    rows = pd.DataFrame(
        [
            {"score": d.score, **d.lost, "outward_px": d.outward_px, "apart_px": d.apart_px}
            for d in diagnoses.values()
        ]
    )
    types = pd.Series([type_of[id_] for id_ in diagnoses], name="type")
    by_type = rows.groupby(types).mean()
    table = pd.concat([by_type, rows.mean().to_frame("all").T])
    sizes = {**types.value_counts().to_dict(), "all": len(rows)}
    table.insert(0, "images", [sizes[name] for name in table.index])
    return table.rename_axis("type")


def draw_losses(path: Path, table: pd.DataFrame) -> None:
    """Plot the score and the loss of each kind as stacked bars, one per image type.

    Parameters
    ----------
    path : Path
        The image file; its suffix determines the format.
    table : DataFrame
        As returned by `tabulate_losses`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.2 + 0.6 * len(table)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(table))
        for part in ("score", *LOSSES):
            values = table[part].clip(lower=0).to_numpy()
            bars = axes.barh(
                list(map(str, table.index)), values, left=left, color=_COLOURS[part], label=part
            )
            texts = [f"{v:.3f}" if v > _TOO_NARROW_FOR_A_NUMBER else "" for v in values]
            axes.bar_label(bars, texts, label_type="center", fontsize=8, color="black")
            left += values
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("fraction of the perfect score")
        figure.legend(loc="outside upper center", ncols=len(LOSSES) + 1, frameon=False)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=130)
