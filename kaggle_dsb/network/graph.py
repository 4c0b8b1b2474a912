"""OpenVINO graphs of the networks: the operations in one small file, the weights in another.

The graph of an architecture takes the image and every tensor of the network's state as inputs. With
the tensors of a `.safetensors` file in place of those inputs, it computes the same as the torch
network. So one graph serves all networks of an architecture, and weights are stored only once.
"""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import openvino
from openvino import opset13

from kaggle_dsb import __version__
from kaggle_dsb.config import NetworkSettings
from kaggle_dsb.files import InputError, user_cache
from kaggle_dsb.network.hardware import Precision
from kaggle_dsb.network.quantize import insert_quantizers, read_ranges
from kaggle_dsb.network.weights import NetworkFile, ranges_file, read_network

if TYPE_CHECKING:
    from openvino import CompiledModel, Model

PACKAGED = Path(__file__).parent / "graphs"
IMAGE = "image"
_EXPORTING = Lock()
PRECISION_HINT = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def compile_network(
    path: Path, *, precision: Precision, threads: int, is_quantized: bool = False
) -> "CompiledModel":
    """Compile a trained network for the CPU.

    Parameters
    ----------
    path : Path
        ``fold<N>.safetensors``.
    precision : {"float32", "bfloat16", "float16"}
    threads : int
    is_quantized : bool
        Compute convolutions in INT8, and depthwise ones and all else in ``precision``.

    Returns
    -------
    CompiledModel
        Takes images (B, 3, H, W) uint8 and returns probabilities (B, 3, H, W) float32.

    Raises
    ------
    InputError
        When the file cannot be read, its tensors do not fit the graph of its architecture, or a
        network to be quantised has no ranges.
    """
    model = read_model(path)
    if is_quantized:
        insert_quantizers(model, read_ranges(path), source=ranges_file(path))
    config = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINT[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # else the threads of two processes share the first core
    }
    return openvino.Core().compile_model(model, "CPU", config)


def read_model(path: Path) -> "Model":
    """Read the graph of a trained network, with its weights in place."""
    file = read_network(path)
    model = openvino.Core().read_model(find_graph(file.settings.network))
    insert_weights(model, file, source=path)
    return model


def insert_weights(model: "Model", file: NetworkFile, *, source: Path) -> None:
    """Replace all inputs of a graph but the image by the tensors of a network."""
    weights = file.weights()
    for parameter in model.get_parameters():
        name = parameter.get_friendly_name()
        if name == IMAGE:
            continue
        shape = list(parameter.get_output_shape(0))
        if name not in weights or list(weights[name].shape) != shape:
            has = f"has {list(weights[name].shape)}" if name in weights else "is missing"
            raise InputError(f"{source}: tensor {name} must have shape {shape}, {has}")
        parameter.output(0).replace(opset13.constant(weights[name]).output(0))
        model.remove_parameter(parameter)


def name_graph(settings: NetworkSettings) -> str:
    """Return the file name of an architecture's graph.

    Examples
    --------
    >>> name_graph(NetworkSettings(encoder_name="resnet18", decoder_channels=(64, 32, 16)))
    'resnet18-64-32-16.xml'
    """
    return "-".join([settings.encoder_name, *map(str, settings.decoder_channels)]) + ".xml"


def find_graph(settings: NetworkSettings) -> Path:
    """Return the graph of an architecture: the packaged one, else one exported to the cache.

    Raises
    ------
    InputError
        When it must be exported and torch is not installed.
    """
    packaged = PACKAGED / name_graph(settings)
    if packaged.exists():
        return packaged
    with _EXPORTING:  # networks are compiled in threads, and all wait for the graph of one
        cached = cache_folder() / name_graph(settings)
        if not cached.exists():
            _export(settings, cached)
    return cached


def _export(settings: NetworkSettings, path: Path) -> None:
    try:
        from kaggle_dsb.network.export import export_graph
    except ImportError:
        raise InputError(
            f"network.encoder_name = {settings.encoder_name!r}: its OpenVINO graph is not bundled "
            "with the package; building it needs torch and segmentation-models-pytorch, which are "
            "not installed"
        ) from None
    export_graph(settings, path)


def cache_folder() -> Path:
    """Return the cache folder of exported graphs.

    Its name holds the version of the package, since graphs depend on it.
    """
    return user_cache(f"graphs-{__version__}")
