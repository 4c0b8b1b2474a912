"""Draw the images of the demo set: lay nuclei, and paint them as microscopes show them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels

Light = NDArray[np.floating]

_LEAST_AREA_PX = 20


@dataclass(frozen=True)
class _Scene:
    """Size, shape, density and rendering of an image's nuclei; ranges are (min, max)."""

    sizes: tuple[tuple[int, int], ...]
    radius_px: tuple[float, float]
    elongation: tuple[float, float]
    covered: tuple[float, float]  # fraction of the image covered by nuclei
    touching: float  # probability that a nucleus is placed next to another
    paint: Callable[[Labels, np.random.Generator], NDArray[np.uint8]]


def draw_scene(random: np.random.Generator, look: int) -> tuple[NDArray[np.uint8], Labels]:
    """Draw an image and its ground truth; see `kaggle_dsb.dataset.demo.make_image`."""
    scene = _SCENES[look % len(_SCENES)]
    labels = _lay_nuclei(scene, random)
    return scene.paint(labels, random), labels


def _lay_nuclei(scene: _Scene, random: np.random.Generator) -> Labels:
    shape = scene.sizes[random.integers(len(scene.sizes))]
    labels = np.zeros(shape, np.int32)
    wanted_px = random.uniform(*scene.covered) * labels.size
    radius_px = random.uniform(*scene.radius_px)
    direction = random.uniform(0, np.pi)
    centres: list[tuple[float, float]] = []
    count = 0
    for _ in range(3000):
        centre = _choose_centre(shape, centres, radius_px, scene.touching, random)
        contour = _draw_contour(centre, radius_px, direction, scene.elongation, random)
        there, nucleus = _place(contour, labels)
        if _fits(nucleus, there):
            count += 1
            there[nucleus & (there == 0)] = count
            centres.append(centre)
            if np.count_nonzero(labels) >= wanted_px:
                break
    return labels


def _choose_centre(
    shape: tuple[int, int],
    centres: list[tuple[float, float]],
    radius_px: float,
    touching: float,
    random: np.random.Generator,
) -> tuple[float, float]:
    if centres and random.random() < touching:
        row, column = centres[random.integers(len(centres))]
        angle, distance = random.uniform(0, 2 * np.pi), radius_px * random.uniform(1.7, 2.3)
        return row + distance * np.sin(angle), column + distance * np.cos(angle)
    return random.uniform(0, shape[0]), random.uniform(0, shape[1])


def _draw_contour(
    centre: tuple[float, float],
    radius_px: float,
    direction: float,
    elongation: tuple[float, float],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return an ellipse with a few smooth bumps, (K, 2) points as (column, row)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    stretch = np.sqrt(random.uniform(*elongation))
    size = radius_px * random.uniform(0.65, 1.3)
    bumps = sum(
        random.normal(0, 0.16 / order**1.3) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
        for order in (2, 3, 4, 5)
    )
    along = size * stretch * (1 + bumps) * np.cos(angle)
    across = size / stretch * (1 + bumps) * np.sin(angle)
    # Elongated nuclei follow the direction of the tissue, round ones are oriented at random.
    turn = direction + random.normal(0, 0.35 if elongation[0] > 1.5 else 2.0)
    columns = centre[1] + along * np.cos(turn) - across * np.sin(turn)
    rows = centre[0] + along * np.sin(turn) + across * np.cos(turn)
    return np.stack([columns, rows], axis=1)


def _fill(contour: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(contour).astype(np.int32)], 1)
    return canvas.astype(bool)


def _place(contour: NDArray[np.float64], labels: Labels) -> tuple[Labels, NDArray[np.bool_]]:
    """Return a view of the labels in a contour's bounding box, and the filled contour there."""
    points = np.rint(contour).astype(np.int32)
    corners = np.array([points.min(axis=0), points.max(axis=0) + 1])
    (left, top), (right, bottom) = np.clip(corners, 0, labels.shape[::-1])
    there = labels[top:bottom, left:right]
    canvas = np.zeros(there.shape, np.uint8)
    if canvas.size:
        cv2.fillPoly(canvas, [points - np.array([left, top], np.int32)], 1)
    return there, canvas.astype(bool)


def _fits(nucleus: NDArray[np.bool_], labels: Labels) -> bool:
    free = nucleus & (labels == 0)
    area_px, free_px = np.count_nonzero(nucleus), np.count_nonzero(free)
    if free_px < _LEAST_AREA_PX or free_px < 0.88 * area_px:
        return False
    return bool(cv2.connectedComponents(free.astype(np.uint8), connectivity=4)[0] == 2)


