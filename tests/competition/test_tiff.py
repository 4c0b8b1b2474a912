import io
import logging
import struct
import threading
import time

import numpy as np
import pytest
import tifffile

from kaggle_dsb.competition.label_files import parse_labels
from kaggle_dsb.competition.tiff import require_end, silence_tifffile
from kaggle_dsb.dataset.planes import decode_tiff
from kaggle_dsb.dataset.read_options import ReadOptions
from kaggle_dsb.files import InputError

PAGE = [
    *[(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)],
    *[(273, 4, 1, 8), (278, 4, 1, 4), (279, 4, 1, 16)],
]
READERS = {
    "image": lambda data: decode_tiff(data, ReadOptions(plane=1)),
    "labels": lambda data: parse_labels(data, suffix=".tif"),
}


def directory(tags: list[tuple[int, int, int, int]], following: int) -> bytes:
    packed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + packed + struct.pack("<I", following)


def pages(following: list[int]) -> bytes:
    """Return a TIFF of pages, each with the number of the one that follows it, from 1."""
    places = [0, *(8 + n * len(directory(PAGE, 0)) for n in range(len(following)))]
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(
        directory(PAGE, places[number]) for number in following
    )


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("following", "message"),
    [
        ([1], "page 1 links back to page 1"),
        ([2, 1], "page 2 links back to page 1"),
        ([*range(2, 151), 120], "page 150 links back to page 120"),
    ],
    ids=["itself", "two", "late"],
)
def test_pages_without_an_end_are_refused(read, following, message):
    with pytest.raises(InputError) as caught:
        read(pages(following))
    assert str(caught.value) == (f"{message}; the file is damaged: get it again")


def repeat_tags() -> bytes:
    """Claim a hundred thousand bytes a thousand times."""
    claims = [(273, 3, 50_000, 8)] * 1000
    return struct.pack("<2sHI", b"II", 42, 8) + directory(claims, 0) + bytes(100_000)


def repeat_directories() -> bytes:
    """Name the same directory ten thousand times as one below the only page."""
    tags = [*PAGE, (330, 4, 10_000, 8 + 2 + 12 * (len(PAGE) + 1) + 4)]
    head = struct.pack("<2sHI", b"II", 42, 8) + directory(tags, 0)
    return head + struct.pack("<I", 8) * 10_000


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("make", [repeat_tags, repeat_directories])
def test_tags_that_claim_the_same_bytes_again_and_again_are_refused_at_once(read, make):
    data, started = make(), time.process_time()
    with pytest.raises(InputError) as caught:
        read(data)
    assert str(caught.value) == (
        f"its tags declare far more data than its {len(data)} bytes; the file is damaged: get it "
        "again"
    )
    assert time.process_time() - started < 1


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"description": "x" * 50_000},
        {"tile": (16, 16)},
        {"rowsperstrip": 1},
        {"ome": True},
        {"subifds": 2},
    ],
    ids=["plain", "long text", "tiles", "rows", "OME", "below"],
)
def test_a_sound_tiff_of_many_pages_is_let_through(bigtiff, byteorder, options):
    target, more = io.BytesIO(), dict(options)
    is_ome = more.pop("ome", False)
    with tifffile.TiffWriter(target, bigtiff=bigtiff, byteorder=byteorder, ome=is_ome) as writer:
        writer.write(np.zeros((50, 32, 32), np.uint8), photometric="minisblack", **more)
        for _ in range(options.get("subifds", 0)):
            writer.write(np.zeros((50, 16, 16), np.uint8), photometric="minisblack", subfiletype=1)
    require_end(target.getvalue())


def test_tifffile_is_silenced_only_while_it_is_read_and_only_in_its_thread(caplog):
    logger = logging.getLogger("tifffile")
    with silence_tifffile(), silence_tifffile():
        logger.error("unheard")
        other = threading.Thread(target=logger.error, args=("of another thread",))
        other.start()
        other.join()
    logger.error("heard")
    assert caplog.messages == ["of another thread", "heard"]
