"""Tell images of one kind from others: of one type and size."""

from collections import Counter
from collections.abc import Mapping

FEWEST_IMAGES = 10


def name_kinds(types: Mapping[str, str], sizes: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Name the kind of each image of a set by its type and size.

    Parameters
    ----------
    types : id → image type
    sizes : id → (H, W)
        Sizes of these images at least.

    Returns
    -------
    id → kind
        Such as ``tissue 256x320``; the images of types and sizes with fewer than `FEWEST_IMAGES`
        are ``tissue, other sizes`` together.

    Notes
    -----
    The competition's images carry no names of the laboratories they come from, but each laboratory
    sent images of one or two sizes.

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