def _paint_fluorescence(labels: Labels, random: np.random.Generator) -> NDArray[np.uint8]:
    brightness = random.choice([35.0, 60.0, 110.0, 170.0])
    nuclei = _spread(labels, random, (0.55, 1.25)) * (0.8 + 0.35 * _depth(labels))
    nuclei *= 1 + 0.14 * _grain(labels.shape, random, 1.5) + 0.1 * _grain(labels.shape, random, 4)
    sharp = _blur(brightness * nuclei, random.uniform(0.6, 1.4))
    haze = _blur(brightness * nuclei, 14) * random.uniform(0.03, 0.15)
    ground = random.uniform(3, 14) * (1 + 0.25 * _slope(labels.shape, random))
    light = (sharp + haze) * (1 + 0.15 * _slope(labels.shape, random)) + ground
    # Shot noise: its standard deviation grows with the square root of the intensity.
    noise = random.normal(0, 1, labels.shape) * np.sqrt(np.maximum(light, 0) * 0.06 + 0.3)
    return _to_rgb(light + noise)


def _paint_tissue(
    labels: Labels, random: np.random.Generator, *, ground: tuple[int, ...], dye: tuple[int, ...]
) -> NDArray[np.uint8]:
    shape = labels.shape
    stroma = _stain_stroma(shape, random)
    ghosts = _blur(_lay_ghosts(labels, random), random.uniform(2, 5)) * random.uniform(0.3, 0.55)
    chromatin = 1 + 0.25 * _grain(shape, random, 1.2) + 0.18 * _grain(shape, random, 2.5)
    rim = 1.3 - 0.5 * _depth(labels)
    nuclei = np.maximum(_spread(labels, random, (0.4, 1.0)) * chromatin * rim, 0.22)
    amount = np.where(labels > 0, nuclei, stroma + ghosts)
    amount = np.clip(_blur(amount, random.uniform(0.7, 1.3)), 0, 1.25)[..., None]
    # Beer-Lambert law: stain absorbs light, so transmittances multiply.
    light = np.array(ground) * (np.array(dye) / np.array(ground)) ** amount
    light = light * (1 + 0.04 * _slope(shape, random))[..., None]
    return _quantise(light + random.normal(0, 1.5, light.shape))


def _stain_stroma(shape: tuple[int, ...], random: np.random.Generator) -> Light:
    """Return the faint stain between nuclei: fibres and grain, with pale gaps."""
    texture = 0.02 * _fibres(shape, random) + 0.015 * _grain(shape, random, 1.5)
    clouds = 0.5 * _grain(shape, random, 6) + _grain(shape, random, 28)
    tissue = 1 / (1 + np.exp(-4 * (clouds + 0.3)))
    return np.maximum(tissue * (0.1 + texture) + 0.03 * tissue * clouds, 0).astype(np.float32)


def _paint_lilac(labels: Labels, random: np.random.Generator) -> NDArray[np.uint8]:
    return _paint_tissue(labels, random, ground=(198, 182, 220), dye=(74, 24, 168))


def _paint_pink(labels: Labels, random: np.random.Generator) -> NDArray[np.uint8]:
    return _paint_tissue(labels, random, ground=(226, 226, 222), dye=(96, 28, 104))


def _paint_brightfield(labels: Labels, random: np.random.Generator) -> NDArray[np.uint8]:
    shape = labels.shape
    passing = np.ones(shape, np.float32)
    for row, column in _centres(labels):
        radius_px = random.uniform(22, 38)
        centre = (row + random.normal(0, 5), column + random.normal(0, 5))
        cell = _fill(_draw_contour(centre, radius_px, 0.0, (1.0, 1.6), random), shape)
        edge = _blur(cell.astype(np.float32), 1.5) - 0.35 * _blur(cell.astype(np.float32), 4)
        passing *= 1 - random.uniform(0.12, 0.3) * edge
    passing *= 1 + 0.03 * _grain(shape, random, 2) * (passing < 0.97)
    dark = _blur(_spread(labels, random, (0.35, 0.6)), 0.9)
    halo = _blur((labels > 0).astype(np.float32), 3.5) - _blur((labels > 0).astype(np.float32), 1.2)
    light = 232 * passing * (1 - dark) * (1 + 0.25 * np.maximum(halo, 0))
    light = light * (1 + 0.03 * _slope(shape, random)) + random.normal(0, 1.2, shape)
    return _to_rgb(light)


