"""Pair images with their annotation files, in Kaggle's layout and those of other tools.

* **Kaggle**: ``ID/images/ID.png`` and ``ID/masks/*.png``, one mask per nucleus.
* **Folders** (StarDist and many published data sets): ``images/`` beside ``masks/``, ``labels/``
  or the like, with one label image (or GeoJSON, ROI zip …) per image, above or below folders such
  as ``train``; `kaggle_dsb.dataset.naming` knows the names.
* **Side by side** (Cellpose and others): ``X.tif`` and ``X_masks.tif``, ``X_cp_masks.png``,
  ``X_seg.npy``, ``X.geojson``, ``X_rois.zip`` …; also below ``train`` and ``test``.
* **COCO**: one JSON file for all images, which it lists by name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from kaggle_dsb.dataset import TEST_SETS, TRAIN_SET
from kaggle_dsb.dataset.documents import add_documents
from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.groups import GROUPS_FILE
from kaggle_dsb.dataset.image_files import ImageFiles, and_more, is_image_id, names_of
from kaggle_dsb.dataset.naming import (
    IMAGE_FOLDER,
    TRUTH_FOLDER,
    Folder,
    find_split,
    is_by_product,
    names_told_by,
    standardise_folders,
    tells_lone_image,
)
from kaggle_dsb.dataset.pixels import IMAGE_SUFFIXES
from kaggle_dsb.dataset.truth import TRUTH_SUFFIXES
from kaggle_dsb.dataset.unsupported import (
    UNREAD_ANNOTATIONS,
    UNREAD_SUFFIXES,
    refuse_annotations,
    refuse_images,
)

KAGGLE_SETS = (TRAIN_SET, *TEST_SETS)
OWN_SET = "images"
LONGEST_ID_BYTES = 200
_SURE_TRUTHS = (".npy", ".geojson")  # a zip may hold anything
_TRUTH_FOLDERS = (TRUTH_FOLDER, "labels")
_CSV_NAME = re.compile(r"stage[12]_\w+\.csv")
_TRUTH_LIKE = re.compile(
    r"(?<![a-z])(?:masks?|labels?|annotations?|ground.?truth)(?![a-z])", re.IGNORECASE
)


@dataclass(frozen=True)
class Contents:
    """The contents of a source.

    Attributes
    ----------
    pictures : list of ImageFiles
        Ordered by set and id.
    tables : dict
        The competition's CSV files, and ``groups.csv``, by name.
    faults, warnings : list of str
        One line each; a fault makes the source unusable.
    """

    pictures: list[ImageFiles]
    tables: dict[str, Entry]
    faults: list[str]
    warnings: list[str]


class _Place(NamedTuple):
    holder: str
    folder: Folder


class _Key(NamedTuple):
    set_name: str
    holder: str
    id: str


@dataclass
class _Folder:
    """The files of a folder and of its subfolders ``images``, ``masks`` and ``labels``."""

    pictures: list[Entry] = field(default_factory=list)
    truths: list[Entry] = field(default_factory=list)
    masks: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    loose: list[Entry] = field(default_factory=list)


def arrange(entries: Iterable[Entry], outer: str) -> Contents:
    """Sort the files of a source into images with annotations, and tables.

    Parameters
    ----------
    entries : iterable of Entry
    outer : str
        Name of the source folder or file.
    """
    tables: dict[str, Entry] = {}
    groups: list[Entry] = []
    placed: list[Entry] = []
    documents, unread, unread_truths = [], [], []
    for entry in entries:
        if entry.path.name == GROUPS_FILE:
            groups.append(entry)
        elif _CSV_NAME.fullmatch(entry.path.name):
            tables.setdefault(entry.path.name, entry)
        elif entry.suffix == ".json":
            documents.append(entry)
        elif entry.suffix in (*IMAGE_SUFFIXES, *TRUTH_SUFFIXES):
            placed.append(entry)
        elif entry.suffix in UNREAD_SUFFIXES:
            unread.append(entry)
        elif entry.suffix in UNREAD_ANNOTATIONS:
            unread_truths.append(entry)
    pictures, warnings = _pair_all(_sort_entries(placed), outer)
    chosen, holder_warnings = _choose_holders(pictures)
    warnings += [*holder_warnings, *add_documents(documents, chosen)]
    faults = [fault for picture in chosen for fault in _check_picture(picture)]
    refused = [*refuse_images(unread), *refuse_annotations(unread_truths, chosen)]
    if not chosen:
        faults += refused
    warnings += [*refused, *_warn_of_choice(chosen), *_warn_of_folders(chosen)]
    for table in sorted(groups, key=lambda entry: len(entry.path.parts)):
        if not _is_above(table, chosen):
            warnings.append(f"{table}: not in a folder above all images; ignored")
        elif (first := tables.setdefault(GROUPS_FILE, table)) is not table:
            warnings.append(f"{table}: {first} is used instead; ignored")
    return Contents(chosen, tables, faults, warnings)


def _is_above(table: Entry, pictures: Iterable[ImageFiles]) -> bool:
    """Return whether a table lies in the folder of all images, or in one that contains it."""
    folder = table.path.parent
    return all(
        image.path.is_relative_to(folder) for picture in pictures for image in picture.images
    )


def _sort_entries(entries: list[Entry]) -> dict[_Place, _Folder]:
    folders: dict[_Place, _Folder] = defaultdict(_Folder)
    by_holder: dict[str, dict[Folder, bool]] = defaultdict(dict)
    for entry in entries:
        inside = by_holder[entry.holder]
        folder = entry.path.parts[:-1]
        inside[folder] = inside.get(folder, False) or entry.suffix in IMAGE_SUFFIXES
    standard = {
        holder: standardise_folders(
            inside, with_images=[folder for folder, has_images in inside.items() if has_images]
        )
        for holder, inside in by_holder.items()
    }
    for entry in entries:
        folder = entry.path.parts[:-1]
        _sort_entry(entry, standard[entry.holder].get(folder, folder), folders)
    return folders


def _sort_entry(entry: Entry, folder: Folder, folders: dict[_Place, _Folder]) -> None:
    above = [*reversed(folder), "", ""]
    if above[0] == IMAGE_FOLDER:
        folders[_Place(entry.holder, folder[:-1])].pictures.append(entry)
    elif above[0] in _TRUTH_FOLDERS:
        folders[_Place(entry.holder, folder[:-1])].truths.append(entry)
    elif above[1] in _TRUTH_FOLDERS:
        folders[_Place(entry.holder, folder[:-2])].masks[above[0]].append(entry)
    else:
        folders[_Place(entry.holder, folder)].loose.append(entry)


def _pair_all(
    folders: dict[_Place, _Folder], outer: str
) -> tuple[dict[_Key, ImageFiles], list[str]]:
    """Pair the images of all folders with their annotations.

    Images outside ``images`` folders count only if there are no others, or if they form a split of
    their own, such as ``test/*.png`` beside ``train/images``.
    """
    of_kaggle = {place for place, folder in folders.items() if _is_kaggles(place, folder)}
    sets = {place for place in folders if folders[place].pictures} - of_kaggle
    with_loose = [place for place, folder in folders.items() if _holds_images(folder.loose)]
    splits = _find_splits([*sets, *with_loose, *map(_parent_of, of_kaggle)])
    pictures, warnings = _pair_sets(folders, sets, splits, outer)
    loose, loose_warnings = _pair_loose(folders, with_loose, splits, outer)
    if not pictures:
        return loose, loose_warnings
    named = {key.set_name for key in pictures}
    of_splits = [key for key in loose if key.set_name in {*splits.values()} - named]
    pictures |= {key: loose.pop(key) for key in of_splits}
    if loose:
        example = min(str(picture.images[0]) for picture in loose.values())
        warnings.append(
            f"{example}{and_more(len(loose) - 1)}: outside the data set's folders; ignored"
        )
    return pictures, warnings


def _pair_sets(
    folders: dict[_Place, _Folder], sets: set[_Place], splits: dict[_Place, str], outer: str
) -> tuple[dict[_Key, ImageFiles], list[str]]:
    """Pair the images in the ``images`` folders of sets, and those in Kaggle's layout."""
    pictures: dict[_Key, ImageFiles] = {}
    warnings: list[str] = []
    for place, folder in folders.items():
        above = [_name_holder(place, outer), *place.folder]
        if place in sets:
            own = place.folder if len(sets) > 1 or place in splits else ()
            set_name = _name_set(above, own)
            warnings += _pair(folder.pictures, folder, place, set_name, (), pictures)
        elif _is_kaggles(place, folder):
            split = splits.get(_parent_of(place))
            set_name = _name_set(above[:-1], (split,) if split else ())
            _add_kaggle_picture(place, folder, set_name, pictures)
    return pictures, warnings


def _pair_loose(
    folders: dict[_Place, _Folder], with_loose: list[_Place], splits: dict[_Place, str], outer: str
) -> tuple[dict[_Key, ImageFiles], list[str]]:
    """Pair the images outside ``images`` folders; folders that not all share become part of ids."""
    pictures: dict[_Key, ImageFiles] = {}
    warnings: list[str] = []
    shared = _shared_folders(place for place, folder in folders.items() if folder.loose)
    for place in with_loose:
        split = splits.get(place)
        below = tuple(
            name
            for name in place.folder[shared[place.holder] :]
            if name not in (*KAGGLE_SETS, split)
        )
        above = [_name_holder(place, outer), *place.folder]
        set_name = _name_set(above, (split,) if split else ())
        folder = folders[place]
        warnings += _pair(folder.loose, folder, place, set_name, below, pictures)
    return pictures, warnings


def _name_holder(place: _Place, outer: str) -> str:
    """Return the name of the zip that a folder is in, else of the source."""
    return PurePosixPath(place.holder).stem if place.holder else outer


def _parent_of(place: _Place) -> _Place:
    return place._replace(folder=place.folder[:-1])


def _is_kaggles(place: _Place, folder: _Folder) -> bool:
    """Return whether the layout is ``ID/images/ID.png``, not one ``images`` folder of a set."""
    if not place.folder or not (folder.pictures or folder.truths):
        return False
    names = {name for entry in folder.pictures for name in names_of(entry)}
    if not names:
        return not any(entry.suffix in IMAGE_SUFFIXES for entry in folder.loose)
    told = {name for entry in folder.truths for name in names_told_by(entry.stem)}
    return place.folder[-1] in {entry.stem for entry in folder.pictures} or (
        len(folder.pictures) == 1 and bool(told) and not names & told
    )


def _add_kaggle_picture(
    place: _Place, folder: _Folder, set_name: str, pictures: dict[_Key, ImageFiles]
) -> None:
    image_id = place.folder[-1]
    key = _Key(set_name, place.holder, image_id)
    picture = pictures.setdefault(key, ImageFiles(set_name, image_id))
    picture.images += folder.pictures
    masks = [entry for entry in folder.truths if entry.suffix in IMAGE_SUFFIXES]
    if len(masks) == len(folder.truths) > 1:
        picture.masks += masks
    else:
        # A single file may be a label image of all nuclei.
        picture.truths += folder.truths


def _pair(
    entries: Sequence[Entry],
    folder: _Folder,
    place: _Place,
    set_name: str,
    below: tuple[str, ...],
    pictures: dict[_Key, ImageFiles],
) -> Iterator[str]:
    """Add the images among ``entries`` with their annotation files; yield warnings."""
    images = [entry for entry in entries if entry.suffix in IMAGE_SUFFIXES]
    names = {name for entry in images for name in names_of(entry)}
    beside = [entry for entry in entries if _tells_another(entry, names, len(images))]
    by_products = [entry for entry in images if is_by_product(entry.stem, names)]
    told, ignored = ({entry.path for entry in found} for found in (beside, by_products))
    if by_products:
        yield (
            f"{by_products[0]}{and_more(len(by_products) - 1)}: by-products of Cellpose, not "
            "images; ignored"
        )
    used = told | ignored
    left = [entry for entry in images if entry.path not in used]
    own = _add_pictures(left, place, set_name, below, pictures)
    for stem, masks in folder.masks.items():
        if stem in own:
            own[stem].masks += masks
        else:
            yield f"{masks[0]}{and_more(len(masks) - 1)}: matches no image by folder; ignored"
    outlines = [
        entry for entry in entries if entry.suffix in _SURE_TRUTHS and entry.path not in told
    ]
    beside = [entry for entry in beside if entry.path not in ignored]
    for truth in [*beside, *folder.truths, *outlines]:
        matched = [own[name] for name in names_told_by(truth.stem) if name in own]
        if not matched and len(left) == 1 and tells_lone_image(truth.stem):
            matched = list(own.values())
        if matched:
            matched[0].truths.append(truth)
        else:
            yield f"{truth}: matches no image by name; ignored"


def _add_pictures(
    images: list[Entry],
    place: _Place,
    set_name: str,
    below: Folder,
    pictures: dict[_Key, ImageFiles],
) -> dict[str, ImageFiles]:
    """Add each image, and return all by the names that annotation files may use for them."""
    own: dict[str, ImageFiles] = {}
    aliases: dict[str, ImageFiles] = {}
    for entry in images:
        image_id = "_".join((*below, entry.stem))
        key = _Key(set_name, place.holder, image_id)
        picture = pictures.setdefault(key, ImageFiles(set_name, image_id))
        picture.images.append(entry)
        own[entry.stem] = picture
        aliases |= dict.fromkeys(names_of(entry), picture)
    return aliases | own


def _tells_another(entry: Entry, names: set[str], n_images: int) -> bool:
    """Return whether a file beside images annotates one of them, judging by its name."""
    is_image = entry.suffix in IMAGE_SUFFIXES
    if n_images == 1 + is_image and tells_lone_image(entry.stem):
        return True
    return any(name in names for name in names_told_by(entry.stem)[1 if is_image else 0 :])


def _holds_images(entries: Iterable[Entry]) -> bool:
    return any(entry.suffix in IMAGE_SUFFIXES for entry in entries)


def _find_splits(places: Iterable[_Place]) -> dict[_Place, str]:
    """Return the split of the data set in each place; empty unless there are several."""
    splits = {place: split for place in places if (split := find_split(place.folder))}
    n_splits = len({*splits.values()})
    return splits if n_splits > 1 else {}


def _shared_folders(places: Iterable[_Place]) -> dict[str, int]:
    """Return the number of leading folders shared by all places of a holder."""
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


def _choose_holders(pictures: dict[_Key, ImageFiles]) -> tuple[list[ImageFiles], list[str]]:
    """Choose the folders and zips that each set is taken from, an unpacked folder before zips.

    One that repeats an image of those chosen before is not used, but for a warning.
    """
    ids: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for key in pictures:
        ids[key.set_name][key.holder].add(key.id)
    warnings: list[str] = []
    chosen: set[tuple[str, str]] = set()
    for set_name, ids_of in sorted(ids.items()):
        used: dict[str, set[str]] = {}
        for holder, own in sorted(ids_of.items()):
            first = next((name for name, others in used.items() if own & others), None)
            if first is None:
                used[holder] = own
                chosen.add((set_name, holder))
            else:
                warnings.append(
                    f"{set_name}: found in {first or 'a folder'} and {holder}; using "
                    f"{first or 'the folder'}"
                )
    in_order = sorted(pictures.items(), key=lambda pair: (pair[0].set_name, pair[0].id))
    return [picture for key, picture in in_order if (key.set_name, key.holder) in chosen], warnings


def _warn_of_choice(pictures: list[ImageFiles]) -> Iterator[str]:
    for picture in pictures:
        if len(picture.truths) > 1 or (picture.truths and picture.masks):
            names = [str(entry) for entry in [*picture.truths, *picture.masks[:1]]]
            yield (
                f"{picture.set_name}/{picture.id}: {' and '.join(names)} annotate this image; "
                f"using {names[0]}"
            )


def _warn_of_folders(pictures: list[ImageFiles]) -> Iterator[str]:
    """Warn of folders of images whose name suggests annotations."""
    images = [image for picture in pictures for image in picture.images]
    folders = {image.path.parent: image for image in reversed(images)}
    for folder, first in sorted(folders.items()):
        if _TRUTH_LIKE.search(folder.name):
            yield (
                f"{first}: read as an image, as are all in {folder}; if they are annotations, name "
                f"their folder {TRUTH_FOLDER}, beside that of the images"
            )


def _check_picture(picture: ImageFiles) -> Iterator[str]:
    yield from _check_id(picture)
    if not picture.images:
        yield (
            f"{picture.set_name}/{picture.id}: has masks but no image; expected "
            f"{picture.id}/images/{picture.id}.png"
        )
    if len(picture.images) > 1:
        names = " and ".join(str(entry) for entry in picture.images)
        yield f"{picture.set_name}/{picture.id}: the id occurs twice, for {names}; keep one"
    names_seen: set[PurePosixPath] = set()
    for mask in picture.masks:
        if mask.path in names_seen:
            yield f"{mask}: occurs twice in its zip; keep one"
        names_seen.add(mask.path)


def _check_id(picture: ImageFiles) -> Iterator[str]:
    """Yield a fault if the id is invalid in a submission or as a file name in the cache."""
    length = len(picture.id.encode(errors="surrogateescape"))
    if length > LONGEST_ID_BYTES:
        yield (
            f"{picture.images[0] if picture.images else picture.id}: the name has {length} bytes, "
            f"the maximum is {LONGEST_ID_BYTES}; rename it"
        )
    elif not is_image_id(picture.id):
        yield (
            f"{picture.id!r}: the file name becomes the ImageId, which must not contain a comma, "
            "quote, line break or other control character; rename it"
        )
