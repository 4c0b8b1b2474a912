"""Reassemble neighbouring crops into the larger images they were cut from."""

from collections.abc import Mapping, Sequence

from kaggle_dsb.dataset.neighbours import Neighbours


def mosaic_layout(
    neighbours: Sequence[Neighbours],
) -> list[dict[str, tuple[int, int]]]:
    """Arrange neighbouring crops as mosaics.

    Parameters
    ----------
    neighbours : sequence of Neighbours

    Returns
    -------
    list of dict
        For each mosaic, id → (row, column) from 0.

    Notes
    -----
    Of contradictory seams the first is kept, and the later image is left out.
    """
    mosaics: list[dict[str, tuple[int, int]]] = []
    links: dict[str, list[tuple[str, tuple[int, int]]]] = {}
    for pair in neighbours:
        step = (0, 1) if pair.direction == "right" else (1, 0)
        links.setdefault(pair.first, []).append((pair.second, step))
        links.setdefault(pair.second, []).append((pair.first, (-step[0], -step[1])))
    for start in links:
        if not any(start in mosaic for mosaic in mosaics):
            mosaics.append(_place_neighbours(start, links))
    return mosaics


def _place_neighbours(
    start: str, links: Mapping[str, Sequence[tuple[str, tuple[int, int]]]]
) -> dict[str, tuple[int, int]]:
    layout = {start: (0, 0)}
    queue = [start]
    for id_ in queue:
        for other, step in links[id_]:
            place = (layout[id_][0] + step[0], layout[id_][1] + step[1])
            if other not in layout and place not in layout.values():
                layout[other] = place
                queue.append(other)
    top = min(row for row, _ in layout.values())
    left = min(column for _, column in layout.values())
    return {id_: (row - top, column - left) for id_, (row, column) in layout.items()}