def _lay_ghosts(labels: Labels, random: np.random.Generator) -> Light:
    """Return out-of-focus nuclei, which are not part of the ground truth."""
    ghosts = np.zeros(labels.shape, np.float32)
    for _ in range(int(random.integers(3, 10))):
        centre = (random.uniform(0, labels.shape[0]), random.uniform(0, labels.shape[1]))
        contour = _draw_contour(centre, random.uniform(7, 14), 0.0, (1.0, 2.2), random)
        ghosts[_fill(contour, labels.shape)] = random.uniform(0.4, 1)
    return ghosts


def _centres(labels: Labels) -> Iterator[tuple[float, float]]:
    for label in range(1, int(labels.max()) + 1):
        rows, columns = np.nonzero(labels == label)
        yield float(rows.mean()), float(columns.mean())


def _spread(labels: Labels, random: np.random.Generator, between: tuple[float, float]) -> Light:
    """Return an image with a random intensity for each nucleus and 0 for background."""
    strengths = random.uniform(*between, int(labels.max()) + 1).astype(np.float32)
    strengths[0] = 0
    return strengths[labels]


def _depth(labels: Labels) -> Light:
    """Return the depth in nuclei, from 0 at their edges to 1 at the centre of the thickest."""
    inside = (labels > 0).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    depth: Light = np.sqrt(distance / max(float(distance.max()), 1.0))
    return depth


def _blur(image: Light, sigma_px: float) -> Light:
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma_px).astype(np.float32)


def _grain(shape: tuple[int, ...], random: np.random.Generator, sigma_px: float) -> Light:
    """Return smooth noise of mean 0 and standard deviation 1."""
    return _standardise(_blur(random.normal(0, 1, shape), sigma_px))


def _fibres(shape: tuple[int, ...], random: np.random.Generator) -> Light:
    """Return noise stretched along one direction, like the fibres of stroma."""
    length_px = 21
    kernel = np.zeros((length_px, length_px), np.float32)
    angle, half = random.uniform(0, np.pi), length_px // 2
    step = (int(half * np.cos(angle)), int(half * np.sin(angle)))
    cv2.line(kernel, (half - step[0], half - step[1]), (half + step[0], half + step[1]), 1.0)
    noise = cv2.filter2D(random.normal(0, 1, shape).astype(np.float32), -1, kernel)
    return _standardise(_blur(noise.astype(np.float32), 1.2))


def _standardise(noise: Light) -> Light:
    standard: Light = (noise - noise.mean()) / noise.std()
    return standard


def _slope(shape: tuple[int, ...], random: np.random.Generator) -> Light:
    """Return a linear illumination gradient, from about -1 to 1."""
    angle = random.uniform(0, 2 * np.pi)
    rows = np.linspace(-1, 1, shape[0])[:, None] * np.sin(angle)
    columns = np.linspace(-1, 1, shape[1])[None, :] * np.cos(angle)
    plane: Light = (rows + columns).astype(np.float32)
    return plane


def _to_rgb(grey: Light) -> NDArray[np.uint8]:
    return np.repeat(_quantise(grey)[..., None], 3, axis=2)


def _quantise(light: Light) -> NDArray[np.uint8]:
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


_SCENES = (
    _Scene(((256, 256),), (6.5, 10), (1.0, 1.5), (0.05, 0.15), 0.3, _paint_fluorescence),
    _Scene(((520, 696),), (9, 12), (1.0, 1.6), (0.2, 0.33), 0.75, _paint_fluorescence),
    _Scene(((256, 320),), (11, 20), (1.1, 1.9), (0.15, 0.3), 0.5, _paint_lilac),
    _Scene(((360, 360), (253, 301)), (22, 30), (1.0, 1.7), (0.2, 0.35), 0.3, _paint_fluorescence),
    _Scene(((253, 301),), (7, 11), (1.0, 1.5), (0.15, 0.28), 0.5, _paint_pink),
    _Scene(((360, 360),), (4.5, 6.5), (1.0, 1.4), (0.012, 0.025), 0.0, _paint_brightfield),
    _Scene(((256, 256), (253, 301)), (6, 9), (1.6, 2.6), (0.1, 0.2), 0.3, _paint_fluorescence),
    _Scene(((256, 320), (390, 239)), (8, 15), (1.6, 3.2), (0.12, 0.25), 0.5, _paint_lilac),
)
