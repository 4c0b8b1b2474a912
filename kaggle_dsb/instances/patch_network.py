"""A small convolutional network that predicts the quality of candidates, evaluated with numpy.

`kaggle_dsb.training.patch_networks` trains it; the file does not depend on torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.patches import PATCH_CHANNELS, Patches

STRIDES = (2, 1, 2, 1, 2, 1)
"""The stride of each convolution, all of 3 × 3 pixels with a padding of one pixel."""

FARTHEST = 4.0  # standard deviations; features beyond are clipped
PATCHES_AT_ONCE = 16

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PatchNetwork:
    """A network that sees the patch and the features of a candidate.

    Convolutions with rectified outputs, the mean over the patch, two dense layers, a sigmoid.

    Attributes
    ----------
    convolutions : sequence of (weight, bias)
        (9 * n_inputs, n_outputs) and (n_outputs,) float32: the pixels of a window by rows, each
        with its channels.
    hidden, output : (weight, bias)
        (n_inputs, n_outputs) and (n_outputs,) float32; the first takes the mean over the patch,
        then the standardised features.
    centre, scale : (n_features,) float32
        The mean and the standard deviation of each feature in training.
    """

    convolutions: Sequence[tuple[Array, Array]]
    hidden: tuple[Array, Array]
    output: tuple[Array, Array]
    centre: Array
    scale: Array

    def predict(self, patches: Patches, features: NDArray[np.float32]) -> Floats:
        """Return the quality of each candidate, (n,) float64.

        Parameters
        ----------
        patches : (n, 32, 32, 8) uint8
        features : (n, n_features) float32
        """
        quality = np.empty(len(features))
        for start in range(0, len(features), PATCHES_AT_ONCE):
            batch = slice(start, start + PATCHES_AT_ONCE)
            quality[batch] = self._predict_batch(patches[batch], features[batch])
        return quality

    def _predict_batch(self, patches: Patches, features: NDArray[np.float32]) -> Array:
        pixels = normalise_patches(patches)
        for layer, stride in zip(self.convolutions, STRIDES, strict=True):
            pixels = _rectify(_transform(_windows(pixels, stride), layer))
        standard = standardise(features, self.centre, self.scale)
        inputs = np.concatenate([pixels.mean(axis=(1, 2)), standard], axis=1)
        logit = _transform(_rectify(_transform(inputs, self.hidden)), self.output)
        sigmoid: Array = np.reciprocal(1 + np.exp(-logit[:, 0]))
        return sigmoid

    def tensors(self, *, prefix: str) -> dict[str, Array]:
        """Return the network's arrays by name, each with a prefix."""
        layers = {f"{prefix}convolution{n}": layer for n, layer in enumerate(self.convolutions)}
        layers |= {f"{prefix}hidden": self.hidden, f"{prefix}output": self.output}
        tensors = {f"{name}.weight": weight for name, (weight, _) in layers.items()}
        tensors |= {f"{name}.bias": bias for name, (_, bias) in layers.items()}
        return tensors | {f"{prefix}centre": self.centre, f"{prefix}scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], *, prefix: str) -> "PatchNetwork":
        """Return the network with the arrays that :meth:`tensors` returned.

        Raises
        ------
        KeyError
            When one is missing.
        ValueError
            When one has another shape than the others imply, or values that are not finite.
        """
        checked = {
            name: _check_array(f"{prefix}{name}", tensors[f"{prefix}{name}"], shape)
            for name, shape in _shapes(tensors, prefix).items()
        }
        if not (checked["scale"] > 0).all():
            raise ValueError(f"{prefix}scale must be positive")
        layers = {name: (checked[f"{name}.weight"], checked[f"{name}.bias"]) for name in _LAYERS}
        hidden, output = layers.pop("hidden"), layers.pop("output")
        return cls(list(layers.values()), hidden, output, checked["centre"], checked["scale"])


_LAYERS = (*(f"convolution{n}" for n in range(len(STRIDES))), "hidden", "output")


def _shapes(tensors: Mapping[str, Array], prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the shape that each array must have, given the number of outputs of each layer."""
    n_features = len(FEATURES)
    shapes: dict[str, tuple[int, ...]] = {"centre": (n_features,), "scale": (n_features,)}
    n_inputs = len(PATCH_CHANNELS)
    for name in _LAYERS:
        n_outputs = 1 if name == "output" else tensors[f"{prefix}{name}.bias"].size
        if name == "hidden":
            n_inputs += n_features
        window = 9 if name.startswith("convolution") else 1
        shapes[f"{name}.weight"] = (window * n_inputs, n_outputs)
        shapes[f"{name}.bias"] = (n_outputs,)
        n_inputs = n_outputs
    return shapes


def _check_array(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if array.dtype != np.float32 or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not float32 {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return array


def normalise_patches(patches: Patches) -> NDArray[np.float32]:
    """Return patches as float32 in [-1, 1]."""
    return patches.astype(np.float32) / np.float32(127.5) - np.float32(1)


def standardise(features: NDArray[np.float32], centre: Array, scale: Array) -> Array:
    """Return features (n, n_features) in standard deviations from their mean, clipped."""
    standard: Array = np.clip((features - centre) / scale, -FARTHEST, FARTHEST)
    return standard


def _windows(pixels: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Return the 3 × 3 window around each (stride-th) pixel, (n, h, w, 9 * n_channels)."""
    n, side, _, n_channels = pixels.shape
    padded = np.zeros((n, side + 2, side + 2, n_channels), np.float32)
    padded[:, 1:-1, 1:-1] = pixels
    # Three adjacent pixels are contiguous in memory: a window is copied as three long rows.
    rows = padded.reshape(n, side + 2, -1)
    windows = sliding_window_view(rows, (3, 3 * n_channels), axis=(1, 2))
    windows = windows[:, ::stride, :: stride * n_channels]
    return windows.reshape(*windows.shape[:3], -1)


def _transform(inputs: Array, layer: tuple[Array, Array]) -> Array:
    weight, bias = layer
    outputs: Array = inputs @ weight
    outputs += bias
    return outputs


def _rectify(values: Array) -> Array:
    return np.maximum(values, 0, out=values)
