"""Build what a kernel needs, and put it on Kaggle as a data set."""

from pathlib import Path

from kaggle_dsb.network.ensemble import BUNDLED, FOLDS_FILE, SETTINGS_FILE, Ensemble
from kaggle_dsb.publish.bundle import (
    BUNDLE_SLUG,
    Bundle,
    build_bundle,
    check_bundle,
    write_metadata,
)
from kaggle_dsb.publish.client import Kaggle, KaggleError, wait_until

BUNDLE_FOLDER = Path("build/bundle")


def bundle(ensemble: Ensemble, folder: Path = BUNDLE_FOLDER) -> Bundle:
    """Build the bundle with these networks; the bundled ones come with the package's own wheel."""
    if ensemble.folder == BUNDLED:
        return build_bundle(folder, networks=[], about=[])
    about = [ensemble.folder / name for name in (FOLDS_FILE, SETTINGS_FILE)]
    return build_bundle(
        folder,
        networks=ensemble.members.values(),
        about=[path for path in about if path.exists()],
    )


def push_bundle(
    kaggle: Kaggle,
    folder: Path = BUNDLE_FOLDER,
    *,
    notes: str,
    every_s: float = 5,
    limit_s: float = 1800,
) -> str:
    """Create the bundle's data set, or a new version of it, and wait until kernels can use it.

    Parameters
    ----------
    kaggle : Kaggle
    folder : Path
        As `bundle` built it.
    notes : str
        What the version is called.
    every_s, limit_s : float
        How often to ask whether it is ready, and how long.

    Returns
    -------
    str
        Its name on Kaggle, ``user/slug``.

    Raises
    ------
    InputError
        When the folder is no whole bundle, or Kaggle refuses it.
    """
    check_bundle(folder)
    write_metadata(folder, kaggle.username)
    ref = f"{kaggle.username}/{BUNDLE_SLUG}"
    kaggle.upload_dataset(folder, is_new=kaggle.dataset_status(ref) is None, notes=notes)

    def ask() -> str | None:
        status = kaggle.dataset_status(ref)
        return status if status in ("ready", "failed", "deleted") else None

    status = wait_until(ask, doing=f"{ref}: getting ready", every_s=every_s, limit_s=limit_s)
    if status != "ready":
        raise KaggleError(f"{ref}: Kaggle could not prepare the data set (status {status})")
    return ref
