"""Divide images into kinds by their type and size."""

from collections import Counter
from collections.abc import Mapping

FEWEST_IMAGES = 10


def name_kinds(types: Mapping[str, str], sizes: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Name the kind of each image of a set by its type and size.

    Parameters
    ----------
    types : id → image type
    sizes : id → (H, W)
        Must include these images.

    Returns
    -------
    id → kind
        Such as ``tissue 256x320``; sizes with fewer than `FEWEST_IMAGES` images of a type are
        combined as ``tissue, other sizes``.

    Notes
    -----
    The competition does not say which laboratory an image is from, but each laboratory contributed
    images of one or two sizes.

    Examples
    --------
    >>> name_kinds({"a": "tissue"}, {"a": (8, 9)})
    {'a': 'tissue, other sizes'}
    """
    kinds = {id_: (kind, sizes[id_]) for id_, kind in types.items()}
    count = Counter(kinds.values())
    return {
        id_: f"{kind} {height}x{width}"
        if count[kind, (height, width)] >= FEWEST_IMAGES
        else f"{kind}, other sizes"
        for id_, (kind, (height, width)) in kinds.items()
    }
