"""Training curves of all folds of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kaggle_dsb.files import InputError, replacing, require_folder
from kaggle_dsb.report.style import FOLD_COLOURS, FOLD_MARKERS, STYLE
from kaggle_dsb.workspace.run import METRICS_COLUMNS, open_run

_PANELS = {
    "loss": "training loss",
    "score": "score on the held-out fold",
    "learning_rate": "learning rate",
}


@dataclass(frozen=True)
class FoldCurve:
    """The training curve of one network.

    Attributes
    ----------
    fold : int or None
        None is the network trained on everything.
    metrics : DataFrame
        One row per epoch: `METRICS_COLUMNS`.
    is_finished : bool
        True once the network has been written.
    """

    fold: int | None
    metrics: pd.DataFrame
    is_finished: bool

    def stopped_early(self, epochs: int | None) -> bool:
        """Return whether training finished with fewer than ``epochs`` epochs."""
        return bool(self.is_finished and epochs and len(self.metrics) < epochs)

    @property
    def best(self) -> pd.Series | None:
        """The row with the best score; None before the first validation."""
        scores = self.metrics["score"]
        return None if scores.isna().all() else self.metrics.iloc[int(np.nanargmax(scores))]

    def says(self, *, epochs: int | None) -> str:
        """Summarise progress and best score in a few words."""
        best = self.best
        score = (
            ""
            if best is None
            else f", best {best['score']:.3f} after epoch {best['epoch'] + 1:.0f}"
        )
        of = f" of {epochs}" if epochs else ""
        state = ", stopped early" if self.stopped_early(epochs) else ""
        state = state if self.is_finished else ", not finished"
        network = "all images" if self.fold is None else f"fold {self.fold}"
        return f"{network}: {len(self.metrics)}{of} epochs{state}{score}"


def read_curves(run: Path) -> list[FoldCurve]:
    """Read ``fold<N>/metrics.csv`` of every fold of a run, and ``fast/metrics.csv``.

    Raises
    ------
    InputError
        When there is none, or one is not a table of metrics.
    """
    wanted = "expected the folder of a training run"
    opened = open_run(require_folder(run, wanted))
    curves = [
        FoldCurve(fold, read_metrics(path), is_finished=opened.network_file(fold).exists())
        for fold, path in opened.list_metrics().items()
    ]
    if not curves:
        raise InputError(f"{run}: contains no fold<N>/metrics.csv or fast/metrics.csv; {wanted}")
    return curves


def read_metrics(path: Path) -> pd.DataFrame:
    """Read the training metrics of a network: one row per epoch, `METRICS_COLUMNS`.

    Raises
    ------
    InputError
        When it is not a table of metrics.
    """
    try:
        metrics = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table of metrics ({error})") from error
    if list(metrics.columns) != METRICS_COLUMNS or metrics.empty:
        raise InputError(
            f"{path}: has columns {list(metrics.columns)}, must have {METRICS_COLUMNS} and rows"
        )
    return metrics


def draw_curves(
    path: Path, curves: list[FoldCurve], *, title: str, epochs: int | None = None
) -> None:
    """Plot loss, score and learning rate against epoch, one line per fold.

    Parameters
    ----------
    path : Path
        The image file; its suffix determines the format.
    curves : list of FoldCurve
    title : str
    epochs : int, optional
        Maximum number of epochs. If a fold finished with fewer, a cross marks its last one.

    Notes
    -----
    A star marks the best epoch; the legend gives its score. Quantities without measurements get no
    panel. Epochs are counted from 1.
    """
    panels = [name for name in _PANELS if any(c.metrics[name].notna().any() for c in curves)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(round(4.6 * len(panels), 1), 4.3), layout="constrained")
        for axes, name in zip(
            figure.subplots(1, len(panels), squeeze=False, sharex=True)[0], panels, strict=True
        ):
            for curve in curves:
                _draw_line(axes, curve, name, epochs)
            axes.set_title(_PANELS[name])
            axes.set_xlabel("epoch")
            axes.margins(0.06, 0.1)  # room for the stars
            axes.xaxis.get_major_locator().set_params(integer=True)
        highest = max((_highest(c.metrics[panels[0]]) for c in curves), default=0)
        if highest > 0:
            figure.axes[0].set_ylim(0, 1.08 * highest)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2)
        with replacing(path) as temporary:
            figure.savefig(temporary)


def _highest(values: pd.Series) -> float:
    """Return the largest finite value, or 0: the loss of a diverged training is not finite."""
    return float(values[np.isfinite(values)].max() if np.isfinite(values).any() else 0)


def _draw_line(axes: Axes, curve: FoldCurve, name: str, epochs: int | None) -> None:
    shown = curve.metrics[["epoch", name]].dropna()
    number = -1 if curve.fold is None else curve.fold
    place = number % len(FOLD_COLOURS)
    look: dict[str, Any] = {"color": FOLD_COLOURS[place], "marker": FOLD_MARKERS[place]}
    line = ("-", "--", "-.", ":")[number % 4]  # so that equal curves remain visible
    axes.plot(
        shown["epoch"] + 1, shown[name], label=curve.says(epochs=epochs), ls=line, ms=4.5, **look
    )
    best = curve.best
    if name == "score" and best is not None:
        star: dict[str, Any] = {"marker": "*", "s": 190, "edgecolor": "black", "zorder": 3}
        axes.scatter(best["epoch"] + 1, best["score"], color=look["color"], **star)
    if curve.stopped_early(epochs):
        last = shown.iloc[-1]
        axes.scatter(last["epoch"] + 1, last[name], color="black", marker="X", s=60, zorder=4)
