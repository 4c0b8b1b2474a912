"""Small data sets in the competition's layout, written where a test wants them."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from kaggle_dsb.dataset.prepare import Prepared, prepare

Picture = tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]


def encode_png(image: NDArray[np.generic]) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def png() -> Callable[[NDArray[np.generic]], bytes]:
    return encode_png


@pytest.fixture
def write_set() -> Callable[..., Path]:
    """Write ``ID/images/ID.png`` and ``ID/masks/K.png`` for each picture."""

    def write(folder: Path, pictures: dict[str, Picture]) -> Path:
        for image_id, (image, masks) in pictures.items():
            (folder / image_id / "images").mkdir(parents=True)
            (folder / image_id / "images" / f"{image_id}.png").write_bytes(encode_png(image))
            if masks:
                (folder / image_id / "masks").mkdir()
            for number, mask in enumerate(masks):
                path = folder / image_id / "masks" / f"m{number}.png"
                path.write_bytes(encode_png(mask))
        return folder

    return write


@pytest.fixture
def pictures() -> dict[str, Picture]:
    """Two images of 4 x 6 pixels: ``a`` with two nuclei that share a pixel, ``b`` with one."""
    image = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)
    first, second, third = (np.zeros((4, 6), np.uint8) for _ in range(3))
    first[:2, :3] = 255
    second[1:3, 2:5] = 255
    third[3, 5] = 255
    return {"a": (image, [first, second]), "b": (image + 1, [third])}


@pytest.fixture
def zip_folder() -> Callable[[Path, Path], Path]:
    def pack(folder: Path, target: Path) -> Path:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder))
        return target

    return pack


def quarters(image: NDArray[np.uint8], name: str) -> dict[str, NDArray[np.uint8]]:
    """Cut the even-sided part of an image into four crops that lie side by side."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return {
        f"{name}{row}{column}": image[
            row * height : (row + 1) * height, column * width : (column + 1) * width
        ]
        for row in (0, 1)
        for column in (0, 1)
    }


@pytest.fixture(scope="module")
def slides() -> dict[str, NDArray[np.uint8]]:
    """Three unevenly lit pictures, each cut into four crops: two of dyes, one of stained tissue."""
    looks = {
        "a": ((12, 12, 12), (90, 90, 90)),
        "b": ((50, 50, 50), (170, 170, 170)),
        "c": ((222, 222, 218), (96, 28, 104)),
    }
    images = {}
    for seed, (name, (ground, nuclei)) in enumerate(looks.items()):
        images |= quarters(draw_slide(seed, ground=ground, nuclei=nuclei), name)
    return images


def draw_slide(seed: int, *, ground: tuple[int, ...], nuclei: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw blurred nuclei with NumPy alone: what OpenCV draws depends on its version."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:256, :256]
    amount = np.zeros((256, 256))
    for row, column in random.uniform(0, 256, (60, 2)):
        squared = (rows - row) ** 2 + (columns - column) ** 2
        amount = np.maximum(amount, np.exp(-squared / (2 * 7**2)))
    colour = np.array(ground) + amount[..., None] * (np.array(nuclei) - np.array(ground))
    return np.rint(colour + (rows + columns)[..., None] / 32).astype(np.uint8)


@pytest.fixture(scope="session")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The competition's files, prepared once for all processes of a test run."""
    data = os.environ.get("KAGGLE_DSB_DATA")
    if not data:
        pytest.skip("KAGGLE_DSB_DATA names no folder with the competition's files")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "competition.lock"):
        return prepare(Path(data), folder / "competition")
