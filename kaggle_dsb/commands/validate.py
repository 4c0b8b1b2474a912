"""Score the out-of-fold predictions of labelled images."""

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
from kaggle_dsb.files import replacing
from kaggle_dsb.instances.tiled import find_nuclei
from kaggle_dsb.network.load import load_finder
from kaggle_dsb.network.out_of_fold import predict_out_of_fold, was_trained_on
from kaggle_dsb.progress import show_progress
from kaggle_dsb.report.sources import draw_sources, summarise_sources
from kaggle_dsb.workspace.run import Run, open_run
from kaggle_dsb.workspace.source import Source, require_distinct_names, require_train_set


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of a run.

    Attributes
    ----------
    scores : DataFrame
        One row per image: ``ImageId, source, kind, type, fold, score, n_true, n_predicted`` and
        ``hits_50`` to ``hits_95``. The fold is NA for images that no network was trained on.
    files : dict of str to Path
        The file with the probability of each image, (n_scales, 3, H, W) float16.
    labels : dict of str to (H, W) uint16 or int32
        The label image of each image; int32 if it has more than 65,535 nuclei.
    """

    scores: pd.DataFrame
    files: dict[str, Path]
    labels: dict[str, NDArray[np.uint16 | np.int32]]

    def table(self) -> pd.DataFrame:
        """Return the mean score by fold (rows, the last over all) and image type (columns)."""
        by_fold = self.scores.pivot_table("score", "fold", "type", margins=True, margins_name="all")
        return by_fold.reindex(columns=[*sorted(set(map(str, by_fold)) - {"all"}), "all"])

    def to_json(self) -> dict[str, Any]:
        """Return the mean scores as JSON types: over all, by fold, by type."""
        by = self.scores.groupby
        return {
            "score": float(self.scores["score"].mean()),
            "per_fold": {str(k): float(v) for k, v in by("fold")["score"].mean().items()},
            "per_type": {str(k): float(v) for k, v in by("type")["score"].mean().items()},
            "images": len(self.scores),
        }


@dataclass(frozen=True)
class Validation:
    """The out-of-fold scores of a run on its own images and on those of other sources.

    Attributes
    ----------
    run : Run
    results : sequence of (Source, OutOfFold)
        The main source, then each other one.
    was_trained_on_main : bool
        Whether the score of the main source is one out of fold.
    digests : dict of str to str
        The networks and scorers before they were used, as by `Run.digests`.
    """

    run: Run
    results: Sequence[tuple[Source, OutOfFold]]
    was_trained_on_main: bool
    digests: dict[str, str]

    @property
    def main(self) -> OutOfFold:
        """The predictions of the main source."""
        return self.results[0][1]

    @property
    def scores(self) -> pd.DataFrame:
        """The scores of all images of all sources; see `OutOfFold`."""
        return pd.concat([result.scores for _, result in self.results], ignore_index=True)

    def record(self, settings: Settings) -> str:
        """Record the score beside the networks, to be quoted by submissions made with them.

        Returns
        -------
        str
            What was recorded, or why nothing was: only a score of the whole run, on all training
            images and with its own settings, is recorded.
        """
        source, result = self.results[0]
        if not self.was_trained_on_main:
            return f"not recorded: {self.run.name} was not trained on images of {source.origin}"
        n_images = source.prepared.images[require_train_set(source)]
        if self.run.is_bundled or source.limit:
            why = "of the bundled networks" if self.run.is_bundled else "of a subset of the images"
            return f"a score {why} is not recorded"
        if len(result.scores) < n_images:
            return f"not recorded: only {len(result.scores)} of {n_images} images were held out"
        own = self.run.load_settings()
        if settings.model_copy(update={"hardware": own.hardware}) != own:
            return "not recorded: the settings differ from the run's"
        if open_run(self.run.folder).digests() != self.digests:
            return "not recorded: the networks or scorers have changed meanwhile"
        self.run.write_validation(result.to_json(), settings, data=source.name)
        return f"recorded in {self.run.validation_file}"

    def save(self, path: Path) -> None:
        """Write the scores of all images as CSV, and a chart of them by source beside it."""
        with replacing(path) as temporary:
            self.scores.to_csv(temporary, index=False, float_format="%.6f")
        draw_sources(path.with_suffix(".png"), self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return the mean scores as JSON types: of the main source, then by source."""
        return self.main.to_json() | summarise_sources(self.scores)


def validate_run(
    source: Source, run: Run, settings: Settings, *, work: Path, is_foreign: bool = False
) -> OutOfFold:
    """Predict every labelled image by the networks that were not trained on it, and score it.

    Parameters
    ----------
    source, run, settings, work, is_foreign
        As `kaggle_dsb.network.out_of_fold.predict_out_of_fold` takes them; ``settings.instances``
        is used too. A foreign source counts as one source, whereas the main source is divided by
        image type and size.

    Raises
    ------
    InputError
        When no network of the run holds out any of the images, unless ``is_foreign``.
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
    rows = []
    labels: dict[str, NDArray[np.uint16 | np.int32]] = {}
    with show_progress("segmenting and scoring") as progress:
        for done, sample in enumerate(predicted.samples, 1):
            fold = predicted.fold_of[sample.id]
            nuclei = find_nuclei(finders[fold], predicted.probability(sample.id), sample.image)
            score = score_image(require_labels(sample), nuclei)
            kind = kind_of[sample.id]
            rows.append(
                {
                    "ImageId": sample.id,
                    "source": source.shown_name if is_foreign else kind,
                    "kind": kind,
                    "type": predicted.type_of[sample.id],
                    "fold": fold,
                    **_score_columns(score),
                }
            )
            fits = nuclei.max(initial=0) <= np.iinfo(np.uint16).max
            labels[sample.id] = nuclei.astype(np.uint16 if fits else np.int32, copy=False)
            progress(done, len(predicted.samples))
    scores = pd.DataFrame(rows).astype({"fold": "Int64"} if is_foreign else {})
    return OutOfFold(scores, predicted.files, labels)


def validate_sources(
    source: Source, foreign: Sequence[Source], run: Run, settings: Settings, *, work: Path
) -> Validation:
    """Validate a run on its main source, and on other sources.

    Parameters
    ----------
    source, run, settings, work
        As `validate_run` takes them, but the run need not have been trained on the source: if on
        none of its images, all networks predict them.
    foreign : sequence of Source
        Labelled images that the run may or may not have been trained on.

    Raises
    ------
    InputError
        When two sources have the same name.
    """
    sources = [source, *foreign]
    require_distinct_names(sources)
    is_own, digests = was_trained_on(run, source), run.digests()
    results = [
        (each, validate_run(each, run, settings, work=work, is_foreign=bool(number) or not is_own))
        for number, each in enumerate(sources)
    ]
    return Validation(run, results, is_own, digests)


def _score_columns(score: ImageScore) -> dict[str, object]:
    hits = {f"hits_{t}": n for t, n in zip(THRESHOLDS_PERCENT, score.hits, strict=True)}
    counts = {"n_true": score.n_true, "n_predicted": score.n_predicted}
    return {"score": score.score, **counts, **hits}
