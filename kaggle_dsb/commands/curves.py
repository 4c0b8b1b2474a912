"""Draw the training curves of a run."""

from pathlib import Path

from kaggle_dsb.report.curves import draw_curves, read_curves
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.workspace.run import open_run


def draw_run(run: Path, output: Path | None = None) -> tuple[Path, list[str]]:
    """Draw the training curves of all folds that have started.

    Parameters
    ----------
    run : Path
        The run's folder.
    output : Path, optional
        The picture; by default ``curves.png`` in the run's folder.

    Returns
    -------
    path : Path
        The picture.
    lines : list of str
        The progress of each fold, in words.

    Raises
    ------
    InputError
        When the folder holds no metrics.
    """
    curves = read_curves(run)
    config = open_run(run).settings_file
    epochs = load_settings(config).training.epochs if config.exists() else None
    path = output or run / "curves.png"
    draw_curves(path, curves, title=f"Training of {run.name}", epochs=epochs)
    return path, [curve.says(epochs=epochs) for curve in curves]
