"""Contact sheets of a data set: images by type and fold, and mosaics of neighbouring crops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from kaggle_dsb.aliases import Image
from kaggle_dsb.dataset.types import IMAGE_TYPES
from kaggle_dsb.files import replacing
from kaggle_dsb.report.display import stretch_for_display
from kaggle_dsb.report.style import FOLD_COLOURS, PICTURE_DPI, STYLE

_THUMB_PX = 96
_STEP_PX = _THUMB_PX + 4
_PER_ROW, _N_ROWS = 4, 3
_SHEET_GAP_PX, _HEAD_PX, _TITLE_PX = 16, 36, 34
_MOSAICS_PER_PAGE = 12
_MOSAIC_COLUMNS = 4
_MOSAIC_PX = 420


@dataclass(frozen=True)
class Mosaic:
    """A mosaic of neighbouring crops.

    Attributes
    ----------
    places : dict of str to (int, int)
        Row and column of each image, from 0; all images have the same size.
    folds : frozenset of int
        The folds of the images: one, if the split is correct.
    """

    places: Mapping[str, tuple[int, int]]
    folds: frozenset[int]


def draw_sheet(path: Path, images: Mapping[str, Image], table: pd.DataFrame) -> None:
    """Draw examples of each type and fold, with the number of images.

    Parameters
    ----------
    path : Path
        The image file; its suffix determines the format.
    images : id → (H, W, 3) uint8
    table : DataFrame
        ``ImageId``, ``type``, ``fold``.

    Notes
    -----
    The examples are evenly spaced among all images of a cell, in the order of ``table``. A type
    and fold without images gets no cell.
    """
    folds = sorted(table["fold"].unique().tolist())
    all_ids = _ids_by_cell(table)
    cells = {key: _pick(ids) for key, ids in all_ids.items()}
    tops, height = _stack_types(cells)
    width = len(folds) * (_PER_ROW * _STEP_PX + _SHEET_GAP_PX) + _SHEET_GAP_PX
    size = np.array([width, height])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=tuple(size / PICTURE_DPI), dpi=PICTURE_DPI)
        heading: dict[str, Any] = {"va": "top", "fontweight": "bold"}
        figure.text(_SHEET_GAP_PX / width, 1 - 14 / height, _count_types(table), **heading)
        for (kind, fold), ids in cells.items():
            sheet = _make_sheet([images[id_] for id_ in ids])
            left = _SHEET_GAP_PX + folds.index(fold) * (_PER_ROW * _STEP_PX + _SHEET_GAP_PX)
            axes = _add_axes(figure, (left, tops[kind]), np.array(sheet.shape[1::-1]), size)
            axes.imshow(sheet, interpolation="nearest", aspect="auto")
            _head_cell(axes, f"{kind}, fold {fold}: {len(all_ids[kind, fold])}", fold)
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=PICTURE_DPI)


def _ids_by_cell(table: pd.DataFrame) -> dict[tuple[str, int], list[str]]:
    cells: dict[tuple[str, int], list[str]] = {}
    for id_, kind, fold in table[["ImageId", "type", "fold"]].itertuples(index=False):
        cells.setdefault((kind, int(fold)), []).append(id_)
    return cells


def _stack_types(cells: Mapping[tuple[str, int], list[str]]) -> tuple[dict[str, int], int]:
    """Return the top of each type's row of cells, in pixels, and the total height."""
    tops: dict[str, int] = {}
    top = _HEAD_PX
    for kind in IMAGE_TYPES:
        most = max((len(ids) for (of, _), ids in cells.items() if of == kind), default=0)
        if most:
            tops[kind] = top + _TITLE_PX
            top += _TITLE_PX + -(-most // _PER_ROW) * _STEP_PX + _SHEET_GAP_PX
    return tops, top


def _count_types(table: pd.DataFrame) -> str:
    types = table["type"].value_counts()
    listed = ", ".join(f"{types[kind]} {kind}" for kind in IMAGE_TYPES if kind in types)
    return f"{len(table)} images in {table['fold'].nunique()} folds: {listed}"


def _pick(ids: Sequence[str]) -> list[str]:
    most = _PER_ROW * _N_ROWS
    steps = np.linspace(0, len(ids) - 1, min(most, len(ids))).round().astype(int)
    return [ids[step] for step in steps]


def _add_axes(
    figure: Figure, corner: tuple[float, float], extent: NDArray[np.int64], size: NDArray[np.int64]
) -> Axes:
    """Add axes at a position in pixels from the upper left corner."""
    left, top = corner
    bottom = size[1] - top - extent[1]
    axes = figure.add_axes(
        (left / size[0], bottom / size[1], extent[0] / size[0], extent[1] / size[1])
    )
    axes.set_axis_off()
    return axes


def _make_sheet(images: Sequence[Image]) -> Image:
    n_rows = -(-len(images) // _PER_ROW)
    sheet = np.full((n_rows * _STEP_PX, _PER_ROW * _STEP_PX, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, _PER_ROW)
        place = sheet[row * _STEP_PX :, column * _STEP_PX :]
        place[:_THUMB_PX, :_THUMB_PX] = make_thumb(image, _THUMB_PX)
    return sheet


def _head_cell(axes: Axes, title: str, fold: int) -> None:
    """Write a title above the axes, underlined in the fold's colour."""
    axes.annotate(
        title,
        (0, 1),
        xytext=(0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
    )
    line: dict[str, Any] = {
        "color": FOLD_COLOURS[fold % len(FOLD_COLOURS)],
        "lw": 3,
        "clip_on": False,
    }
    height_px = axes.get_window_extent().height
    axes.plot([0, 1], [1 + 4 / height_px] * 2, transform=axes.transAxes, **line)


def make_thumb(image: Image, side_px: int) -> Image:
    """Return the central square of an image, resized to ``side_px``, with stretched contrast."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = stretch_for_display(image)[top : top + side, left : left + side]
    small = cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def draw_mosaics(
    folder: Path, images: Mapping[str, Image], mosaics: Sequence[Mosaic]
) -> list[Path]:
    """Draw mosaics of neighbouring crops, several per page, framed in the colour of their fold.

    Parameters
    ----------
    folder : Path
        Receives ``groups-1.png``, ``groups-2.png`` ..., in place of earlier ones.
    images : id → (H, W, 3) uint8
    mosaics : sequence of Mosaic

    Returns
    -------
    list of Path
        The pages.

    Notes
    -----
    Crops that belong together show no seam. A coloured frame means that all are in one fold; a
    mosaic divided between folds has a dashed black frame, and its title says so.
    """
    for stale in folder.glob("groups-[0-9]*.png"):
        stale.unlink()
    pages: list[Path] = []
    for start in range(0, len(mosaics), _MOSAICS_PER_PAGE):
        path = folder / f"groups-{len(pages) + 1}.png"
        _draw_page(path, images, mosaics[start : start + _MOSAICS_PER_PAGE], first=start + 1)
        pages.append(path)
    return pages


def _draw_page(
    path: Path, images: Mapping[str, Image], mosaics: Sequence[Mosaic], *, first: int
) -> None:
    columns = min(_MOSAIC_COLUMNS, len(mosaics))
    n_rows = -(-len(mosaics) // columns)
    cell = np.array([_MOSAIC_PX, _MOSAIC_PX])
    step = cell + np.array([_SHEET_GAP_PX, 30])
    size = step * np.array([columns, n_rows]) + np.array([_SHEET_GAP_PX, 46])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=tuple(size / PICTURE_DPI), dpi=PICTURE_DPI)
        for number, mosaic in enumerate(mosaics):
            row, column = divmod(number, columns)
            corner = (_SHEET_GAP_PX + column * step[0], 46 + row * step[1] + 16)
            axes = _add_axes(figure, corner, cell, size)
            _draw_mosaic(axes, images, mosaic, number=first + number)
        folds = sorted({fold for mosaic in mosaics for fold in mosaic.folds})
        patches = [
            Patch(color=FOLD_COLOURS[fold % len(FOLD_COLOURS)], label=f"fold {fold}")
            for fold in folds
        ]
        figure.legend(handles=patches, loc="upper left", ncols=len(patches))
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=PICTURE_DPI)


def _draw_mosaic(axes: Axes, images: Mapping[str, Image], mosaic: Mosaic, *, number: int) -> None:
    picture = _assemble_stretched(images, mosaic.places)
    scale = _MOSAIC_PX / max(picture.shape[:2])
    extent = (0, picture.shape[1] * scale, picture.shape[0] * scale, 0)
    smooth = "antialiased" if scale < 1 else "nearest"
    axes.imshow(picture, interpolation=smooth, extent=extent)
    axes.set_xlim(-4, _MOSAIC_PX + 4)
    axes.set_ylim(_MOSAIC_PX + 4, -4)
    is_whole = len(mosaic.folds) == 1
    fold = min(mosaic.folds)
    colour = FOLD_COLOURS[fold % len(FOLD_COLOURS)] if is_whole else "black"
    frame: dict[str, Any] = {
        "edgecolor": colour,
        "linewidth": 4,
        "linestyle": "-" if is_whole else "--",
    }
    axes.add_patch(Rectangle((0, 0), extent[1], extent[2], fill=False, clip_on=False, **frame))
    where = f"fold {fold}" if is_whole else f"split across folds {sorted(mosaic.folds)}"
    title = f"{number}: {len(mosaic.places)} crops, {where}"
    axes.set_title(title, loc="left", fontsize=9, pad=3)


def _assemble_stretched(
    images: Mapping[str, Image], places: Mapping[str, tuple[int, int]]
) -> Image:
    """Assemble crops, stretched alike so that no seam appears, with white gaps."""
    gaps = assemble({id_: np.zeros_like(images[id_]) for id_ in places}, places)
    column = np.concatenate([images[id_].reshape(-1, 3) for id_ in places])[:, None]
    stretched = stretch_for_display(column).reshape(len(places), *images[next(iter(places))].shape)
    picture = assemble(dict(zip(places, stretched, strict=True)), places)
    return np.maximum(picture, gaps)


def assemble(images: Mapping[str, Image], places: Mapping[str, tuple[int, int]]) -> Image:
    """Assemble crops of one size to a mosaic.

    Parameters
    ----------
    images : id → (H, W, 3) uint8
    places : id → (row, column)
        From 0, in units of crops.

    Returns
    -------
    (rows * H, columns * W, 3) uint8
        White where there is no crop.

    Examples
    --------
    >>> crop = np.zeros((2, 3, 3), np.uint8)
    >>> assemble({"a": crop, "b": crop}, {"a": (0, 0), "b": (1, 1)}).shape
    (4, 6, 3)
    """
    height, width = images[next(iter(places))].shape[:2]
    n_rows = 1 + max(row for row, _ in places.values())
    n_columns = 1 + max(column for _, column in places.values())
    picture = np.full((n_rows * height, n_columns * width, 3), 255, dtype=np.uint8)
    for id_, (row, column) in places.items():
        picture[row * height :, column * width :][:height, :width] = images[id_]
    return picture
