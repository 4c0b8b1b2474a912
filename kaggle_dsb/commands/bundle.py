"""Build what a kernel needs to run without internet."""

from pathlib import Path

from kaggle_dsb.network.ensemble import BUNDLED, FOLDS_FILE, SETTINGS_FILE, Ensemble
from kaggle_dsb.publish.bundle import BUNDLE_FOLDER, Bundle, build_bundle


def bundle(ensemble: Ensemble, folder: Path = BUNDLE_FOLDER) -> Bundle:
    """Build the bundle with these networks; the bundled ones come with the package's own wheel."""
    if ensemble.folder == BUNDLED:
        return build_bundle(folder, networks=[], about=[])
    about = [ensemble.folder / name for name in (FOLDS_FILE, SETTINGS_FILE)]
    return build_bundle(
        folder,
        networks=[*ensemble.members.values(), *ensemble.second_levels.values()],
        about=[path for path in about if path.exists()],
    )
