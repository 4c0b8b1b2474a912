"""Readers of foreign bytes, each with a sound file to begin from."""

import hashlib
import io
import json
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kaggle_dsb.competition.label_files import read_labels, write_labels
from kaggle_dsb.competition.submission import check_submission, read_solution, read_submission
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.archive import DataFaults
from kaggle_dsb.dataset.folds import read_folds
from kaggle_dsb.dataset.masks import decode_mask
from kaggle_dsb.dataset.pixels import decode_rgb
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.files import InputError, read_json
from kaggle_dsb.instances.outline_rule import NUMBERS, OUTLINE_COLUMNS, read_known
from kaggle_dsb.instances.scorer import load_scorer
from kaggle_dsb.network.quantize import read_ranges
from kaggle_dsb.network.weights import read_network
from kaggle_dsb.settings_files import dump_settings, load_settings
from kaggle_dsb.training.fit import read_checkpoint
from kaggle_dsb.workspace.run import BUNDLED
from tests.cases import draw

LABELS = {"a": draw("11.22", "11..2"), "b": draw("...", "..."), "c": draw("111", "1.1", "111")}
SIZES = {image_id: labels.shape for image_id, labels in LABELS.items()}
SUBMISSION = b"ImageId,EncodedPixels\na,1 4\na,7 1 9 2\nb,\nc,1 4 6 4\n"
SOLUTION = (
    b"ImageId,EncodedPixels,Height,Width,Usage\n"
    b"a,1 4,2,5,Public\na,7 1 9 2,2,5,Public\nb,,2,3,Ignored\nc,1 4 6 4,3,3,Private\n"
)
OUTLINES = b"\n".join(
    [",".join(OUTLINE_COLUMNS).encode(), *[b",".join([b"1", b"0.5", *[b"1"] * len(NUMBERS)])] * 2]
)
FOLDS = b"ImageId,source,type,group,fold\na,mine,tissue,0,0\nb,mine,tissue,1,1\n"


@dataclass(frozen=True)
class Target:
    """What reads a file, and the bytes of a file that it reads without a word.

    Attributes
    ----------
    name : str
        Of the file.
    sound : bytes
    read : callable
        Takes the path of the file.
    """

    name: str
    sound: bytes
    read: Callable[[Path], object]


