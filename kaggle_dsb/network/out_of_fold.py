"""Out-of-fold predictions: each labelled image by the networks that were not trained on it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.aliases import Progress
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.folds import read_folds, select_source
from kaggle_dsb.dataset.samples import COMPETITION_SOURCE, Sample, load_samples, sizes
from kaggle_dsb.dataset.types import image_type
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.probability import load_probability, save_probability
from kaggle_dsb.network.hardware import prepare_hardware
from kaggle_dsb.network.load import load_predictor, prediction_key
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source, require_train_set


@dataclass(frozen=True)
class HeldOut:
    """Labelled images, and the fold that holds out each.

    Attributes
    ----------
    samples : list of Sample
    fold_of : dict of str to int or None
        None for images that no network of the run was trained on.
    type_of, group_of : dict of str to str
        The group is empty if none is known.
    """

    samples: list[Sample]
    fold_of: dict[str, int | None]
    type_of: dict[str, str]
    group_of: dict[str, str]


@dataclass(frozen=True)
class OutOfFoldProbabilities(HeldOut):
    """Out-of-fold probabilities of labelled images.

    Attributes
    ----------
    files : dict of str to Path
        The file with the probability of each image, (n_scales, 3, H, W) float16.
    """

    files: dict[str, Path]

    def probability(self, image_id: str) -> NDArray[np.float32]:
        """Load the probability of an image, (n_scales, 3, H, W) float32."""
        return load_probability(self.files[image_id])


def held_out_samples(source: Source, run: Run) -> HeldOut:
    """Return the training images that a network of the run holds out.

    Raises
    ------
    InputError
        When none of the images is held out by a network of the run.
    """
    folds = _folds_of(source, run)
    samples = [
        sample
        for sample in load_samples(source.cache, require_train_set(source))
        if sample.id in folds.index and folds["fold"][sample.id] in run.networks
    ]
    if not samples:
        raise InputError(
            f"{source.origin}: contains none of the images in {run.folds_file}, on which the "
            "networks were trained; `kaggle-dsb validate` scores them on other images"
        )
    return _describe(samples, folds)


def unseen_samples(source: Source, run: Run) -> HeldOut:
    """Return the labelled images of a source, whether or not the run was trained on them.

    Images of a fold without a network are left out.

    Raises
    ------
    InputError
        When there are no such images.
    """
    folds = _folds_of(source, run)
    folds = folds[folds["source"] == source.dataset_name]
    missing = folds.index[~folds["fold"].isin(run.networks)]
    labelled = load_samples(source.cache, require_train_set(source))
    samples = [sample for sample in labelled if sample.id not in missing]
    if not samples:
        raise InputError(f"{source.origin}: {run.folder} has no network that holds out its images")
    return _describe(samples, folds)


def _folds_of(source: Source, run: Run) -> pd.DataFrame:
    """Return the rows of the run's fold table on a source, by image id."""
    folds = select_source(read_folds(run.folds_file), source.dataset_name)
    return folds.set_index(folds["ImageId"].astype(str))


def _describe(samples: list[Sample], folds: pd.DataFrame) -> HeldOut:
    """Look up the fold, type and group of each image; those without a fold have no group."""
    known = folds.to_dict("index")
    fold_of: dict[str, int | None] = {}
    type_of, group_of = {}, {}
    for sample in samples:
        row = known.get(sample.id)
        fold_of[sample.id] = int(row["fold"]) if row else None
        type_of[sample.id] = row["type"] if row else str(image_type(sample.image))
        group_of[sample.id] = str(row["group"]) if row else ""
    return HeldOut(samples, fold_of, type_of, group_of)


def was_trained_on(run: Run, source: Source) -> bool:
    """Return whether any labelled image of a source is in the folds of a run."""
    folds = select_source(read_folds(run.folds_file), source.dataset_name)
    ids = sizes(source.cache, require_train_set(source))
    return bool(folds["ImageId"].astype(str).isin(ids).any())


def predict_out_of_fold(
    source: Source,
    run: Run,
    settings: Settings,
    *,
    work: Path,
    progress: Progress | None = None,
    is_foreign: bool = False,
) -> OutOfFoldProbabilities:
    """Predict every labelled image with the networks that were not trained on it.

    Parameters
    ----------
    source : Source
        The images that the run was trained on, unless ``is_foreign``.
    run : Run
        A fold without a network is left out.
    settings : Settings
        Only ``prediction`` and ``hardware`` are used.
    work : Path
        Probabilities are cached in ``work/oof``, in a folder named by
        `kaggle_dsb.network.load.prediction_key` and a file named by the image's id and pixels.
    progress : callable, optional
        Called with the number of images predicted and their total number.
    is_foreign : bool
        The run need not have been trained on the images: those that no network was trained on are
        predicted by all networks together.

    Raises
    ------
    InputError
        When no network of the run holds out any of the images, unless ``is_foreign``.
    """
    prepare_hardware(settings)
    held_out = (unseen_samples if is_foreign else held_out_samples)(source, run)
    name = "" if source.dataset_name == COMPETITION_SOURCE else source.dataset_name
    folders = {
        fold: work / "oof" / prediction_key(run, settings, folds=network_folds(run, fold)) / name
        for fold in set(held_out.fold_of.values())
    }
    files = {s.id: folders[held_out.fold_of[s.id]] / kept_name(s) for s in held_out.samples}
    for done, _ in enumerate(_predict_missing(held_out, files, run, settings), 1):
        if progress:
            progress(done, len(held_out.samples))
    return OutOfFoldProbabilities(**vars(held_out), files=files)


def kept_name(sample: Sample) -> str:
    """Return the name of the file of an image's probability, from its id, size and pixels.

    Examples
    --------
    >>> kept_name(Sample("a", np.zeros((2, 2, 3), np.uint8), None))
    'a-b3b0e4dd.npy'
    """
    identity = f"{sample.id} {sample.image.shape}".encode(errors="surrogateescape")
    digest = hashlib.sha256(identity + sample.image.tobytes()).hexdigest()[:8]
    return f"{sample.id[:50]}-{digest}.npy"


def network_folds(run: Run, fold: int | None) -> list[int]:
    """Return the folds whose networks predict the images held out by ``fold``; all for None."""
    return list(run.networks) if fold is None else [fold]


def _predict_missing(
    held_out: HeldOut, files: dict[str, Path], run: Run, settings: Settings
) -> Iterator[str]:
    """Predict the images that have no file yet, and yield each id once its file exists."""
    for fold in sorted(set(held_out.fold_of.values()), key=lambda fold: fold or 0):
        of_fold = [s for s in held_out.samples if held_out.fold_of[s.id] == fold]
        missing = [s for s in of_fold if not files[s.id].exists()]
        yield from (sample.id for sample in of_fold if sample not in missing)
        if not missing:
            continue
        predictor = load_predictor(run, settings, folds=network_folds(run, fold))
        probabilities = predictor.predict([sample.image for sample in missing])
        for sample, probability in zip(missing, probabilities, strict=True):
            save_probability(files[sample.id], probability)
            yield sample.id
