"""JSON annotations: COCO for many images, GeoJSON for one."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

from kaggle_dsb.dataset.entries import Entry, show_name
from kaggle_dsb.dataset.image_files import ImageFiles, and_more, names_of
from kaggle_dsb.dataset.naming import names_told_by
from kaggle_dsb.dataset.truth import is_coco, is_geojson
from kaggle_dsb.files import InputError, compose

Named = Mapping[str, Sequence[tuple[Entry, ImageFiles]]]
"""Images by the names that annotation files may use for them."""


def add_documents(entries: Iterable[Entry], pictures: Sequence[ImageFiles]) -> Iterator[str]:
    """Assign JSON documents to images, a part of COCO to each, GeoJSON to one; yield warnings."""
    named = defaultdict(list)
    for picture in pictures:
        for image in picture.images:
            for name in dict.fromkeys(names_of(image)):
                named[name].append((image, picture))
    for entry in entries:
        yield from _add_document(entry, pictures, named)


def _add_document(entry: Entry, pictures: Sequence[ImageFiles], named: Named) -> Iterator[str]:
    try:
        document = json.loads(entry.read())
        if is_coco(document):
            yield from _split_coco(entry, document, pictures)
        else:
            yield from _add_named(entry, document, named)
    except (InputError, ValueError, RecursionError) as error:
        yield f"{entry}: cannot be read as JSON ({error}); ignored"
    except (KeyError, TypeError, AttributeError) as error:
        yield f"{entry}: is not a valid COCO file ({type(error).__name__}: {error}); ignored"


def _add_named(entry: Entry, document: Any, named: Named) -> Iterator[str]:
    told = dict.fromkeys(names_told_by(entry.stem))
    candidates = [
        pair for name in told for pair in named.get(name, ()) if pair[0].holder == entry.holder
    ]
    if not candidates:
        return
    if is_geojson(document):
        _nearest(entry, candidates).truths.append(entry)
    else:
        yield f"{entry}: is neither GeoJSON nor COCO; ignored"


def _split_coco(
    entry: Entry, document: dict[str, Any], pictures: Sequence[ImageFiles]
) -> Iterator[str]:
    outlines = defaultdict(list)
    for annotation in document["annotations"]:
        outlines[annotation["image_id"]].append(annotation)
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for picture in pictures:
        for image in picture.images:
            if image.holder == entry.holder:
                by_name[image.path.name].append((image, picture))
                by_stem[image.stem].append((image, picture))
    yield from _warn_of_categories(entry, document)
    n_orphans = sum(
        len(outlines[id_]) for id_ in outlines.keys() - {r["id"] for r in document["images"]}
    )
    if n_orphans:
        yield f"{entry}: annotations of no image in it (image_id): {n_orphans}; ignored"
    missing = []
    for record in document["images"]:
        name = PurePosixPath(compose(str(record["file_name"])).replace("\\", "/"))
        # The images may since have been saved in another format.
        candidates = by_name[name.name] or by_stem[name.stem]
        exact = [
            pair for pair in candidates if pair[0].path.parts[-len(name.parts) :] == name.parts
        ]
        if not candidates:
            missing.append(name)
            continue
        part = {"images": [record], "annotations": outlines[record["id"]]}
        content = partial(bytes, json.dumps(part).encode())
        picture = _nearest(entry, exact or candidates)
        picture.truths.append(Entry(entry.holder, entry.path, content))
    if missing:
        shown = f"{show_name(str(missing[0]))}{and_more(len(missing) - 1)}"
        yield f"{entry}: annotates images that are missing: {shown}"


def _warn_of_categories(entry: Entry, document: dict[str, Any]) -> Iterator[str]:
    """Yield a warning if a COCO file has annotations of several categories."""
    used = {annotation.get("category_id") for annotation in document["annotations"]} - {None}
    if len(used) > 1:
        name_of = {each.get("id"): each.get("name") for each in document.get("categories", ())}
        names = sorted(str(name_of.get(number, number)) for number in used)
        yield (
            f"{entry}: annotations of all categories ({', '.join(names)}) are read as nuclei; "
            "remove those that are not"
        )


def _nearest(entry: Entry, candidates: list[tuple[Entry, ImageFiles]]) -> ImageFiles:
    """Return the candidate whose image shares the most leading folders with a document.

    Ties are resolved by a folder in the document's name: ``instances_train2017.json``.
    """

    def _closeness(image: Entry) -> tuple[int, bool]:
        folders = image.path.parts[:-1]
        pairs = zip(folders, entry.path.parts[:-1], strict=False)
        n_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return n_shared, any(folder in entry.stem for folder in folders)

    return max(candidates, key=lambda pair: _closeness(pair[0]))[1]
