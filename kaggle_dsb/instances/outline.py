"""Where nuclei end, by what the network says and by the light in the image itself.

A network's body fades smoothly over some pixels; whoever outlined the nuclei went by the image. So
both are asked: the body's probability, and how bright a pixel is, from the ground around a nucleus
to its inside.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

BODY_SHARE = 0.3
SURELY_INSIDE, INSIDE, OUTSIDE = 0.85, 0.7, 0.15
"""Body probabilities: no hole is left above the first; the light within and around is measured
above the second and below the third."""
GROUND_SIGMA_PX = 8
LEAST_CONTRAST = 0.02


def relative_grey(image: NDArray[np.uint8]) -> Plane:
    """Return the grey levels of (H, W, 3) uint8 on a scale where nearly all lie from 0 to 1."""
    grey = image.mean(axis=2, dtype=np.float32)
    low, high = grey_range(grey)
    relative: Plane = ((grey - low) / max(high - low, 1)).astype(np.float32)
    return relative


def grey_range(grey: Plane) -> tuple[float, float]:
    """Return the levels between which nearly all of (H, W) grey levels lie."""
    low, high = np.percentile(grey, (0.5, 99.8))
    return float(low), float(high)


def find_membership(body: Plane, basins: NDArray[np.int32], grey: Plane) -> Plane:
    """Tell how far each pixel belongs to the nucleus of its basin.

    Parameters
    ----------
    body : (H, W) float32, in [0, 1]
    basins : (H, W) int32
        1..n, one for each nucleus or part of one; 0 outside.
    grey : (H, W) float32
        as `relative_grey` returns them; nuclei may be brighter than the ground or darker.

    Returns
    -------
    membership : (H, W) float32
        About 0 on the ground, 1 inside, a half where a nucleus ends. The body alone where a basin
        has no sure inside or stands out too little.
    """
    inside, has_inside = _light_inside(body, basins, grey)
    ground = _light_of_ground(body, grey)
    step = inside[basins] - ground
    is_clear = has_inside[basins] & (np.abs(step) >= LEAST_CONTRAST)
    light = np.clip((grey - ground) / np.where(is_clear, step, 1), -0.5, 1.5)
    light = np.where(body > SURELY_INSIDE, np.maximum(light, 1), light)
    membership: Plane = np.where(is_clear, BODY_SHARE * body + (1 - BODY_SHARE) * light, body)
    return membership.astype(np.float32, copy=False)


def _light_inside(
    body: Plane, basins: NDArray[np.int32], grey: Plane
) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the mean grey level of each basin's sure inside, and which basins have one."""
    n = int(basins.max()) + 1
    core = np.where(body > INSIDE, basins, 0).ravel()
    count = np.bincount(core, minlength=n)
    count[0] = 0
    mean = np.bincount(core, weights=grey.ravel(), minlength=n) / np.maximum(count, 1)
    return mean.astype(np.float32), count > 0


def _light_of_ground(body: Plane, grey: Plane) -> Plane:
    """Return the grey level of the ground near each pixel, of all ground where none is near."""
    is_ground = (body < OUTSIDE).astype(np.float32)
    if not is_ground.any():
        return np.zeros_like(grey)
    blur = (0, 0), GROUND_SIGMA_PX
    near, share = cv2.GaussianBlur(grey * is_ground, *blur), cv2.GaussianBlur(is_ground, *blur)
    everywhere = np.median(grey[is_ground > 0])
    ground: Plane = np.where(share > 1e-3, near / np.maximum(share, 1e-3), everywhere)
    return ground.astype(np.float32, copy=False)
