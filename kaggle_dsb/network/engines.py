"""Inference engines: torch on any device, or OpenVINO on a CPU, without torch."""

import importlib.util
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.config import HardwareSettings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.hardware import (
    Device,
    Precision,
    choose_device,
    choose_precision,
    count_cores,
    has_int8,
)
from kaggle_dsb.network.weights import ranges_file

if TYPE_CHECKING:
    from openvino import CompiledModel

STRIDE_PX = 32  # an encoder of five stages halves its input five times
BATCH_PX = {"cpu": 1, "cuda": 2**22}

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

LARGEST_LOGIT = 7.0
"""Logits are clipped to this before they are averaged: one network must not outvote the others."""

_LEAST = 1 / (1 + math.exp(LARGEST_LOGIT))


class Engine(Protocol):
    """Computes the probability of one or more networks, averaged over the views of TTA.

    Several networks are combined by the mean of their logits in each view. Where they disagree, the
    mean of their probabilities is less certain than any of them, and misses nuclei in images unlike
    those trained on.
    """

    @property
    def batch_px(self) -> int:
        """The preferred batch size, in pixels; a batch holds at least one image."""

    def __call__(self, images: Images) -> Probabilities:
        """Return probabilities (B, 3, H, W) float32.

        Parameters
        ----------
        images : (B, 3, H, W) uint8
            With sides that are multiples of 32.
        """

    def first(self) -> "Engine":
        """Return an engine of the first network without TTA; itself if that is all it has."""

    def half(self) -> "Engine":
        """Return an engine of every second network, from the first; itself if it has only one."""


@dataclass(frozen=True)
class EngineChoice:
    """An engine, its device and its precision.

    Attributes
    ----------
    name : {"torch", "openvino"}
    version : str
        The version of its package.
    device : {"cpu", "cuda"}
    precision : {"float32", "bfloat16", "float16"}
    is_quantized : bool
        Whether convolutions are computed in INT8.
    """

    name: Literal["torch", "openvino"]
    version: str
    device: Device
    precision: Precision
    is_quantized: bool = False


def choose_engine(hardware: HardwareSettings, networks: Sequence[Path] = ()) -> EngineChoice:
    """Choose the engine for this machine; ``auto`` is OpenVINO on a CPU if it is installed.

    Parameters
    ----------
    hardware : HardwareSettings
    networks : sequence of Path
        If the CPU has instructions for INT8 and all of these have ranges, ``auto`` computes in
        INT8.

    Raises
    ------
    InputError
        When the requested engine is not installed, or cannot use the device or precision.
    """
    has_openvino = importlib.util.find_spec("openvino") is not None
    device = "cpu" if hardware.engine == "openvino" else choose_device(hardware.accelerator)
    if hardware.engine == "openvino" and hardware.accelerator == "gpu":
        raise InputError(
            "hardware.engine = 'openvino': runs on the CPU only; set hardware.engine=torch to use "
            "a GPU"
        )
    if hardware.engine == "openvino" or (
        hardware.engine == "auto" and has_openvino and device == "cpu"
    ):
        _require("openvino", hardware.engine)
        precision = _openvino_precision(hardware.precision)
        is_quantized = _is_quantized(hardware.precision, networks)
        return EngineChoice("openvino", version("openvino"), device, precision, is_quantized)
    _require("torch", hardware.engine)
    precision = choose_precision(hardware.precision, device)
    return EngineChoice("torch", version("torch"), device, precision)


