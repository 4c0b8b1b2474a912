"""The image files of a source: their names, and their pixel values not stretched to 8 bits."""

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kaggle_dsb.dataset.archive import Archive
from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.pixels import decode_values
from kaggle_dsb.dataset.read_options import ReadOptions


@contextmanager
def opening_originals(
    source: Path, set_name: str, *, options: ReadOptions, skipped: Collection[Path] = ()
) -> Iterator[Callable[[str], NDArray[Any]]]:
    """Yield a function that reads an image of a set, (H, W, 3) of any type, by its id.

    Parameters
    ----------
    source : Path
        As for `kaggle_dsb.dataset.prepare.prepare`, with which it was prepared without faults.
    set_name : str
    options : ReadOptions
        Which channel and plane of a stack to read.
    skipped : collection of Path
        Folders inside the source to skip, as when it was prepared.
    """
    with _opening_files(source, set_name, skipped) as files:
        yield lambda image_id: decode_values(files[image_id].read(), options)


def name_originals(
    source: Path, set_name: str, *, skipped: Collection[Path] = ()
) -> dict[str, str]:
    """Return the path of each image file of a set inside its source or zip, by the image's id."""
    with _opening_files(source, set_name, skipped) as files:
        return {image_id: entry.path.as_posix() for image_id, entry in files.items()}


@contextmanager
def _opening_files(
    source: Path, set_name: str, skipped: Collection[Path]
) -> Iterator[dict[str, Entry]]:
    with (
        tempfile.TemporaryDirectory() as scratch,
        Archive(source.expanduser(), Path(scratch), skipped=skipped) as archive,
    ):
        pictures = archive.find_contents().pictures
        yield {each.id: each.images[0] for each in pictures if each.set_name == set_name}
