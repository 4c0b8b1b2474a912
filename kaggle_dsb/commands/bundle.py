"""Build the bundle that a kernel needs to run without internet."""

from pathlib import Path

from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.publish import BUNDLE_FOLDER
from kaggle_dsb.publish.bundle import Bundle, build_bundle
from kaggle_dsb.workspace.run import FAST_FILE, Run


def bundle_run(run: Run, folder: Path = BUNDLE_FOLDER) -> Bundle:
    """Build the bundle with the networks of a run; the package's wheel holds the bundled ones."""
    if run.is_bundled:
        return build_bundle(folder, networks=[], about=[])
    networks = [*run.networks.values(), run.folder / FAST_FILE]
    about = [run.folds_file, run.settings_file, run.outlines_file, run.validation_file]
    return build_bundle(
        folder,
        networks=_existing([*networks, *run.scorers.values()]),
        about=_existing([*about, *map(ranges_file, networks)]),
    )


def _existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
