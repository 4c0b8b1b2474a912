"""Read images with the pixel values of their files, not stretched to 8 bits."""

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kaggle_dsb.dataset.archive import Archive
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
    with (
        tempfile.TemporaryDirectory() as scratch,
        Archive(source.expanduser(), Path(scratch), skipped=skipped) as archive,
    ):
        pictures = archive.find_contents().pictures
        files = {each.id: each.images[0] for each in pictures if each.set_name == set_name}
        yield lambda image_id: decode_values(files[image_id].read(), options)
