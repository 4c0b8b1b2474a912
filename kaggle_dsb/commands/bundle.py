"""Build the bundle that a kernel needs to run without internet."""

from pathlib import Path

from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.publish.bundle import BUNDLE_FOLDER, Bundle, build_bundle
from kaggle_dsb.workspace.run import Run


def bundle_run(run: Run, folder: Path = BUNDLE_FOLDER) -> Bundle:
    """Build the bundle with the networks of a run; the package's wheel holds the bundled ones."""
    if run.is_bundled:
        return build_bundle(folder, networks=[], about=[])
    ranges = [ranges_file(path) for path in run.networks.values()]
    about = (run.folds_file, run.settings_file, run.outlines_file, *ranges)
    return build_bundle(
        folder,
        networks=[*run.networks.values(), *run.scorers.values()],
        about=[path for path in about if path.exists()],
    )
