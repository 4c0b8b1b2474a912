"""Say where the out-of-fold score goes, and draw the images that lose most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kaggle_dsb.commands.validate import OutOfFold
from kaggle_dsb.dataset.samples import load_samples, require_labels
from kaggle_dsb.progress import show_progress
from kaggle_dsb.report.diagnosis import Diagnosis, diagnose_image, draw_losses, tabulate_losses
from kaggle_dsb.report.pictures import draw_picture
from kaggle_dsb.workspace.source import Source, require_train_set


@dataclass(frozen=True)
class DiagnosedRun:
    """Where a run's score goes.

    Attributes
    ----------
    table : DataFrame
        By image type, as `kaggle_dsb.report.diagnosis.tabulate_losses` gives it.
    pictures : list of Path
        The losses, then the worst images.
    """

    table: pd.DataFrame
    pictures: list[Path]


def diagnose_run(source: Source, result: OutOfFold, *, output: Path, n_worst: int) -> DiagnosedRun:
    """Diagnose the out-of-fold predictions of a run.

    Parameters
    ----------
    source : Source
        With the images that were validated on.
    result : OutOfFold
        As `kaggle_dsb.commands.validate.validate_run` returns it.
    output : Path
        Folder of the pictures: ``losses.png``, and ``worst-<N>-<ID>.png`` of the images with the
        lowest scores.
    n_worst : int
        How many of these.
    """
    type_of = dict(zip(result.scores["ImageId"], result.scores["type"], strict=True))
    samples = {
        sample.id: sample
        for sample in load_samples(source.cache, require_train_set(source))
        if sample.id in type_of
    }
    found: dict[str, Diagnosis] = {}
    with show_progress("diagnosing") as progress:
        for id_, sample in samples.items():
            found[id_] = diagnose_image(require_labels(sample), result.labels[id_].astype(np.int32))
            progress(len(found), len(samples))
    table = tabulate_losses(found, type_of)
    pictures = [output / "losses.png"]
    draw_losses(pictures[0], table)
    for rank, id_ in enumerate(sorted(found, key=lambda one: found[one].score)[:n_worst], 1):
        pictures.append(output / f"worst-{rank}-{id_[:12]}.png")
        sample = samples[id_]
        labels = result.labels[id_].astype(np.int32)
        draw_picture(pictures[-1], id_, sample.image, truth=sample.labels, predicted=labels)
    return DiagnosedRun(table, pictures)
