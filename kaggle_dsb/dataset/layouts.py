"""Files to pictures and their nuclei: Kaggle's layout and those of other tools.

* **Kaggle**: ``ID/images/ID.png`` and ``ID/masks/*.png``, a mask a nucleus.
* **Folders** (StarDist and many published sets): ``images/`` beside ``masks/`` or ``labels/``, a
  label image (or GeoJSON, ROI zip …) a picture, below any folder such as ``train``.
* **Beside** (Cellpose and others): ``X.tif`` and ``X_masks.tif``, ``X_cp_masks.png``,
  ``X_seg.npy``, ``X.geojson``, ``X_rois.zip`` …
* **COCO**: a JSON for all pictures, which names them.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.pixels import IMAGE_SUFFIXES
from kaggle_dsb.dataset.truth import TRUTH_SUFFIXES, is_coco
from kaggle_dsb.files import InputError

KAGGLE_SETS = ("stage1_train", "stage1_test", "stage2_test_final")
OWN_SET = "images"
LONGEST_ID_BYTES = 200
UNREAD_FORMATS = {
    ".czi": "Zeiss CZI",
    ".nd2": "Nikon ND2",
    ".lif": "Leica LIF",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".vsi": "Olympus VSI",
    ".ims": "Imaris IMS",
    ".dcm": "DICOM",
}

_PICTURE_FOLDER = "images"
_TRUTH_FOLDERS = ("masks", "labels")
_TRUTH_NAME = re.compile(
    r"(?P<id>.+?)(?:_cp)?[ _-](?:masks?|labels?|seg|rois?|roiset|annotations?)", re.IGNORECASE
)
_PICTURE_NAME = re.compile(r"(?P<id>.+?)[ _-](?:img|image)", re.IGNORECASE)
_LONE_ROI_SET = re.compile(r"(?:rois?|roi_?set)", re.IGNORECASE)
_CSV_NAME = re.compile(r"stage[12]_\w+\.csv")
_FORBIDDEN = re.compile(r'[,"\x00-\x1f\x7f\ud800-\udfff]')


@dataclass
class Picture:
    """An image of a set and what tells its nuclei, as files of a source.

    Attributes
    ----------
    set_name, id : str
    images : list of Entry
        More than one is a fault.
    masks : list of Entry
        A mask image a nucleus.
    truths : list of Entry
        Files that tell all nuclei; see `kaggle_dsb.dataset.truth`. The first is read.
    """

    set_name: str
    id: str
    images: list[Entry] = field(default_factory=list)
    masks: list[Entry] = field(default_factory=list)
    truths: list[Entry] = field(default_factory=list)

    @property
    def has_nuclei(self) -> bool:
        """Whether any file tells its nuclei."""
        return bool(self.masks or self.truths)


@dataclass(frozen=True)
class Contents:
    """What a source turned out to hold.

    Attributes
    ----------
    pictures : list of Picture
        Ordered by set and id.
    tables : dict
        The competition's CSV files by name.
    faults, warnings : list of str
        A line each; a fault makes the source unusable.
    """

    pictures: list[Picture]
    tables: dict[str, Entry]
    faults: list[str]
    warnings: list[str]


class _Place(NamedTuple):
    holder: str
    folder: tuple[str, ...]


class _Key(NamedTuple):
    set_name: str
    holder: str
    id: str


@dataclass
class _Folder:
    """The files of a folder, and of its folders ``images``, ``masks`` and ``labels``."""

    pictures: list[Entry] = field(default_factory=list)
    truths: list[Entry] = field(default_factory=list)
    masks: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    loose: list[Entry] = field(default_factory=list)


def arrange(entries: Iterable[Entry], outer: str) -> Contents:
    """Arrange the files of a source into pictures and tables.

    Parameters
    ----------
    entries : iterable of Entry
    outer : str
        The name of the folder or file that was given.
    """
    tables: dict[str, Entry] = {}
    folders: dict[_Place, _Folder] = defaultdict(_Folder)
    documents, unread = [], []
    for entry in entries:
        if _CSV_NAME.fullmatch(entry.path.name):
            tables.setdefault(entry.path.name, entry)
        elif entry.suffix == ".json":
            documents.append(entry)
        elif entry.suffix in (*IMAGE_SUFFIXES, *TRUTH_SUFFIXES):
            _place(entry, folders)
        elif entry.suffix in UNREAD_FORMATS:
            unread.append(entry)
    pictures, warnings = _pair_all(folders, outer)
    chosen, holder_warnings = _choose_holders(pictures)
    coco_warnings = [line for entry in documents for line in _add_coco(entry, chosen)]
    faults = [fault for picture in chosen for fault in _check_picture(picture)]
    refused = [_refuse(entry) for entry in unread]
    if not chosen:
        faults += refused
    warnings += [*holder_warnings, *coco_warnings, *refused, *_warn_of_choice(chosen)]
    return Contents(chosen, tables, faults, warnings)


def _refuse(entry: Entry) -> str:
    return (
        f"{entry}: is a {UNREAD_FORMATS[entry.suffix]} file, which is not read; "
        "save it as OME-TIFF, for instance with Fiji or QuPath"
    )


def _place(entry: Entry, folders: dict[_Place, _Folder]) -> None:
    parts = entry.path.parts
    above = [*reversed(parts[:-1]), "", ""]
    if above[0] == _PICTURE_FOLDER:
        folders[_Place(entry.holder, parts[:-2])].pictures.append(entry)
    elif above[0] in _TRUTH_FOLDERS:
        folders[_Place(entry.holder, parts[:-2])].truths.append(entry)
    elif above[1] in _TRUTH_FOLDERS:
        folders[_Place(entry.holder, parts[:-3])].masks[above[0]].append(entry)
    else:
        folders[_Place(entry.holder, parts[:-1])].loose.append(entry)


def _pair_all(folders: dict[_Place, _Folder], outer: str) -> tuple[dict[_Key, Picture], list[str]]:
    """Pair the pictures of all folders; loose ones count where there are no others."""
    sets = {
        place: folder
        for place, folder in folders.items()
        if folder.pictures and not _is_kaggles(place, folder)
    }
    pictures: dict[_Key, Picture] = {}
    loose: dict[_Key, Picture] = {}
    warnings: list[str] = []
    loose_warnings: list[str] = []
    shared = _shared_folders(place for place, folder in folders.items() if folder.loose)
    for place, folder in folders.items():
        outside = [PurePosixPath(place.holder).stem if place.holder else outer]
        if place in sets:
            set_name = _name_set([*outside, *place.folder], place.folder if len(sets) > 1 else ())
            warnings += _pair(folder.pictures, folder, place, set_name, (), pictures)
        elif _is_kaggles(place, folder):
            _add_kaggle_picture(place, folder, outside, pictures)
        if any(entry.suffix in IMAGE_SUFFIXES for entry in folder.loose):
            below = tuple(
                name for name in place.folder[shared[place.holder] :] if name not in KAGGLE_SETS
            )
            set_name = _name_set([*outside, *place.folder], ())
            loose_warnings += _pair(folder.loose, folder, place, set_name, below, loose)
    if pictures and loose:
        example = min(str(picture.images[0]) for picture in loose.values())
        warnings.append(
            f"{len(loose)} images lie outside the folders of a data set and are left out, "
            f"such as {example}"
        )
    return (pictures, warnings) if pictures else (loose, loose_warnings)


def _is_kaggles(place: _Place, folder: _Folder) -> bool:
    """Tell ``ID/images/ID.png``, ``ID/masks/*.png`` from a folder ``images`` of many pictures."""
    if not place.folder or not (folder.pictures or folder.truths):
        return False
    stems = {entry.stem for entry in folder.pictures}
    if not stems:
        return not any(entry.suffix in IMAGE_SUFFIXES for entry in folder.loose)
    told = {id_ for entry in folder.truths for id_ in _ids_told_by(entry)}
    return place.folder[-1] in stems or (
        len(folder.pictures) == 1 and bool(told) and not stems & told
    )


def _add_kaggle_picture(
    place: _Place, folder: _Folder, outside: list[str], pictures: dict[_Key, Picture]
) -> None:
    set_name, image_id = _name_set([*outside, *place.folder[:-1]], ()), place.folder[-1]
    picture = Picture(set_name, image_id, list(folder.pictures))
    masks = [entry for entry in folder.truths if entry.suffix in IMAGE_SUFFIXES]
    if len(masks) == len(folder.truths) > 1:
        picture.masks = masks
    else:
        # A lone file may tell all nuclei by its values.
        picture.truths = list(folder.truths)
    pictures[_Key(set_name, place.holder, image_id)] = picture


def _pair(
    entries: Sequence[Entry],
    folder: _Folder,
    place: _Place,
    set_name: str,
    below: tuple[str, ...],
    pictures: dict[_Key, Picture],
) -> Iterator[str]:
    """Add the pictures among ``entries`` with the files that tell their nuclei."""
    images = [entry for entry in entries if entry.suffix in IMAGE_SUFFIXES]
    names = {name for entry in images for name in _names_of_picture(entry)}
    beside = [entry for entry in entries if _tells_another(entry, names)]
    told = {entry.path for entry in beside}
    own: dict[str, Picture] = {}
    for entry in images:
        if entry.path not in told:
            image_id = "_".join((*below, entry.stem))
            key = _Key(set_name, place.holder, image_id)
            picture = pictures.setdefault(key, Picture(set_name, image_id))
            picture.images.append(entry)
            own |= dict.fromkeys(_names_of_picture(entry), picture)
    for stem, masks in folder.masks.items():
        if stem in own:
            own[stem].masks += masks
    for truth in [*beside, *folder.truths]:
        matched = [own[id_] for id_ in _ids_told_by(truth) if id_ in own]
        if not matched and len(images) == 1 and _LONE_ROI_SET.fullmatch(truth.stem):
            matched = list(own.values())
        if matched:
            matched[0].truths.append(truth)
        else:
            yield f"{truth}: has the name of no image; it is left out"


def _tells_another(entry: Entry, names: set[str]) -> bool:
    """Tell by its name whether a file beside pictures tells the nuclei of one of them."""
    if entry.suffix in TRUTH_SUFFIXES:
        is_lone = len(names) == 1 and _LONE_ROI_SET.fullmatch(entry.stem) is not None
        return is_lone or any(id_ in names for id_ in _ids_told_by(entry))
    return any(id_ in names for id_ in _ids_told_by(entry)[1:])


def _names_of_picture(entry: Entry) -> list[str]:
    """Return the names under which files may tell its nuclei: ``7_masks`` those of ``7_img``."""
    match = _PICTURE_NAME.fullmatch(entry.stem)
    return [entry.stem, match["id"]] if match else [entry.stem]


def _ids_told_by(truth: Entry) -> list[str]:
    """Return the ids whose nuclei a file of this name may tell, the likeliest first."""
    match = _TRUTH_NAME.fullmatch(truth.stem)
    return [truth.stem, match["id"]] if match else [truth.stem]


def _shared_folders(places: Iterable[_Place]) -> dict[str, int]:
    """Count the outer folders that all places of a holder share."""
    by_holder: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for place in places:
        by_holder[place.holder].append(place.folder)
    return {
        holder: next(
            (depth for depth, names in enumerate(zip(*paths, strict=False)) if len(set(names)) > 1),
            min(len(path) for path in paths),
        )
        for holder, paths in by_holder.items()
    }


def _name_set(folders: Sequence[str], own: tuple[str, ...]) -> str:
    kaggle = next((name for name in reversed(folders) if name in KAGGLE_SETS), None)
    return kaggle or "_".join(own) or OWN_SET


def _choose_holders(pictures: dict[_Key, Picture]) -> tuple[list[Picture], list[str]]:
    """Take each set from one holder: an unpacked folder stands before the zip it came from."""
    holders: dict[str, dict[str, None]] = defaultdict(dict)
    for key in pictures:
        holders[key.set_name].setdefault(key.holder)
    first = {set_name: min(names) for set_name, names in holders.items()}
    warnings = [
        f"{set_name}: found in {' and '.join(name or 'a folder' for name in sorted(names))}; "
        f"{first[set_name] or 'the folder'} is used"
        for set_name, names in sorted(holders.items())
        if len(names) > 1
    ]
    chosen = [
        picture for key, picture in sorted(pictures.items()) if key.holder == first[key.set_name]
    ]
    return chosen, warnings


def _add_coco(entry: Entry, pictures: list[Picture]) -> Iterator[str]:
    """Give each picture its part of a COCO file, as a document of its own."""
    try:
        document = json.loads(entry.read())
        if is_coco(document):
            yield from _split_coco(entry, document, pictures)
    except (InputError, ValueError, RecursionError) as error:
        yield f"{entry}: cannot be read as JSON ({error}); it is left out"
    except (KeyError, TypeError, AttributeError) as error:
        yield f"{entry}: is no whole COCO file ({type(error).__name__}: {error}); it is left out"


def _split_coco(entry: Entry, document: dict[str, Any], pictures: list[Picture]) -> Iterator[str]:
    outlines = defaultdict(list)
    for annotation in document["annotations"]:
        outlines[annotation["image_id"]].append(annotation)
    by_name = defaultdict(list)
    for picture in pictures:
        for image in picture.images:
            if image.holder == entry.holder:
                by_name[image.path.name].append((image, picture))
    missing = []
    for record in document["images"]:
        name = PurePosixPath(str(record["file_name"]).replace("\\", "/"))
        candidates = by_name[name.name]
        exact = [
            pair for pair in candidates if pair[0].path.parts[-len(name.parts) :] == name.parts
        ]
        if not candidates:
            missing.append(name)
            continue
        part = {"images": [record], "annotations": outlines[record["id"]]}
        content = partial(bytes, json.dumps(part).encode())
        (exact or candidates)[0][1].truths.append(Entry(entry.holder, entry.path, content))
    if missing:
        yield f"{entry}: tells of {len(missing)} images that are not here, such as {missing[0]}"


def _warn_of_choice(pictures: list[Picture]) -> Iterator[str]:
    for picture in pictures:
        if len(picture.truths) > 1 or (picture.truths and picture.masks):
            names = [str(entry) for entry in [*picture.truths, *picture.masks[:1]]]
            yield (
                f"{picture.set_name}/{picture.id}: {' and '.join(names)} tell its nuclei; "
                f"{names[0]} is read"
            )


def _check_picture(picture: Picture) -> Iterator[str]:
    yield from _check_id(picture)
    if not picture.images:
        yield (
            f"{picture.set_name}/{picture.id}: has masks but no image; "
            f"{picture.id}/images/{picture.id}.png should be beside them"
        )
    if len(picture.images) > 1:
        names = " and ".join(str(entry) for entry in picture.images)
        yield f"{picture.set_name}/{picture.id}: the id stands twice, for {names}; keep one"
    names_seen: set[PurePosixPath] = set()
    for mask in picture.masks:
        if mask.path in names_seen:
            yield f"{mask}: stands twice in its zip; keep one"
        names_seen.add(mask.path)


def _check_id(picture: Picture) -> Iterator[str]:
    """Refuse early what can be no id in a submission, or no file name in the cache."""
    length = len(picture.id.encode(errors="surrogateescape"))
    if length > LONGEST_ID_BYTES:
        yield (
            f"{picture.images[0] if picture.images else picture.id}: a name of {length} bytes; "
            f"the longest has {LONGEST_ID_BYTES}: rename it"
        )
    elif _FORBIDDEN.search(picture.id):
        yield (
            f"{picture.id!r}: the name of an image becomes its ImageId, which holds no comma, "
            "quote, line break or other control character: rename it"
        )
