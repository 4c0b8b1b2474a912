"""Break down the losses of the out-of-fold score, and draw the worst images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kaggle_dsb.aliases import Progress
from kaggle_dsb.commands.validate import OutOfFold
from kaggle_dsb.dataset.samples import Sample, load_samples, require_labels
from kaggle_dsb.progress import show_progress
from kaggle_dsb.report.diagnosis import Diagnosis, diagnose_image, draw_losses, tabulate_losses
from kaggle_dsb.report.pictures import draw_picture
from kaggle_dsb.report.scores import to_records
from kaggle_dsb.workspace.source import Source, require_train_set


@dataclass(frozen=True)
class DiagnosedRun:
    """The losses of a run's score.

    Attributes
    ----------
    table : DataFrame
        By image type or foreign source, as `kaggle_dsb.report.diagnosis.tabulate_losses` returns
        it.
    pictures : list of Path
        A chart of the losses, then the worst images.
    """

    table: pd.DataFrame
    pictures: list[Path]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON types, under ``errors``."""
        return {"errors": to_records(self.table)}


def diagnose_run(
    results: Sequence[tuple[Source, OutOfFold]], *, output: Path, n_worst: int
) -> DiagnosedRun:
    """Diagnose the out-of-fold predictions of a run.

    Parameters
    ----------
    results : sequence of (Source, OutOfFold)
        As `kaggle_dsb.commands.validate.validate_sources` returns them, the main source first.
    output : Path
        Folder of the pictures: ``losses.png``, and ``worst-<N>-<ID>.png`` for the images with the
        lowest scores; those of a foreign source in a subfolder of its name.
    n_worst : int
        The number of these per source.
    """
    diagnoses: dict[str, Diagnosis] = {}
    row_of: dict[str, str] = {}
    pictures = [output / "losses.png"]
    for number, (source, result) in enumerate(results):
        folder = output / source.dataset_name if number else output
        samples = {
            sample.id: sample
            for sample in load_samples(source.cache, require_train_set(source))
            if sample.id in result.labels
        }
        with show_progress(f"diagnosing {source.dataset_name}") as progress:
            of_source = _diagnose_samples(samples, result, progress)
        pictures += _draw_worst(samples, result, of_source, output=folder, n_worst=n_worst)
        rows = result.scores.set_index("ImageId")["source" if number else "type"]
        for id_, diagnosis in of_source.items():
            diagnoses[f"{number} {id_}"] = diagnosis
            row_of[f"{number} {id_}"] = str(rows[id_])
    table = tabulate_losses(diagnoses, row_of)
    draw_losses(pictures[0], table)
    return DiagnosedRun(table, pictures)


def _diagnose_samples(
    samples: Mapping[str, Sample], result: OutOfFold, progress: Progress
) -> dict[str, Diagnosis]:
    diagnoses: dict[str, Diagnosis] = {}
    for id_, sample in samples.items():
        predicted = result.labels[id_].astype(np.int32)
        diagnoses[id_] = diagnose_image(require_labels(sample), predicted)
        progress(len(diagnoses), len(samples))
    return diagnoses


def _draw_worst(
    samples: Mapping[str, Sample],
    result: OutOfFold,
    diagnoses: dict[str, Diagnosis],
    *,
    output: Path,
    n_worst: int,
) -> list[Path]:
    """Draw the images with the lowest scores in place of earlier ones; return the pictures."""
    for stale in output.glob("worst-[0-9]*-*.png"):
        stale.unlink()
    worst = sorted(diagnoses, key=lambda id_: diagnoses[id_].score)[:n_worst]
    pictures = [output / f"worst-{rank}-{id_[:12]}.png" for rank, id_ in enumerate(worst, 1)]
    for path, id_ in zip(pictures, worst, strict=True):
        sample, labels = samples[id_], result.labels[id_].astype(np.int32)
        draw_picture(path, id_, sample.image, truth=sample.labels, predicted=labels)
    return pictures
