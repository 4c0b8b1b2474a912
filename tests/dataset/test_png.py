import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from kaggle_dsb.dataset.png import SIGNATURE, decode_png
from kaggle_dsb.files import InputError

RGB = np.random.default_rng(0).integers(0, 256, (9, 17, 3)).astype(np.uint8)
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]


def chunk(name, content, *, checksum=None):
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def header(height, width, *, depth=8, colour=2, is_interlaced=False):
    numbers = (width, height, depth, colour, 0, 0, is_interlaced)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *numbers))


def png(first, *chunks):
    return SIGNATURE + first + b"".join(chunks) + chunk(b"IEND", b"")


def rows(image, filter_number=0):
    return b"".join(bytes([filter_number]) + row.tobytes() for row in image if row.size)


PIXELS = chunk(b"IDAT", zlib.compress(rows(RGB)))


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        np.dstack([RGB, RGB[..., :1]]),
        RGB[..., 0],
        RGB.astype(np.uint16) * 200,
        RGB[..., 0].astype(np.uint16) * 200,
        RGB[:1, :1],
        RGB[:, :1],
    ],
    ids=["rgb", "rgba", "grey", "16-bit rgb", "16-bit grey", "one pixel", "one column"],
)
def test_pixels_come_back_as_they_were_written(image):
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[-1] if image.ndim == 3 else 1)
    written = image if order is None else image[..., order]
    decoded = decode_png(cv2.imencode(".png", written)[1].tobytes())
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 17), (3, 1)])
def test_an_interlaced_image_is_read(size):
    image = RGB[: size[0], : size[1]]
    passes = [image[r::rs, c::cs] for r, c, rs, cs in [*ADAM7, (1, 0, 2, 1)]]
    packed = zlib.compress(b"".join(rows(part) for part in passes))
    data = png(header(*size, is_interlaced=True), chunk(b"IDAT", packed))
    np.testing.assert_array_equal(decode_png(data), image)


def test_a_colour_that_stands_for_transparent_pixels_becomes_alpha():
    target = io.BytesIO()
    Image.fromarray(RGB).save(target, "PNG", transparency=tuple(RGB[2, 3].tolist()))
    decoded = decode_png(target.getvalue())
    np.testing.assert_array_equal(decoded[..., :3], RGB)
    assert np.argwhere(decoded[..., 3] == 0).tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"iCCP", b"no profile"),
        chunk(b"tRNS", b"of no length"),
        chunk(b"gAMA", b""),
        chunk(b"tEXt", b"wrong checksum", checksum=1),
    ],
)
def test_what_tells_no_pixel_may_be_odd_and_nothing_is_printed_of_it(odd, capfd):
    np.testing.assert_array_equal(decode_png(png(header(9, 17), odd, PIXELS)), RGB)
    more = chunk(b"IDAT", zlib.compress(rows(RGB)) + b"more than needed")
    np.testing.assert_array_equal(decode_png(png(header(9, 17), more)), RGB)
    assert capfd.readouterr() == ("", "")


DAMAGED = {
    "no header": png(PIXELS),
    "two headers": png(header(9, 17), header(9, 17), PIXELS),
    "no pixels": png(header(9, 17)),
    "a wrong checksum": png(header(9, 17), chunk(b"IDAT", zlib.compress(rows(RGB)), checksum=1)),
    "too few rows": png(header(10, 17), PIXELS),
    "no rows": png(header(0, 17), PIXELS),
    "a row longer than any library reads": png(header(1, 2_000_000), PIXELS),
    "an unknown filter": png(header(9, 17), chunk(b"IDAT", zlib.compress(rows(RGB, 5)))),
    "an unknown depth": png(header(9, 17, depth=3), PIXELS),
    "an unknown colour": png(header(9, 17, colour=5), PIXELS),
    "pixels that cannot be unpacked": png(header(9, 17), chunk(b"IDAT", b"x" * 100)),
    "a part without an end": SIGNATURE + header(9, 17) + PIXELS[:-20],
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_and_nothing_is_printed_of_it(damage, capfd):
    with pytest.raises(InputError, match=r"^is a damaged PNG; get the file again$"):
        decode_png(DAMAGED[damage])
    assert capfd.readouterr() == ("", "")