def _in_bytes(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _zip(stream: io.BytesIO) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("submission.csv", SUBMISSION)


def _image(file_format: str, array: np.ndarray) -> bytes:
    return _in_bytes(lambda stream: Image.fromarray(array).save(stream, format=file_format))


def _submission(path: Path) -> object:
    check_submission(path, SIZES)
    return read_submission(path, SIZES)


def _cache(path: Path) -> object:
    """Read a cache whose index is the given file."""
    cache = path.parent / "cache"
    for image_id, labels in LABELS.items():
        image = np.repeat(labels[..., None], 3, axis=2).astype(np.uint8)
        (cache / "stage1_train" / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(cache / "stage1_train" / "images" / f"{image_id}.png")
        write_labels(cache / "stage1_train" / "labels" / f"{image_id}.png", labels)
    (cache / "stage1_train" / "index.csv").write_bytes(path.read_bytes())
    return load_samples(cache, "stage1_train")


def _mend_checksums(data: bytes) -> bytes:
    """Return a PNG whose chunks have right checksums, so that what they hold is read."""
    content, start = bytearray(data), 8
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        content[end : end + 4] = zlib.crc32(content[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(content)


def _zip_of_data(stream: io.BytesIO) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for image_id, labels in LABELS.items():
            image = np.repeat(labels[..., None], 3, axis=2).astype(np.uint8)
            archive.writestr(f"{image_id}/images/{image_id}.png", _image("PNG", image))
            for label in np.unique(labels[labels > 0]):
                mask = _image("PNG", (labels == label).astype(np.uint8) * 255)
                archive.writestr(f"{image_id}/masks/{label}.png", mask)


def _prepare(path: Path) -> object:
    """Prepare the data in a zip; whatever it holds, nothing is written beside the cache."""
    before = set(path.parent.iterdir())
    cache = path.parent / "prepared"
    try:
        return prepare(path, cache)
    finally:
        assert set(path.parent.iterdir()) - before <= {cache}


def _checkpoint() -> bytes:
    tensors = {"weight": torch.arange(12.0).reshape(3, 4)}
    state = {"epoch": 1, "state_dict": tensors, "callbacks": {"best": {"path": "a", "k": [1]}}}
    return _in_bytes(lambda stream: torch.save(state, stream))


NETWORK = b"network"
RANGES = json.dumps(
    {
        "network_sha256": hashlib.sha256(NETWORK).hexdigest(),
        "ranges": {"aten::add/Add_8": [-52.9, 50.9], "aten::hardtanh_/Clamp": [0, 6]},
    }
)


def _read_ranges(path: Path) -> object:
    path.with_name("a.safetensors").write_bytes(NETWORK)
    return read_ranges(path.with_name("a.safetensors"))


def _bundled(name: str) -> bytes:
    return (BUNDLED / name).read_bytes()


GREY = (np.arange(600, dtype=np.uint16).reshape(20, 30) * 50).astype(np.uint16)

TARGETS = {
    "submission": Target("a.csv", SUBMISSION, _submission),
    "submission in a zip": Target("a.zip", _in_bytes(_zip), _submission),
    "solution": Target("a.csv", SOLUTION, read_solution),
    "labels as PNG": Target("a.png", _image("PNG", GREY), read_labels),
    "labels as TIFF": Target("a.tif", _image("TIFF", GREY), read_labels),
    "labels as array": Target(
        "a.npy", _in_bytes(lambda stream: np.save(stream, GREY)), read_labels
    ),
    "labels of Cellpose": Target(
        "a.npy", _in_bytes(lambda stream: np.save(stream, {"masks": GREY})), read_labels
    ),
    "image as PNG": Target(
        "a.png", _image("PNG", GREY), lambda path: decode_rgb(path.read_bytes())
    ),
    "image as PNG of right checksums": Target(
        "a.png",
        _image("PNG", np.stack([GREY >> 8, GREY, GREY], axis=2).astype(np.uint8)),
        lambda path: decode_rgb(_mend_checksums(path.read_bytes())),
    ),
    "image as TIFF": Target(
        "a.tif", _image("TIFF", GREY), lambda path: decode_rgb(path.read_bytes())
    ),
    "image as JPEG": Target(
        "a.jpg", _image("JPEG", GREY.astype(np.uint8)), lambda path: decode_rgb(path.read_bytes())
    ),
    "data in a zip": Target("stage1_train.zip", _in_bytes(_zip_of_data), _prepare),
    "checkpoint": Target("last.ckpt", _checkpoint(), read_checkpoint),
    "mask": Target("a.png", _image("PNG", GREY > 900), lambda path: decode_mask(path.read_bytes())),
    "settings": Target("a.toml", dump_settings(Settings()).encode(), load_settings),
    "folds": Target("folds.csv", FOLDS, read_folds),
    "outlines": Target("outlines.csv", OUTLINES, read_known),
    "ranges": Target("a.ranges.json", RANGES.encode(), _read_ranges),
    "index of a cache": Target(
        "a.csv", b"ImageId,height,width,nuclei\na,2,5,2\nb,2,3,0\nc,3,3,1\n", _cache
    ),
    "network": Target("a.safetensors", _bundled("fold0.safetensors"), read_network),
    "candidate scorer": Target("a.safetensors", _bundled("scorer0.safetensors"), load_scorer),
    "record": Target("made.json", b'{"version": "0.3.0", "data": "demo", "n": [1, 2]}', read_json),
}


def find_fault(target: Target, content: bytes, folder: Path) -> str | None:
    """Read a file of these bytes; return what went wrong, None where it was read or refused."""
    path = folder / target.name
    path.write_bytes(content)
    with _catching_prints() as printed:
        try:
            target.read(path)
        except InputError as error:
            message = str(error)
            lines = message.splitlines() if isinstance(error, DataFaults) else [message]
            if not lines or not all(line.isprintable() for line in lines):
                return f"a message that is not one printable line: {message!r}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return f"prints {printed[0][:100]!r}" if printed[0] else None


@contextmanager
def _catching_prints() -> Iterator[list[bytes]]:
    """Catch what libraries beneath Python print to the terminal too."""
    printed: list[bytes] = []
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield printed
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            printed.append(file.read())
