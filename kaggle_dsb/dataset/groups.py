"""Group the images of a data set that share a patient, slide, plate or batch."""

import re
from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path

from kaggle_dsb.competition.table import read_table
from kaggle_dsb.files import InputError

GROUPS_FILE = "groups.csv"
NEIGHBOURING_NUMBERS = 25
FEWEST_GROUPS = 4
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")


def group_by_name(ids: Collection[str]) -> dict[str, str] | None:
    """Infer the group of each image from its name.

    Parameters
    ----------
    ids : collection of str
        Image file names without extension.

    Returns
    -------
    id → group, or None if the names do not indicate groups.

    Notes
    -----
    The group is the name without its last number. If that is the same for all images, they are
    grouped by that number, in blocks of `NEIGHBOURING_NUMBERS`. The result is None if there are
    more than half as many groups as images, or fewer blocks than `FEWEST_GROUPS`.

    Examples
    --------
    >>> group_by_name(["patient1_01", "patient1_02", "patient2_01", "patient2_02"])["patient1_01"]
    'patient1_'
    >>> group_by_name(["a", "b", "c"]) is None
    True
    """
    matches = {id_: _LAST_NUMBER.fullmatch(id_) for id_ in ids}
    names = {id_: match[1] + match[3] if match else id_ for id_, match in matches.items()}
    if len(set(names.values())) == 1:
        blocks = {
            id_: f"{names[id_]}{int(match[2]) // NEIGHBOURING_NUMBERS}"
            for id_, match in matches.items()
            if match
        }
        return blocks if len(set(blocks.values())) >= FEWEST_GROUPS else None
    return names if len(set(names.values())) <= len(names) / 2 else None


def read_groups(path: Path, ids: Collection[str], *, shown: Path | None = None) -> dict[str, str]:
    """Read ``groups.csv`` (columns ``ImageId``, ``group``); errors name it as ``shown``.

    Raises
    ------
    InputError
        When it cannot be read, lacks a column, or has a duplicate or missing image.
    """
    shown = shown or path
    try:
        rows = [values for _, values in read_table(path).select("ImageId", "group")]
    except InputError as error:
        raise InputError(str(error).replace(str(path), str(shown))) from None
    group_of = dict(rows)
    if len(group_of) < len(rows):
        counts = Counter(image_id for image_id, _ in rows)
        twice = next(image_id for image_id, count in counts.items() if count > 1)
        raise InputError(f"{shown}: lists image {twice} twice, must list each once")
    missing = [id_ for id_ in ids if not group_of.get(id_)]
    if missing:
        others = group_of.keys() - set(ids)
        named = next((name for name in others if name.startswith(f"{missing[0]}.")), None)
        hint = f"; write the ImageId without the suffix, not {named}" if named else ""
        raise InputError(
            f"{shown}: has no group for image {missing[0]} ({len(missing)} images missing){hint}"
        )
    return {id_: group_of[id_] for id_ in ids}


def deal_groups(group_of: Mapping[str, Hashable], n_folds: int) -> dict[str, int]:
    """Assign whole groups to folds of about equal size.

    Parameters
    ----------
    group_of : id → group
    n_folds : int

    Returns
    -------
    id → fold
        From 0. With fewer groups than folds, the last folds get none.

    Notes
    -----
    Groups are assigned from the largest to the smallest, each to the fold with the fewest images.

    Examples
    --------
    >>> deal_groups({"a": 1, "b": 2, "c": 2, "d": 3}, 2)
    {'a': 1, 'b': 0, 'c': 0, 'd': 1}
    """
    members: dict[Hashable, list[str]] = {}
    for id_, group in group_of.items():
        members.setdefault(group, []).append(id_)
    size = [0] * n_folds
    fold_of = {}
    for ids in sorted(members.values(), key=len, reverse=True):
        fold = size.index(min(size))
        size[fold] += len(ids)
        fold_of.update(dict.fromkeys(ids, fold))
    return {id_: fold_of[id_] for id_ in group_of}
