"""INT8 quantisation of convolutions for OpenVINO, in two thirds of the time of bfloat16.

A fake-quantise operation rounds each input of a convolution to 256 levels over its range, and each
weight to 255 levels per output channel; OpenVINO then multiplies integers. The ranges are measured
once for each network and stored beside it. Depthwise convolutions stay in floating point: with few
products per sum they gain nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino
from openvino import opset13

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.files import InputError, digest_of, read_json, write_json
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.predict import pad_to_stride, resize, to_batch
from kaggle_dsb.network.weights import ranges_file

if TYPE_CHECKING:
    from openvino import Model, Output

    from kaggle_dsb.network.engines import Images

Ranges = Mapping[str, tuple[float, float]]

MOVING = {"Pad", "Concat"}  # operations that only move data
N_IMAGES, SIDE_PX = 16, 256  # two of each look of the demo set
LEVELS, WEIGHT_LEVELS = 256, 255


def write_ranges(network: Path, model: "Model", *, nucleus_px: float) -> None:
    """Measure the ranges of a network's tensors, and write them beside it."""
    ranges = measure_ranges(model, draw_images(nucleus_px))
    rounded = {name: [float(f"{end:.4g}") for end in ends] for name, ends in ranges.items()}
    write_json(ranges_file(network), {"network_sha256": digest_of(network), "ranges": rounded})


def read_ranges(network: Path) -> dict[str, tuple[float, float]]:
    """Read the ranges that `write_ranges` wrote.

    Raises
    ------
    InputError
        When the file is missing, damaged, or that of another network.
    """
    path = ranges_file(network)
    advice = "`kaggle-dsb tune` measures them; without the file, precision auto uses floating point"
    if not path.exists():
        raise InputError(
            f"{path}: is missing; hardware.precision = 'int8' needs its activation ranges; {advice}"
        )
    record = read_json(path)
    try:
        ranges = {name: (float(low), float(high)) for name, (low, high) in record["ranges"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not a table of ranges ({error!r}); {advice}") from None
    wrong = [
        name
        for name, ends in ranges.items()
        if not (np.isfinite(ends).all() and ends[0] <= ends[1])
    ]
    if wrong:
        raise InputError(
            f"{path}: {wrong[0]!r} must have a finite range, has {ranges[wrong[0]]}; {advice}"
        )
    if record.get("network_sha256") != digest_of(network):
        raise InputError(f"{path}: was measured with another network than {network.name}; {advice}")
    return ranges


def draw_images(nucleus_px: float) -> Iterator["Images"]:
    """Yield calibration images of every look of the demo set, scaled for the network."""
    for number in range(N_IMAGES):
        image, labels = make_image(number, look=number)
        zoom = choose_zoom(median_diameter(labels), nucleus_px)
        height, width = (round(side * zoom) for side in image.shape[:2])
        scaled = resize(stretch_contrast(image), (height, width))[:SIDE_PX, :SIDE_PX]
        yield to_batch([pad_to_stride(scaled)])


def measure_ranges(model: "Model", images: Iterable["Images"]) -> dict[str, tuple[float, float]]:
    """Measure the ranges of the tensors to be quantised.

    Parameters
    ----------
    model : Model
        With its weights in place.
    images : iterable of (B, 3, H, W) uint8

    Returns
    -------
    dict of str to (float, float)
        The minimum and the maximum of each tensor, averaged over the images, by the name of the
        operation that computes it.
    """
    outputs = _find_inputs_of_convolutions(model)
    ends = [
        reduce(output, np.arange(4), keep_dims=False)
        for output in outputs.values()
        for reduce in (opset13.reduce_min, opset13.reduce_max)
    ]
    watching = openvino.Model(ends, model.get_parameters())
    compiled = openvino.Core().compile_model(watching, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    seen = np.array([[float(end) for end in compiled([image]).values()] for image in images])
    means = seen.mean(axis=0).reshape(-1, 2)
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(outputs, means, strict=True)
    }


def insert_quantizers(model: "Model", ranges: Ranges, *, source: Path) -> None:
    """Insert fake-quantise operations on the inputs and weights of a model's convolutions.

    Raises
    ------
    InputError
        When the range of a tensor is missing.
    """
    for name, output in _find_inputs_of_convolutions(model).items():
        if name not in ranges:
            raise InputError(f"{source}: has no range for {name}, which its network computes")
        takers = [taker for taker in output.get_target_inputs() if not _asks_for_shape(taker)]
        quantized = _quantize(output, *_with_zero(*ranges[name]), levels=LEVELS)
        for taker in takers:
            taker.replace_source_output(quantized)
    for convolution in _convolutions(model):
        weights = convolution.input_value(1)
        largest = np.abs(weights.get_node().get_data()).max(axis=(1, 2, 3), keepdims=True)
        ends = np.maximum(largest, np.finfo(np.float32).tiny)
        quantized = _quantize(weights, -ends, ends, levels=WEIGHT_LEVELS)
        convolution.input(1).replace_source_output(quantized)
    model.validate_nodes_and_infer_types()


def _convolutions(model: "Model") -> list[openvino.Node]:
    """Return the convolutions with constant weights, without the depthwise ones."""
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution"
        and node.input_value(1).get_node().get_type_name() == "Constant"
    ]


def _find_inputs_of_convolutions(model: "Model") -> dict[str, "Output"]:
    """Return the inputs of convolutions and of sums of two feature maps, by their producers."""
    taken = [node.input_value(0) for node in _convolutions(model)]
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add":
            terms = [node.input_value(0), node.input_value(1)]
            taken += terms if all(map(_is_map, terms)) else []
    sources = [source for output in taken for source in _look_behind_moves(output)]
    return {source.get_node().get_friendly_name(): source for source in sources}


def _is_map(output: "Output") -> bool:
    """Return whether a tensor is a feature map: of rank 4 and with a dynamic shape."""
    shape = output.get_partial_shape()
    return bool(shape.is_dynamic and shape.rank.is_static and len(shape) == 4)


def _look_behind_moves(output: "Output") -> Iterator["Output"]:
    """Yield the tensors that a tensor is padded or concatenated from."""
    node = output.get_node()
    kind = node.get_type_name()
    if kind not in MOVING:
        yield output
        return
    for number in range(node.get_input_size() if kind == "Concat" else 1):
        yield from _look_behind_moves(node.input_value(number))


def _asks_for_shape(taker: "openvino.Input") -> bool:
    return bool(taker.get_node().get_type_name() == "ShapeOf")


def _with_zero(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Widen a range so that one of its levels is exactly 0, the value of padding."""
    low, high = min(low, 0.0), max(high, 1e-6)
    step = (high - low) / (LEVELS - 1)
    below = np.rint(-low / step)
    return np.float32(-below * step), np.float32((LEVELS - 1 - below) * step)


def _quantize(output: "Output", low: object, high: object, *, levels: int) -> "Output":
    ends = [opset13.constant(np.asarray(end, np.float32)) for end in (low, high)]
    return opset13.fake_quantize(output, *ends, *ends, levels).output(0)
