"""Download the competition's files, from Kaggle with an account or from the Broad without."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from kaggle_dsb.aliases import Progress
from kaggle_dsb.dataset.download import (
    BROAD_URL,
    KAGGLE_FILES,
    download_broad,
    find_missing,
    require_space,
    unpack_competition,
)
from kaggle_dsb.files import InputError
from kaggle_dsb.progress import say, show_progress
from kaggle_dsb.publish import COMPETITION
from kaggle_dsb.publish.credentials import find_credentials

Origin = Literal["auto", "kaggle", "broad"]
_SCRATCH = ".download"


def download_competition(folder: Path, *, origin: Origin = "auto") -> list[str]:
    """Download the missing files of the competition.

    Parameters
    ----------
    folder : Path
        The target folder. Complete files in it are kept.
    origin : {"auto", "kaggle", "broad"}
        ``auto`` is Kaggle if there are credentials, else the Broad.

    Returns
    -------
    list of str
        The names of the downloaded files; empty if none was missing.

    Raises
    ------
    InputError
        When credentials are missing, the rules of the competition are not accepted, the network or
        the disk fails, or a file is incomplete.
    """
    if folder.is_file():
        raise InputError(f"{folder}: is a file; choose a folder for the download")
    if not find_missing(folder, [f"{COMPETITION}.zip"]):
        return []  # placed there by hand; it holds everything
    if origin == "auto":
        credentials = find_credentials()
        origin = "kaggle" if credentials else "broad"
        why = (
            f"credentials in {credentials.place}" if credentials else "no Kaggle credentials found"
        )
        say(f"downloading from {origin}: {why}")
    if origin == "kaggle":
        return download_kaggle(folder)
    return download_broad(folder, base_url=BROAD_URL, show=_show_megabytes)


def download_kaggle(folder: Path) -> list[str]:
    """Download the competition's files through Kaggle's client; see `download_competition`."""
    from kaggle_dsb.publish.client import connect  # needs requests, unlike the Broad's files

    folder.mkdir(parents=True, exist_ok=True)
    if not find_missing(folder, KAGGLE_FILES):
        return []
    kaggle = connect()
    # Twice: for the zip that Kaggle serves, and for the zips in it.
    require_space(folder, 2 * kaggle.measure_competition())
    packed = kaggle.download_competition(folder / _SCRATCH)
    names = unpack_competition(packed, folder)
    shutil.rmtree(folder / _SCRATCH)
    return names


@contextmanager
def _show_megabytes(name: str) -> Iterator[Progress]:
    with show_progress(f"{name}, MB") as progress:
        yield lambda done, total: progress(round(done / 1e6), round(total / 1e6))
