import json
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13

from kaggle_dsb.config import HardwareSettings, NetworkSettings, Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.files import InputError
from kaggle_dsb.network import engines, graph
from kaggle_dsb.network.engines import OpenVinoEngine, choose_engine
from kaggle_dsb.network.export import export_graph
from kaggle_dsb.network.graph import compile_network, name_graph, read_model
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.network.quantize import (
    draw_images,
    insert_quantizers,
    measure_ranges,
    read_ranges,
    write_ranges,
)
from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.workspace.run import BUNDLED, open_run

TINY = NetworkSettings(encoder_name="resnet18", encoder_weights=None, decoder_channels=(16, 8))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small network with random weights and its ranges, its graph in a cache of its own."""
    folder = tmp_path_factory.mktemp("tiny")
    export_graph(TINY, folder / "kaggle_dsb" / graph.cache_folder().name / name_graph(TINY))
    torch.manual_seed(0)
    path = folder / "fold0.safetensors"
    save_network(path, NucleusNet(TINY, pretrained=False), Settings(network=TINY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        write_ranges(path, read_model(path), nucleus_px=28)
    return path


@pytest.fixture
def cache(tiny, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny.parent))


@pytest.fixture
def record(tiny):
    """What the ranges' file holds, to be changed; restored at the end."""
    path = ranges_file(tiny)
    before = path.read_bytes()
    yield json.loads(before)
    path.write_bytes(before)


@pytest.fixture(scope="module")
def images():
    image, _ = make_image(40, look=0)
    return np.ascontiguousarray(image[:192, :224].transpose(2, 0, 1)[None])


def small_model():
    """Two convolutions, of which the second takes the first's sum with its padded input."""
    image = opset13.parameter([-1, 1, -1, -1], np.float32)
    image.set_friendly_name("image")
    weights = opset13.constant(np.full((1, 1, 1, 1), 2, np.float32))
    ends = [[0, 0], [0, 0]]

    def convolve(output, name):
        node = opset13.convolution(output, weights, [1, 1], *ends, [1, 1])
        node.set_friendly_name(name)
        return node

    first = convolve(image, "first")
    total = opset13.add(first, image)
    total.set_friendly_name("total")
    none, one = (opset13.constant(np.array([0, 0, n, n])) for n in (0, 1))
    return openvino.Model([convolve(opset13.pad(total, none, one, "constant"), "second")], [image])


def test_ranges_are_means_over_the_images_of_the_ends():
    images = [np.array(values, np.float32).reshape(1, 1, 1, 2) for values in ([-1, 3], [1, 5])]
    assert measure_ranges(small_model(), images) == {
        "image": (0, 4),
        "first": (0, 8),
        "total": (0, 12),
    }


def test_quantised_tensors_have_256_levels_in_their_range_and_zero_is_one():
    model = small_model()
    insert_quantizers(
        model, {"image": (-1, 4), "first": (-2, 8), "total": (-3, 12)}, source=Path("ranges")
    )
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    values = np.linspace(-2, 5, 5000, dtype=np.float32).reshape(1, 1, 1, -1)
    (result,) = compiled([values]).values()
    middle = result[0, 0, 0, :-1]
    assert np.all(result[0, 0, 1] == 0)  # what was padded
    assert 100 < np.unique(middle.round(4)).size <= 256
    inside = (values[0, 0, 0] > -0.9) & (values[0, 0, 0] < 3.9)
    assert np.abs(middle - 6 * values[0, 0, 0])[inside].max() < 6 * 5 / 255 + 2 * 15 / 255
    assert middle.max() == pytest.approx(24, abs=0.3)  # the range's end


def test_probabilities_in_8_bits_are_close(tiny, cache, images):
    exact, eight = (
        OpenVinoEngine.load([tiny], tta="none", precision="float32", threads=1, is_quantized=q)
        for q in (False, True)
    )
    difference = np.abs(exact(images) - eight(images))
    assert 0 < difference.max() < 0.05


def test_ranges_are_the_same_at_every_measurement(tiny, cache):
    ranges = measure_ranges(read_model(tiny), draw_images(28))
    assert {name: pytest.approx(ends, rel=1e-3) for name, ends in ranges.items()} == read_ranges(
        tiny
    )


def test_8_bits_are_chosen_where_cpu_and_all_networks_allow_it(tiny, tmp_path, monkeypatch):
    other = tmp_path / "fold1.safetensors"
    for has_int8, networks, expected in [
        (True, [tiny], True),
        (True, [tiny, other], False),
        (True, [], False),
        (False, [tiny], False),
    ]:
        monkeypatch.setattr(engines, "has_int8", lambda has=has_int8: has)
        hardware = HardwareSettings(accelerator="cpu", engine="openvino")
        assert choose_engine(hardware, networks).is_quantized == expected
        for precision, is_quantized in [("int8", True), ("bfloat16", False), ("float32", False)]:
            asked = hardware.model_copy(update={"precision": precision})
            assert choose_engine(asked, networks).is_quantized == is_quantized


def test_torch_does_not_compute_in_8_bits():
    with pytest.raises(InputError) as error:
        choose_engine(HardwareSettings(accelerator="cpu", engine="torch", precision="int8"))
    assert str(error.value) == (
        "hardware.precision = 'int8': only OpenVINO computes in it, and only to predict; auto is "
        "the fastest here"
    )


ADVICE = "`kaggle-dsb tune` measures them; without the file, precision auto uses floating point"


def test_a_network_that_takes_the_place_of_another_leaves_no_ranges_behind(tmp_path):
    path = tmp_path / "fold0.safetensors"
    ranges_file(path).write_text("{}")
    save_network(path, NucleusNet(TINY, pretrained=False), Settings(network=TINY))
    assert [file.name for file in tmp_path.iterdir()] == ["fold0.safetensors"]


def test_missing_ranges_are_named(tmp_path):
    with pytest.raises(InputError) as error:
        read_ranges(tmp_path / "fold2.safetensors")
    assert str(error.value) == (
        f"{tmp_path}/fold2.ranges.json: is missing; hardware.precision = 'int8' needs its "
        f"activation ranges; {ADVICE}"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_sha256": "0"}, "was measured with another network than fold0.safetensors"),
        ({"ranges": None}, "is not a table of ranges"),
        ({"ranges": {"x": [1]}}, "is not a table of ranges"),
        ({"ranges": {"x": ["a", 1]}}, "is not a table of ranges"),
        ({"ranges": {"x": [2, 1]}}, "'x' must have a finite range, has (2.0, 1.0)"),
        ({"ranges": {"x": [0, float("nan")]}}, "'x' must have a finite range, has (0.0, nan)"),
    ],
)
def test_wrong_ranges_are_refused(tiny, record, change, message):
    ranges_file(tiny).write_text(json.dumps(record | change))
    with pytest.raises(InputError) as error:
        read_ranges(tiny)
    assert str(error.value).startswith(f"{ranges_file(tiny)}: {message}")
    assert str(error.value).endswith(ADVICE)


def test_a_tensor_without_a_range_is_named(tiny, cache, record):
    name = min(record["ranges"])
    del record["ranges"][name]
    ranges_file(tiny).write_text(json.dumps(record))
    with pytest.raises(InputError) as error:
        compile_network(tiny, precision="float32", threads=1, is_quantized=True)
    assert str(error.value) == (
        f"{ranges_file(tiny)}: has no range for {name}, which its network computes"
    )


def test_every_bundled_network_has_its_ranges():
    run = open_run(BUNDLED)
    for path in (*run.networks.values(), *run.fast().networks.values()):
        assert len(read_ranges(path)) == 67
