"""An image of a set with its annotation files."""

from dataclasses import dataclass, field

from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.naming import names_of_image


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


def names_of(image: Entry) -> list[str]:
    """Return the names that annotation files may use for an image."""
    # Including the full file name, as QuPath scripts write cells.png.geojson.
    return [*names_of_image(image.stem), image.path.name]


def and_more(count: int) -> str:
    """Return `` and 3 more`` for a message that names the first of several files."""
    return f" and {count} more" if count else ""
