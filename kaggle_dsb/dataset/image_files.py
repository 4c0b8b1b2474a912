"""An image of a set with its annotation files."""

import re
from dataclasses import dataclass, field

from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.naming import names_of_image

# What would break a line of a CSV, a message or a path. Other spaces than U+0020 occur in names:
# macOS writes "Screenshot 1.23\u202fPM.png".
_NOT_IN_IDS = re.compile(r'[,"/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


@dataclass
class ImageFiles:
    """An image of a set with its annotation files.

    Attributes
    ----------
    set_name, id : str
    images : list of Entry
        More or fewer than one is a fault.
    masks : list of Entry
        One mask image per nucleus.
    truths : list of Entry
        Files with all nuclei of the image; see `kaggle_dsb.dataset.truth`. The first is read.
    """

    set_name: str
    id: str
    images: list[Entry] = field(default_factory=list)
    masks: list[Entry] = field(default_factory=list)
    truths: list[Entry] = field(default_factory=list)

    @property
    def has_nuclei(self) -> bool:
        """Whether there is any annotation file."""
        return bool(self.masks or self.truths)


def is_image_id(text: str) -> bool:
    """Return whether a text can be an ImageId, and the name of a file in the cache.

    Examples
    --------
    >>> is_image_id("cells 1"), is_image_id("cells,1"), is_image_id("")
    (True, False, False)
    """
    return bool(text) and not _NOT_IN_IDS.search(text)


def names_of(image: Entry) -> list[str]:
    """Return the names that annotation files may use for an image."""
    # Including the full file name, as QuPath scripts write cells.png.geojson.
    return [*names_of_image(image.stem), image.path.name]


def and_more(count: int) -> str:
    """Return `` and 3 more`` for a message that names the first of several files."""
    return f" and {count} more" if count else ""
