"""Decode PNG files.

OpenCV is the only reader that keeps 16 bits per colour channel, but its libpng prints warnings
about irregular files to the terminal. So it only gets files rebuilt from their valid chunks.
"""

import struct
import zlib
from collections import defaultdict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kaggle_dsb.files import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # colour type
LONGEST_SIDE_PX = 1_000_000

_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # per pixel, by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
_RGB, _TRANSPARENT_BYTES = 2, 6  # colour type, and length of its tRNS chunk
# First row and column, and row and column steps, of each pass of an interlaced image.
_ADAM7 = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)
_WHOLE = ((0, 0, 1, 1),)
_LARGEST_FILTER = 4


def decode_png(data: bytes) -> NDArray[Any]:
    """Decode a PNG file without a palette.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    (H, W), or (H, W, C) with C of 3 for RGB and 4 with alpha
        With the file's bit depth, 8 or 16.

    Raises
    ------
    InputError
        When the file is damaged or not a PNG.
    """
    rebuilt = rebuild_png(data)
    decoded = cv2.imdecode(np.frombuffer(rebuilt, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise InputError("is a damaged PNG; get the file again")
    if decoded.ndim == 2:
        return decoded
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


def rebuild_png(data: bytes) -> bytes:
    """Return a PNG with the same pixels, uncompressed, and without ancillary chunks but ``tRNS``.

    Raises
    ------
    InputError
        When a chunk needed to decode the pixels is damaged or missing.
    """
    try:
        chunks = _read_chunks(data)
        header = b"".join(chunks["IHDR"])
        # Level 0, uncompressed: the pixels are held in memory at most twice.
        pixels = zlib.compress(_inflate(b"".join(chunks["IDAT"]), header), 0)
    except (KeyError, ValueError, struct.error, zlib.error):
        raise InputError("is a damaged PNG; get the file again") from None
    parts = {b"IHDR": header, b"tRNS": b"".join(chunks["tRNS"]), b"IDAT": pixels, b"IEND": b""}
    if header[9] != _RGB or len(parts[b"tRNS"]) != _TRANSPARENT_BYTES:
        del parts[b"tRNS"]
    return b"".join([SIGNATURE, *(piece for part in parts.items() for piece in _chunk(*part))])


def read_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a valid PNG, 1 to 8; 1 if it has none."""
    try:
        exif = Image.Exif()
        exif.load(b"".join(_read_chunks(data)["eXIf"]))
        return int(exif.get(274, 1))
    except Exception:  # the EXIF data may be arbitrarily broken
        return 1


def _read_chunks(data: bytes) -> dict[str, list[bytes]]:
    """Return the chunk contents by type; ValueError if a critical chunk has a wrong checksum."""
    chunks: dict[str, list[bytes]] = defaultdict(list)
    start = len(SIGNATURE)
    while "IEND" not in chunks:
        (length,) = struct.unpack_from(">I", data, start)
        name, content = data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, start + 8 + length)
        if checksum == zlib.crc32(content, zlib.crc32(name)):
            chunks[name.decode("latin-1")].append(content)
        elif name[:1].isupper():  # a critical chunk
            raise ValueError(name)
        start += 12 + length
    return chunks


def _inflate(packed: bytes, header: bytes) -> bytes:
    """Decompress and validate the rows of an image, each preceded by its filter type."""
    width, height, depth, colour, _, _, is_interlaced = struct.unpack(">IIBBBBB", header)
    is_sound = (
        0 < min(width, height) <= max(width, height) <= LONGEST_SIDE_PX
        and depth in _DEPTHS[colour]
        and header[10:12] == b"\0\0"
        and is_interlaced <= 1
    )
    if not is_sound:
        raise ValueError(header)
    shapes = [
        (-(-(height - row) // row_step), -(-(width - column) // column_step))
        for row, column, row_step, column_step in (_ADAM7 if is_interlaced else _WHOLE)
    ]
    bits = depth * _SAMPLES[colour]
    sizes = [
        (rows, 1 + -(-columns * bits // 8)) for rows, columns in shapes if rows > 0 and columns > 0
    ]
    expected = sum(rows * row_bytes for rows, row_bytes in sizes)
    pixels = zlib.decompressobj().decompress(packed, expected)
    if len(pixels) < expected:
        raise ValueError(len(pixels))
    start = 0
    for rows, row_bytes in sizes:
        filters = np.frombuffer(pixels, np.uint8, rows * row_bytes, start)[::row_bytes]
        if filters.max() > _LARGEST_FILTER:
            raise ValueError(filters.max())
        start += rows * row_bytes
    return pixels


def _chunk(name: bytes, content: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)
