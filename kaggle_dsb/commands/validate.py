"""Score labelled images with the networks that have not seen them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, ImageScore, score_image
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.kinds import name_kinds
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.network.load import load_finder
from kaggle_dsb.network.out_of_fold import predict_out_of_fold
from kaggle_dsb.progress import show_progress
from kaggle_dsb.report.sources import summarise_sources
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source, require_train_set


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of a run.

    Attributes
    ----------
    scores : DataFrame
        A row an image: ``ImageId, source, kind, type, fold, score, n_true, n_predicted`` and
        ``hits_50`` to ``hits_95``. The fold of what no network has seen is missing (NA).
    files : dict of str to Path
        That hold the probability of each image, (3, H, W) float16.
    labels : dict of str to (H, W) uint16
        The nuclei found in each image.
    """

    scores: pd.DataFrame
    files: dict[str, Path]
    labels: dict[str, NDArray[np.uint16]]

    def table(self) -> pd.DataFrame:
        """Return the mean score by fold (rows, the last over all) and image type (columns)."""
        by_fold = self.scores.pivot_table("score", "fold", "type", margins=True, margins_name="all")
        return by_fold.reindex(columns=[*sorted(set(map(str, by_fold)) - {"all"}), "all"])

    def to_json(self) -> dict[str, Any]:
        """Return the mean scores as JSON's types: over all, by fold, by type."""
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


def join_scores(results: Sequence[OutOfFold]) -> pd.DataFrame:
    """Return the scores of all images of several sources."""
    return pd.concat([result.scores for result in results], ignore_index=True)


def summarise(results: Sequence[OutOfFold]) -> dict[str, Any]:
    """Return the mean scores as JSON's types: of the run's own images, then by source."""
    return results[0].to_json() | summarise_sources(join_scores(results))


def write_scores(path: Path, scores: pd.DataFrame) -> None:
    """Write the scores of all images as CSV."""
    with replacing(path) as temporary:
        scores.to_csv(temporary, index=False, float_format="%.6f")


def validate_run(
    source: Source, run: Run, settings: Settings, *, work: Path, is_foreign: bool = False
) -> OutOfFold:
    """Predict every labelled image by the networks that have not seen it, and score it.

    Parameters
    ----------
    source : Source
        With the images that the run was trained on, if it is not foreign.
    run : Run
        A fold whose network is missing is left out.
    settings : Settings
        ``prediction``, ``instances`` and ``hardware`` count.
    work : Path
        Probabilities are kept in ``work/oof``, so that a second call, an interrupted one or one
        with other instance settings need not compute them again.
    is_foreign : bool
        The run need not have been trained on the images: what no network has seen is predicted by
        all. The source counts as one, where the main source is divided by image type and size.

    Raises
    ------
    InputError
        When the images are not those of the run's folds, and not foreign.
    """
    with show_progress(f"predicting {source.dataset_name}") as progress:
        predicted = predict_out_of_fold(
            source, run, settings, work=work, progress=progress, is_foreign=is_foreign
        )
    finders = {
        fold: load_finder(run, settings, folds=run.scorer_folds(fold, source.dataset_name))
        for fold in set(predicted.fold_of.values())
    }
    sizes = {sample.id: sample.image.shape[:2] for sample in predicted.samples}
    kind_of = name_kinds(predicted.type_of, sizes)
    rows, labels = [], {}
    with show_progress("finding nuclei and scoring") as progress:
        for done, sample in enumerate(predicted.samples, 1):
            fold = predicted.fold_of[sample.id]
            found = finders[fold].find(predicted.probability(sample.id), sample.image)
            score = score_image(require_labels(sample), found)
            kind = kind_of[sample.id]
            rows.append(
                {
                    "ImageId": sample.id,
                    "source": source.dataset_name if is_foreign else kind,
                    "kind": kind,
                    "type": predicted.type_of[sample.id],
                    "fold": fold,
                    **_score_columns(score),
                }
            )
            labels[sample.id] = found.astype(np.uint16)
            progress(done, len(predicted.samples))
    scores = pd.DataFrame(rows).astype({"fold": "Int64"} if is_foreign else {})
    return OutOfFold(scores, predicted.files, labels)


def validate_sources(
    source: Source, foreign: Sequence[Source], run: Run, settings: Settings, *, work: Path
) -> list[OutOfFold]:
    """Validate a run on the images that it was trained on, and on others.

    Parameters
    ----------
    source, run, settings, work
        As :func:`validate_run` takes them.
    foreign : sequence of Source
        Labelled images that the run may or may not have been trained on.

    Returns
    -------
    list of OutOfFold
        Of the main source, then of each foreign one.

    Raises
    ------
    InputError
        When two sources have the same name.
    """
    names = [each.dataset_name for each in (source, *foreign)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two sources are named {name}: rename the folder of one of them")
    return [
        validate_run(source, run, settings, work=work),
        *(validate_run(other, run, settings, work=work, is_foreign=True) for other in foreign),
    ]


def _score_columns(score: ImageScore) -> dict[str, object]:
    hits = {f"hits_{t}": n for t, n in zip(THRESHOLDS_PERCENT, score.hits, strict=True)}
    counts = {"n_true": score.n_true, "n_predicted": score.n_predicted}
    return {"score": score.score, **counts, **hits}
