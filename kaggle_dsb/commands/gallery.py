"""Draw contact sheets of the training images."""

from pathlib import Path

import pandas as pd

from kaggle_dsb.aliases import Image
from kaggle_dsb.config import FoldSettings, Settings
from kaggle_dsb.dataset.folds import group_images, read_folds, select_source
from kaggle_dsb.dataset.mosaics import mosaic_layout
from kaggle_dsb.dataset.neighbours import find_neighbours
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.files import InputError
from kaggle_dsb.report.gallery import Mosaic, draw_mosaics, draw_sheet
from kaggle_dsb.training.sources import load_sources, make_folds
from kaggle_dsb.workspace.source import Source

SHEET_FILE = "gallery.png"


def draw_gallery(source: Source, output: Path, *, folds: Path | None = None) -> Path:
    """Draw ``gallery.png``: training images by type and fold.

    Parameters
    ----------
    source : Source
    output : Path
        The folder of the picture.
    folds : Path, optional
        A table of folds, such as a run's ``folds.csv``; by default the images are split anew.

    Raises
    ------
    InputError
        When there is no set with masks, or an image is not in the table.
    """
    images, table = _load_with_folds(source, folds)
    draw_sheet(output / SHEET_FILE, images, table)
    return output / SHEET_FILE


def draw_groups(source: Source, output: Path, *, folds: Path | None = None) -> list[Path]:
    """Draw ``groups-1.png`` and so on: mosaics of neighbouring crops, framed by fold.

    Parameters
    ----------
    source, output, folds
        As for `draw_gallery`.

    Raises
    ------
    InputError
        As for `draw_gallery`, or when no two images are neighbours.
    """
    images, table = _load_with_folds(source, folds)
    fold_of = dict(zip(table["ImageId"], table["fold"].astype(int), strict=True))
    layouts = mosaic_layout(find_neighbours(images))
    mosaics = [
        Mosaic(places, frozenset(fold_of[id_] for id_ in places))
        for places in sorted(layouts, key=len, reverse=True)
        if len(places) > 1
    ]
    if not mosaics:
        raise InputError(f"{source.origin}: no training images are neighbouring crops of one image")
    return draw_mosaics(output, images, mosaics)


def _load_with_folds(source: Source, folds: Path | None) -> tuple[dict[str, Image], pd.DataFrame]:
    (labelled,) = load_sources(source)
    images = {sample.id: sample.image for sample in labelled.samples}
    if folds is None:
        n_groups = len(set((labelled.group_of or group_images(images)).values()))
        if n_groups == 1:  # which cannot be divided
            types = [image_type(image) for image in images.values()]
            table = pd.DataFrame({"ImageId": list(images), "type": types, "group": 0, "fold": 0})
            return images, table.assign(source=labelled.name)
        few = FoldSettings(n_folds=min(FoldSettings().n_folds, n_groups))
        return images, make_folds([labelled], Settings(folds=few))
    table = select_source(read_folds(folds), source.dataset_name)
    shared = table[table["ImageId"].isin(images)].reset_index(drop=True)
    if len(shared) < len(images):
        missing = sorted(set(images) - set(shared["ImageId"]))
        raise InputError(f"image {missing[0]} is not in {folds} ({len(missing)} images missing)")
    return images, shared
