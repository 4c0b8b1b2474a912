"""Score each training image with the network that has not seen it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.commands.data import Source, require_train_set
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, ImageScore, score_image
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.folds import read_folds
from kaggle_dsb.dataset.samples import Sample, load_samples
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.watershed import split_nuclei
from kaggle_dsb.network.ensemble import FOLDS_FILE, VALIDATION_FILE, Ensemble, load_predictor
from kaggle_dsb.network.train import prepare_hardware, require_labels
from kaggle_dsb.progress import show_progress

Probability = NDArray[np.float16]


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of a run.

    Attributes
    ----------
    scores : DataFrame
        A row an image: ``ImageId, type, fold, score, n_true, n_predicted`` and ``hits_50`` to
        ``hits_95``.
    folder : Path
        Holds the probability of each image, ``ID.npy``, (2, H, W) float16.
    """

    scores: pd.DataFrame
    folder: Path

    def table(self) -> pd.DataFrame:
        """Give the mean score by fold (rows, the last over all) and image type (columns)."""
        by_fold = self.scores.pivot_table("score", "fold", "type", margins=True, margins_name="all")
        return by_fold.reindex(columns=[*sorted(set(map(str, by_fold)) - {"all"}), "all"])

    def to_json(self) -> dict[str, Any]:
        """Give the mean scores as JSON's types: over all, by fold, by type."""
        by = self.scores.groupby
        return {
            "score": float(self.scores["score"].mean()),
            "per_fold": {str(k): float(v) for k, v in by("fold")["score"].mean().items()},
            "per_type": {str(k): float(v) for k, v in by("type")["score"].mean().items()},
            "images": len(self.scores),
        }


def write_validation(ensemble: Ensemble, result: OutOfFold) -> None:
    """Write ``validation.json`` beside the networks, for submissions made with them to quote."""
    with replacing(ensemble.folder / VALIDATION_FILE) as temporary:
        temporary.write_text(json.dumps(result.to_json(), indent=2) + "\n")


def write_scores(path: Path, result: OutOfFold) -> None:
    """Write the scores of all images as CSV."""
    with replacing(path) as temporary:
        result.scores.to_csv(temporary, index=False, float_format="%.6f")


def validate(source: Source, ensemble: Ensemble, settings: Settings, *, work: Path) -> OutOfFold:
    """Predict every training image out of fold, and score it.

    Parameters
    ----------
    source : Source
        With the images that the ensemble was trained on.
    ensemble : Ensemble
        A fold whose network is missing is left out.
    settings : Settings
        ``prediction``, ``instances`` and ``hardware`` count.
    work : Path
        Probabilities are kept in ``work/oof``, so that a second call, an interrupted one or one
        with other instance settings need not compute them again.

    Raises
    ------
    InputError
        When the images are not those of the ensemble's folds.
    """
    prepare_hardware(settings)
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
    folder = work / "oof" / _name_predictions(ensemble, settings)
    with show_progress("predicting out of fold") as progress:
        for done, _ in enumerate(_predict_missing(samples, fold_of, ensemble, settings, folder), 1):
            progress(done, len(samples))
    with show_progress("scoring") as progress:
        rows = []
        for done, sample in enumerate(samples, 1):
            probability = np.load(folder / f"{sample.id}.npy").astype(np.float32)
            predicted = split_nuclei(probability, **settings.instances.model_dump())
            score = score_image(require_labels(sample), predicted)
            rows.append(_row(sample.id, type_of[sample.id], fold_of[sample.id], score))
            progress(done, len(samples))
    return OutOfFold(pd.DataFrame(rows), folder)


def _read_fold_of(ensemble: Ensemble) -> tuple[dict[str, int], dict[str, str]]:
    folds = read_folds(ensemble.folder / FOLDS_FILE).set_index("ImageId")
    ids = folds.index.astype(str)
    return dict(zip(ids, folds["fold"], strict=True)), dict(zip(ids, folds["type"], strict=True))


def _name_predictions(ensemble: Ensemble, settings: Settings) -> str:
    made_by = json.dumps([ensemble.digest(), settings.prediction.model_dump()], sort_keys=True)
    return hashlib.sha256(made_by.encode()).hexdigest()[:12]


def _predict_missing(
    samples: list[Sample],
    fold_of: dict[str, int],
    ensemble: Ensemble,
    settings: Settings,
    folder: Path,
) -> Iterator[str]:
    """Predict what is not in the folder yet, yielding each id once its file is there."""
    for fold in ensemble.members:
        held_out = [sample for sample in samples if fold_of[sample.id] == fold]
        missing = [s for s in held_out if not (folder / f"{s.id}.npy").exists()]
        yield from (sample.id for sample in held_out if sample not in missing)
        if not missing:
            continue
        missing.sort(key=lambda sample: (sample.image.shape, sample.id))
        predictor = load_predictor(ensemble, settings, folds=[fold])
        probabilities = predictor.predict([sample.image for sample in missing])
        for sample, probability in zip(missing, probabilities, strict=True):
            with replacing(folder / f"{sample.id}.npy") as temporary:
                np.save(temporary, probability.astype(np.float16))
            yield sample.id


def _row(id_: str, kind: str, fold: int, score: ImageScore) -> dict[str, object]:
    hits = {f"hits_{t}": n for t, n in zip(THRESHOLDS_PERCENT, score.hits, strict=True)}
    counts = {"n_true": score.n_true, "n_predicted": score.n_predicted}
    return {"ImageId": id_, "type": kind, "fold": fold, "score": score.score} | counts | hits
