"""Score each training image with the network that has not seen it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, ImageScore, score_image
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.files import replacing
from kaggle_dsb.network.load import load_finder
from kaggle_dsb.network.out_of_fold import predict_out_of_fold
from kaggle_dsb.progress import show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source, require_train_set


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of a run.

    Attributes
    ----------
    scores : DataFrame
        A row an image: ``ImageId, type, fold, score, n_true, n_predicted`` and ``hits_50`` to
        ``hits_95``.
    files : dict of str to Path
        That hold the probability of each image, (3, H, W) float16.
    labels : dict of str to (H, W) uint16
        The nuclei found in each image.
    """

    scores: pd.DataFrame
    files: dict[str, Path]
    labels: dict[str, NDArray[np.uint16]]

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


def record_validation(source: Source, run: Run, settings: Settings, result: OutOfFold) -> str:
    """Record the score of a run beside its networks, for submissions made with them to quote.

    Returns
    -------
    str
        What was recorded, or why nothing was: only the whole run, on all training images and with
        its own settings, earns a score.
    """
    n_images = source.prepared.images[require_train_set(source)]
    if run.is_bundled or source.limit:
        why = "of the bundled networks" if run.is_bundled else "over a part of the images"
        return f"a score {why} is not recorded"
    if len(result.scores) < n_images:
        return f"not recorded: only {len(result.scores)} of {n_images} images were held out"
    if settings.model_copy(update={"hardware": run.load_settings().hardware}) != (
        run.load_settings()
    ):
        return "not recorded: the settings are not the run's own"
    run.write_validation(result.to_json(), settings, data=source.name)
    return f"recorded in {run.validation_file}"


def write_scores(path: Path, result: OutOfFold) -> None:
    """Write the scores of all images as CSV."""
    with replacing(path) as temporary:
        result.scores.to_csv(temporary, index=False, float_format="%.6f")


def validate_run(source: Source, run: Run, settings: Settings, *, work: Path) -> OutOfFold:
    """Predict every training image out of fold, and score it.

    Parameters
    ----------
    source : Source
        With the images that the run was trained on.
    run : Run
        A fold whose network is missing is left out.
    settings : Settings
        ``prediction``, ``instances`` and ``hardware`` count.
    work : Path
        Probabilities are kept in ``work/oof``, so that a second call, an interrupted one or one
        with other instance settings need not compute them again.

    Raises
    ------
    InputError
        When the images are not those of the run's folds.
    """
    with show_progress("predicting out of fold") as progress:
        predicted = predict_out_of_fold(source, run, settings, work=work, progress=progress)
    finders = {
        fold: load_finder(run, settings, folds=[fold]) for fold in set(predicted.fold_of.values())
    }
    rows, labels = [], {}
    with show_progress("finding nuclei and scoring") as progress:
        for done, sample in enumerate(predicted.samples, 1):
            fold = predicted.fold_of[sample.id]
            found = finders[fold].find(predicted.probability(sample.id), sample.image)
            score = score_image(require_labels(sample), found)
            rows.append(_row(sample.id, predicted.type_of[sample.id], fold, score))
            labels[sample.id] = found.astype(np.uint16)
            progress(done, len(predicted.samples))
    return OutOfFold(pd.DataFrame(rows), predicted.files, labels)


def _row(id_: str, kind: str, fold: int, score: ImageScore) -> dict[str, object]:
    hits = {f"hits_{t}": n for t, n in zip(THRESHOLDS_PERCENT, score.hits, strict=True)}
    counts = {"n_true": score.n_true, "n_predicted": score.n_predicted}
    return {"ImageId": id_, "type": kind, "fold": fold, "score": score.score} | counts | hits
