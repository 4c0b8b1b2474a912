"""The probabilities of the training images, each by the networks that have not seen it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.commands.data import Source, require_train_set
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.folds import read_folds
from kaggle_dsb.dataset.samples import Sample, load_samples
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.probability import load_probability, save_probability
from kaggle_dsb.network.ensemble import FOLDS_FILE, Ensemble, digest_of, load_predictor
from kaggle_dsb.network.predict import SPLIT_TO_MEASURE
from kaggle_dsb.network.train import prepare_hardware
from kaggle_dsb.progress import show_progress


@dataclass(frozen=True)
class HeldOut:
    """Training images, and which fold's network has not seen each.

    Attributes
    ----------
    samples : list of Sample
    fold_of, type_of : dict of str to int, str
    """

    samples: list[Sample]
    fold_of: dict[str, int]
    type_of: dict[str, str]


@dataclass(frozen=True)
class OutOfFoldProbabilities(HeldOut):
    """The probabilities of training images by the networks that have not seen them.

    Attributes
    ----------
    files : dict of str to Path
        That hold the probability of each, (3, H, W) float16.
    """

    files: dict[str, Path]

    def probability(self, image_id: str) -> NDArray[np.float32]:
        """Load the probability of an image, (3, H, W) float32."""
        return load_probability(self.files[image_id])


def held_out_samples(source: Source, ensemble: Ensemble) -> HeldOut:
    """Give the training images that some network of an ensemble has not seen.

    Raises
    ------
    InputError
        When the images are not those of the ensemble's folds.
    """
    fold_of, type_of = _read_fold_of(ensemble)
    samples = [
        sample
        for sample in load_samples(source.cache, require_train_set(source))
        if fold_of.get(sample.id) in ensemble.members
    ]
    if not samples:
        raise InputError(
            f"{source.origin}: holds none of the images in {ensemble.folder}/folds.csv"
        )
    ids = [sample.id for sample in samples]
    return HeldOut(samples, {id_: fold_of[id_] for id_ in ids}, {i: type_of[i] for i in ids})


def predict_out_of_fold(
    source: Source, ensemble: Ensemble, settings: Settings, *, work: Path
) -> OutOfFoldProbabilities:
    """Predict every training image with the network that has not seen it.

    Parameters and errors are those of `kaggle_dsb.commands.validate.validate`; what ``work/oof``
    holds already of a network, in a folder named by its hash, is not computed again.
    """
    prepare_hardware(settings)
    held_out = held_out_samples(source, ensemble)
    folders = {
        fold: work / "oof" / _name_predictions(network, settings)
        for fold, network in ensemble.members.items()
    }
    files = {id_: folders[fold] / f"{id_}.npy" for id_, fold in held_out.fold_of.items()}
    with show_progress("predicting out of fold") as progress:
        for done, _ in enumerate(_predict_missing(held_out, files, ensemble, settings), 1):
            progress(done, len(held_out.samples))
    return OutOfFoldProbabilities(**vars(held_out), files=files)


def _read_fold_of(ensemble: Ensemble) -> tuple[dict[str, int], dict[str, str]]:
    folds = read_folds(ensemble.folder / FOLDS_FILE).set_index("ImageId")
    ids = folds.index.astype(str)
    return dict(zip(ids, folds["fold"], strict=True)), dict(zip(ids, folds["type"], strict=True))


def _name_predictions(network: Path, settings: Settings) -> str:
    facts = [
        digest_of(network),
        settings.network.nucleus_px,
        settings.prediction.model_dump(),
        SPLIT_TO_MEASURE,
    ]
    made_by = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(made_by.encode()).hexdigest()[:12]


def _predict_missing(
    held_out: HeldOut, files: dict[str, Path], ensemble: Ensemble, settings: Settings
) -> Iterator[str]:
    """Predict what has no file yet, yielding each id once its file is there."""
    for fold in ensemble.members:
        of_fold = [s for s in held_out.samples if held_out.fold_of[s.id] == fold]
        missing = [s for s in of_fold if not files[s.id].exists()]
        yield from (sample.id for sample in of_fold if sample not in missing)
        if not missing:
            continue
        predictor = load_predictor(ensemble, settings, folds=[fold])
        probabilities = predictor.predict([sample.image for sample in missing])
        for sample, probability in zip(missing, probabilities, strict=True):
            save_probability(files[sample.id], probability)
            yield sample.id
