"""Get the competition's files, from Kaggle with an account or from the Broad without."""

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
from kaggle_dsb.publish.client import connect
from kaggle_dsb.publish.credentials import find_credentials

Origin = Literal["auto", "kaggle", "broad"]
_SCRATCH = ".download"


def download_competition(folder: Path, *, origin: Origin = "auto") -> list[str]:
    """Download what is missing of the competition's files.

    Parameters
    ----------
    folder : Path
        Where the files go. What is there and whole stays.
    origin : {"auto", "kaggle", "broad"}
        ``auto`` is Kaggle for who has credentials, else the Broad.

    Returns
    -------
    list of str
        The names of what was fetched; none when everything was there.

    Raises
    ------
    InputError
        With what is in the way: credentials, the rules of the competition, the network, the disk,
        or a file that broke off.
    """
    if folder.is_file():
        raise InputError(f"{folder}: is a file; choose a folder for the download")
    if not find_missing(folder, [f"{COMPETITION}.zip"]):
        return []  # put there by hand, with everything in it
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
    folder.mkdir(parents=True, exist_ok=True)
    if not find_missing(folder, KAGGLE_FILES):
        return []
    kaggle = connect()
    # Twice: the zip that Kaggle serves, and the zips in it.
    require_space(folder, 2 * kaggle.measure_competition())
    packed = kaggle.download_competition(folder / _SCRATCH)
    names = unpack_competition(packed, folder)
    shutil.rmtree(folder / _SCRATCH)
    return names


@contextmanager
def _show_megabytes(name: str) -> Iterator[Progress]:
    with show_progress(f"{name}, MB") as progress:
        yield lambda done, total: progress(round(done / 1e6), round(total / 1e6))
