"""Figures of single images: image, ground truth and prediction side by side."""

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kaggle_dsb.aliases import Image, Labels
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.files import replacing
from kaggle_dsb.report.display import (
    enlarge,
    overlay_outcomes,
    stretch_for_display,
    write_letters,
)
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, OUTCOMES, Outcome, find_outcomes
from kaggle_dsb.report.style import PICTURE_DPI, STYLE

_LEAST_SIDE_PX = 480
_LINE_PX = 3
_PANEL_GAP_PX, _TOP_PX, _BOTTOM_PX = 14, 74, 34

Panel = tuple[str, Image]


def draw_picture(
    path: Path, name: str, image: Image, *, truth: Labels | None, predicted: Labels | None
) -> None:
    """Draw an image beside its ground truth and prediction.

    Parameters
    ----------
    path : Path
        The image file; its suffix determines the format.
    name : str
        Shown as title.
    image : (H, W, 3) uint8
    truth, predicted : (H, W) int32, or None
        None gets no panel. If both are given, outlines are coloured by outcome; otherwise all
        nuclei have the colour of a hit.

    Notes
    -----
    Images are enlarged by an integer factor, so nothing is blurred.
    """
    factor = max(1, -(-_LEAST_SIDE_PX // max(image.shape[:2])))
    panels, counts = make_panels(image, truth, predicted, factor=factor)
    title = f"{name}\n{_caption(image, truth, predicted)}"
    with mpl.rc_context(STYLE):
        figure = _lay_out(panels, title)
        if counts:
            patches = [
                Patch(facecolor=COLOURS[o], edgecolor="#444", label=_label(o, counts[o]))
                for o in OUTCOMES
            ]
            figure.legend(handles=patches, loc="lower left", ncols=5, handlelength=1)
        with replacing(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure.savefig(temporary, dpi=PICTURE_DPI)


def _label(outcome: Outcome, n: int) -> str:
    return f"{outcome} {n} ({LETTERS[outcome]})" if LETTERS[outcome] else f"{outcome} {n}"


def make_panels(
    image: Image, truth: Labels | None, predicted: Labels | None, *, factor: int
) -> tuple[list[Panel], dict[Outcome, int]]:
    """Draw the panels of an image, and count the outcomes of its nuclei.

    Parameters
    ----------
    image : (H, W, 3) uint8
    truth, predicted : (H, W) int32, or None
    factor : int
        Enlargement of the panels.

    Returns
    -------
    panels : list of (str, (factor * H, factor * W, 3) uint8)
        ``image``, ``truth`` and ``prediction``, as available.
    counts : dict of Outcome to int
        Empty if truth or prediction is None.
    """
    large = enlarge(stretch_for_display(image), factor).astype(np.uint8)
    panels: list[Panel] = [("image", large)]
    matched = None
    if truth is not None and predicted is not None:
        matched = find_outcomes(truth, predicted)
    sides = [
        ("truth", truth, None if matched is None else matched.true),
        ("prediction", predicted, None if matched is None else matched.predicted),
    ]
    for name, labels, outcomes in sides:
        if labels is not None:
            panels.append((name, _draw_nuclei(large, enlarge(labels, factor), outcomes)))
    return panels, matched.counts() if matched else {}


def _draw_nuclei(
    picture: Image, labels: NDArray[np.generic], outcomes: dict[int, Outcome] | None
) -> Image:
    """Draw outlines and letters; without outcomes all nuclei are drawn as hits."""
    nuclei = labels.astype(np.int32)
    if outcomes is None:
        outcomes = dict.fromkeys(np.unique(nuclei[nuclei > 0]).tolist(), "hit")
    outlined = overlay_outcomes(picture, nuclei, outcomes, line_px=_LINE_PX)
    return write_letters(outlined, nuclei, outcomes)


def _caption(image: Image, truth: Labels | None, predicted: Labels | None) -> str:
    said = [f"{image.shape[0]} × {image.shape[1]} px"]
    if truth is not None:
        said.append(f"{len(np.unique(truth[truth > 0]))} true nuclei")
    if predicted is not None:
        said.append(f"{len(np.unique(predicted[predicted > 0]))} predicted")
    if truth is not None and predicted is not None:
        said.append(f"score {score_image(truth, predicted).score:.3f}")
    return ", ".join(said)


def _lay_out(panels: list[Panel], title: str) -> Figure:
    """Place the panels side by side, without resampling."""
    height, width = panels[0][1].shape[:2]
    total_width = len(panels) * (width + _PANEL_GAP_PX) + _PANEL_GAP_PX
    total_height = _TOP_PX + height + _BOTTOM_PX
    figure = Figure(
        figsize=(total_width / PICTURE_DPI, total_height / PICTURE_DPI), dpi=PICTURE_DPI
    )
    for number, (name, pixels) in enumerate(panels):
        left = _PANEL_GAP_PX + number * (width + _PANEL_GAP_PX)
        box = (
            left / total_width,
            _BOTTOM_PX / total_height,
            width / total_width,
            height / total_height,
        )
        axes = figure.add_axes(box)
        axes.imshow(pixels, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(name, loc="left")
    figure.text(_PANEL_GAP_PX / total_width, 1 - 8 / total_height, title, va="top", fontsize=10)
    return figure