def _require(package: str, engine: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(
            f"hardware.engine = {engine!r}: {package} is not installed; install it, or the "
            "dependencies of prediction: pip install 'kaggle_dsb[predict]'"
        )


def _openvino_precision(name: Literal["auto", "int8"] | Precision) -> Precision:
    if name != "auto" and name != "int8":  # noqa: PLR1714
        return name
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


def _is_quantized(name: str, networks: Sequence[Path]) -> bool:
    has_ranges = bool(networks) and all(ranges_file(path).exists() for path in networks)
    return name == "int8" or (name == "auto" and has_ranges and has_int8())


def load_engine(
    choice: EngineChoice, networks: Sequence[Path], *, tta: str, threads: int = 0
) -> Engine:
    """Load networks into an engine.

    Parameters
    ----------
    choice : EngineChoice
    networks : sequence of Path
        They are combined; see `Engine`.
    tta : str
        The views that are averaged: ``none``, ``flips``, ``rotations`` or ``d4``.
    threads : int
        0 is one per core.

    Raises
    ------
    InputError
        When a network cannot be read.
    """
    threads = threads or count_cores()
    if choice.name == "openvino":
        return OpenVinoEngine.load(
            networks,
            tta=tta,
            precision=choice.precision,
            threads=threads,
            is_quantized=choice.is_quantized,
        )
    import torch

    from kaggle_dsb.network.model import load_network
    from kaggle_dsb.network.torch_engine import TorchEngine

    torch.set_num_threads(threads)
    return TorchEngine(
        [load_network(path)[0] for path in networks],
        tta=tta,
        device=choice.device,
        precision=choice.precision,
    )


@dataclass(frozen=True)
class View:
    """A symmetry of the square: an optional horizontal flip, then rotation by quarter turns."""

    is_mirrored: bool
    quarter_turns: int

    def show(self, images: NDArray[Any]) -> NDArray[Any]:
        """Transform images (B, C, H, W) to this view."""
        mirrored = images[..., ::-1] if self.is_mirrored else images
        return np.rot90(mirrored, self.quarter_turns, axes=(-2, -1))

    def undo(self, images: NDArray[Any]) -> NDArray[Any]:
        """Transform images (B, C, H, W) back from this view."""
        turned = np.rot90(images, -self.quarter_turns, axes=(-2, -1))
        return turned[..., ::-1] if self.is_mirrored else turned


VIEWS = {
    "none": (View(False, 0),),
    "flips": (View(False, 0), View(True, 0), View(False, 2), View(True, 2)),
    "rotations": tuple(View(False, turns) for turns in range(4)),
    "d4": tuple(View(mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}


@dataclass(frozen=True)
class OpenVinoEngine:
    """Networks compiled by OpenVINO for the CPU; see `Engine`.

    Attributes
    ----------
    models : sequence of CompiledModel
    views : sequence of View
    """

    models: "Sequence[CompiledModel]"
    views: Sequence[View]
    batch_px: int = BATCH_PX["cpu"]

    @classmethod
    def load(
        cls,
        networks: Sequence[Path],
        *,
        tta: str,
        precision: Precision,
        threads: int,
        is_quantized: bool = False,
    ) -> "OpenVinoEngine":
        """Compile networks; for the parameters see `load_engine`."""
        from kaggle_dsb.network.graph import compile_network

        compile_one = partial(
            compile_network, precision=precision, threads=threads, is_quantized=is_quantized
        )
        with ThreadPoolExecutor(threads) as pool:  # each takes a second on one core
            return cls(list(pool.map(compile_one, networks)), VIEWS[tta])

    def first(self) -> "OpenVinoEngine":
        """Return an engine of the first network without TTA; itself if that is all it has."""
        is_one = len(self.models) == 1 and self.views == VIEWS["none"]
        return self if is_one else replace(self, models=self.models[:1], views=VIEWS["none"])

    def half(self) -> "OpenVinoEngine":
        """Return an engine of every second network, from the first; itself if it has only one."""
        return replace(self, models=self.models[::2]) if len(self.models) > 1 else self

    def __call__(self, images: Images) -> Probabilities:
        """Return probabilities (B, 3, H, W) float32 for images (B, 3, H, W) uint8."""
        total = np.zeros(images.shape, np.float32)
        for view in self.views:
            shown = np.ascontiguousarray(view.show(images))
            total += view.undo(_combine([model([shown])[0] for model in self.models]))
        total /= len(self.views)
        return total


def _combine(probabilities: Sequence[Probabilities]) -> Probabilities:
    """Return the sigmoid of the mean logit; a single probability as it is."""
    # Without SciPy, which prediction does not import.
    if len(probabilities) == 1:
        return probabilities[0]
    total = np.zeros_like(probabilities[0])
    for probability in probabilities:
        clipped = np.clip(probability, _LEAST, 1 - _LEAST)
        total += np.log(clipped / (1 - clipped))
    combined: Probabilities = np.reciprocal(1 + np.exp(-total / len(probabilities)))
    return combined
