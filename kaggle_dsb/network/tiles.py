"""Divide images into overlapping tiles whose predictions are blended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.network.engines import STRIDE_PX


@dataclass(frozen=True)
class Tile:
    """A part of an image in a sequence, and the size it is scaled to.

    Attributes
    ----------
    image, scale : int
        The indices of the image and of the scale.
    rows, columns : slice
    row_weights, column_weights : (H,), (W,) float32
        Their outer product is the blending weight of the pixels; the weights of overlapping tiles
        add up to 1.
    size : (int, int)
        The scaled height and width, in pixels.
    """

    image: int
    scale: int
    rows: slice
    columns: slice
    row_weights: NDArray[np.float32]
    column_weights: NDArray[np.float32]
    size: tuple[int, int]

    def weight(self) -> NDArray[np.float32]:
        """Return the blending weights of the pixels, (H, W) float32."""
        return np.outer(self.row_weights, self.column_weights)

    @property
    def padded_size(self) -> tuple[int, int]:
        """The scaled size, padded to multiples of 32."""
        height, width = self.size
        return height + -height % STRIDE_PX, width + -width % STRIDE_PX


def cut_tiles(
    image: int, scale: int, size: tuple[int, int], zoom: float, *, tile_px: int, overlap_px: int
) -> list[Tile]:
    """Divide an image into tiles with sides of at most ``tile_px`` after scaling.

    Parameters
    ----------
    image, scale : int
        Their indices in a sequence of images, and one of scales.
    size : (H, W)
    zoom : float
        The factor that the tiles are scaled by.
    tile_px, overlap_px : int
        Side of a tile, and overlap of neighbouring tiles, in scaled pixels.
    """
    is_small = max(round(side * zoom) for side in size) <= tile_px
    tile = max(size) if is_small else max(int(tile_px / zoom), 1)
    overlap = min(round(overlap_px / zoom), tile - 1)
    slices = [tile_slices(side, tile, overlap) for side in size]
    weights = [blending_weights(parts, overlap) for parts in slices]
    return [
        Tile(
            image,
            scale,
            rows,
            columns,
            of_rows,
            of_columns,
            (max(round(of_rows.size * zoom), 1), max(round(of_columns.size * zoom), 1)),
        )
        for rows, of_rows in zip(slices[0], weights[0], strict=True)
        for columns, of_columns in zip(slices[1], weights[1], strict=True)
    ]


def batch_tiles(tiles: Sequence[Tile], batch_px: int) -> Iterator[list[Tile]]:
    """Yield batches of tiles of the same padded size, of at most ``batch_px`` or of one tile."""

    def _padded_size(tile: Tile) -> tuple[int, int]:
        return tile.padded_size

    for (height, width), group in groupby(sorted(tiles, key=_padded_size), _padded_size):
        alike = list(group)
        n = max(batch_px // (height * width), 1)
        yield from (alike[start : start + n] for start in range(0, len(alike), n))


def tile_slices(length: int, tile: int, overlap: int) -> list[slice]:
    """Cover ``length`` with slices of at most ``tile`` that overlap by at least ``overlap``."""
    if length <= tile:
        return [slice(0, length)]
    n = -(-(length - overlap) // (tile - overlap))
    starts = np.rint(np.linspace(0, length - tile, n)).astype(int)
    return [slice(int(start), int(start) + tile) for start in starts]


def blending_weights(slices: Sequence[slice], overlap: int) -> list[NDArray[np.float32]]:
    """Return weights for each slice that ramp down over ``overlap`` and add up to 1."""
    total = np.zeros(max(part.stop for part in slices))
    ramps = []
    for part in slices:
        at = np.arange(part.stop - part.start)
        ramps.append(np.minimum((np.minimum(at, at[::-1]) + 1) / (overlap + 1), 1))
        total[part] += ramps[-1]
    return [
        (ramp / total[part]).astype(np.float32) for part, ramp in zip(slices, ramps, strict=True)
    ]
