"""Naming conventions: which folders hold images, and which files annotate which image."""

import re
from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

Folder = tuple[str, ...]

IMAGE_FOLDER, TRUTH_FOLDER = "images", "masks"

_SPLIT = r"train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|tr|ts"
_SHORT_SPLITS = {"tr": "train", "ts": "test"}
_SPLIT_NAME = re.compile(rf"(?:{_SPLIT})(?:[ _-]?set|\d{{4}})?", re.IGNORECASE)
_IMAGES = r"(?:raw ?|tissue ?)?(?:images?|imgs?)|raw|originals?|inputs?"
_TRUTHS = (
    r"(?:label ?|instance ?)?masks?|label(?:s|led)?|gt|(?:ground ?)?truths?|annotations?|rois?|"
    r"(?:instance ?)?segmentations?|segs?|instances?"
)
_FOLDER_NAME = re.compile(
    rf"(?:(?P<before>{_SPLIT}) ?)?(?:(?P<images>{_IMAGES})|{_TRUTHS})(?: ?(?P<after>{_SPLIT}))?",
    re.IGNORECASE,
)

_HASH = re.compile(r"[0-9a-f]{32,}")

_MARK = (
    r"(?:(?:binary|instance)[ _-]?)?masks?|label(?:s|led|ed)?(?:[ _-]ima?ge?)?|seg(?:mentations?)?|"
    r"gt|ground[ _-]?truth|instances?|annotations?|rois?|roi[ _-]?set"
)
_GAP = r"(?:[ _-]|(?=\d))"
_MARK_BEHIND = re.compile(rf"(?P<id>.+?)(?:_cp)?[ _-](?:{_MARK})", re.IGNORECASE)
_MARK_BEFORE = re.compile(rf"(?:{_MARK}){_GAP}(?P<id>.+)", re.IGNORECASE)
_ONLY_MARK = re.compile(_MARK, re.IGNORECASE)
_IMAGE_BEHIND = re.compile(r"(?P<id>.+?)(?:[ _-](?:image|img|raw)|_0000)", re.IGNORECASE)
_IMAGE_BEFORE = re.compile(rf"(?:image|img|im|raw){_GAP}(?P<id>.+)", re.IGNORECASE)
_BY_PRODUCT = re.compile(
    r"(?P<id>.+?)_(?:cp_)?(?:flows?|outlines?(?:_cp_masks)?|output|cellprob|dP)", re.IGNORECASE
)


class _Role(NamedTuple):
    parent: Folder
    split: Folder
    kind: str

    @property
    def base(self) -> Folder:
        """Return the folder shared by the images and annotations of a set."""
        return (*self.parent, *self.split)


def standardise_folders(
    folders: Collection[Folder], *, with_images: Collection[Folder]
) -> dict[Folder, Folder]:
    """Map image and annotation folders with other names to ``images`` and ``masks``.

    Parameters
    ----------
    folders : collection of tuple of str
        All folders that contain files.
    with_images : collection of tuple of str
        Those that contain image files.

    Returns
    -------
    dict of folder → folder
        The standard name, ``SPLIT/images`` or ``SPLIT/masks``. An image folder is mapped only if
        there is an annotation folder, and the latter only if there are images.

    Examples
    --------
    >>> folders = [("train_images",), ("train_labels",), ("notes",)]
    >>> standardise_folders(folders, with_images=folders)[("train_labels",)]
    ('train', 'masks')
    """
    roles = {folder: role for folder in folders if (role := _find_role(folder))}
    kinds: dict[Folder, set[str]] = defaultdict(set)
    for role in roles.values():
        kinds[role.base].add(role.kind)
    for folder in with_images:
        if folder not in roles:
            kinds[folder].add(IMAGE_FOLDER)
    paired = {base for base, kinds_of_base in kinds.items() if len(kinds_of_base) == 2}
    # As masks/ID beside images: a folder of masks for each image.
    split = {
        folder: (*role.parent, TRUTH_FOLDER, *role.split)
        for folder, role in roles.items()
        if role.kind == TRUTH_FOLDER
        and role.base not in paired
        and folder[-1:] == role.split
        and IMAGE_FOLDER in kinds[role.parent]
    }
    paired |= {roles[folder].parent for folder in split}
    parents = {role.parent for role in roles.values() if role.base in paired}
    return split | {
        folder: (*role.base, role.kind)
        for folder, role in roles.items()
        if role.base in paired or (role.kind == IMAGE_FOLDER and role.parent in parents)
    }


def _find_role(folder: Folder) -> _Role | None:
    """Parse ``train/masks``, ``train_masks`` and ``masks/train`` alike."""
    for depth in (1, 2):
        name = folder[-depth].replace("_", " ").replace("-", " ") if depth <= len(folder) else ""
        match = _FOLDER_NAME.fullmatch(name)
        if match:
            split = match["before"] or match["after"] or ""
            split = _SHORT_SPLITS.get(split.lower(), split.lower())
            below = folder[len(folder) - depth + 1 :]
            kind = IMAGE_FOLDER if match["images"] else TRUTH_FOLDER
            return _Role(folder[:-depth], below or ((split,) if split else ()), kind)
    return None


def find_split(folder: Folder) -> str | None:
    """Return the part of a folder's path that names a split of the data set, if any.

    Examples
    --------
    >>> find_split(("cells", "train")), find_split(("val2017",)), find_split(("slides",))
    ('train', 'val2017', None)
    """
    return next((name for name in reversed(folder) if _SPLIT_NAME.fullmatch(name)), None)


def names_of_image(stem: str) -> list[str]:
    """Return the names by which annotation files may refer to an image, its own first.

    Examples
    --------
    >>> names_of_image("007_img"), names_of_image("img_007")
    (['007_img', '007'], ['img_007', '007'])
    """
    matches = (_IMAGE_BEHIND.fullmatch(stem), _IMAGE_BEFORE.fullmatch(stem))
    return [stem, *(match["id"] for match in matches if match)]


def names_told_by(stem: str) -> list[str]:
    """Return the names of images that a file of this name may annotate, its own first.

    Examples
    --------
    >>> names_told_by("cell3_cp_masks"), names_told_by("mask_3")
    (['cell3_cp_masks', 'cell3'], ['mask_3', '3'])
    """
    matches = (_MARK_BEHIND.fullmatch(stem), _MARK_BEFORE.fullmatch(stem))
    return [stem, *(match["id"] for match in matches if match)]


def tells_lone_image(stem: str) -> bool:
    """Return whether a name, such as ``RoiSet`` or ``mask``, annotates a folder's only image."""
    return _ONLY_MARK.fullmatch(stem) is not None


def is_by_product(stem: str, names: Collection[str]) -> bool:
    """Return whether a file is a by-product of Cellpose (flows, outlines) for one of the images."""
    match = _BY_PRODUCT.fullmatch(stem)
    return match is not None and match["id"] in names


def shorten_id(image_id: str, *, length: int = 12) -> str:
    """Shorten an id that is a hash, as the competition's are; return any other unchanged.

    Examples
    --------
    >>> shorten_id("0a7d30b252359a10fd298b638b90cb9ada3acced4e0c0e5a3692013f432ee4e9")
    '0a7d30b25235'
    >>> shorten_id("plate1_well_A01_field2")
    'plate1_well_A01_field2'
    """
    return image_id[:length] if _HASH.fullmatch(image_id) else image_id
