import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from kaggle_dsb import files
from kaggle_dsb.config import HardwareSettings, NetworkSettings, PredictionSettings, Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.files import InputError
from kaggle_dsb.network import engines, export, graph
from kaggle_dsb.network.engines import (
    VIEWS,
    OpenVinoEngine,
    choose_engine,
    load_engine,
)
from kaggle_dsb.network.export import export_graph
from kaggle_dsb.network.graph import compile_network, find_graph, name_graph
from kaggle_dsb.network.model import NucleusNet, load_network, save_network
from kaggle_dsb.network.predict import Predictor
from kaggle_dsb.network.torch_engine import TorchEngine
from kaggle_dsb.network.weights import read_network
from kaggle_dsb.workspace.run import BUNDLED

TINY = NetworkSettings(encoder_name="resnet18", encoder_weights=None, decoder_channels=(16, 8))


def network_file(folder, settings=TINY, **facts):
    torch.manual_seed(0)
    path = folder / "fold0.safetensors"
    save_network(path, NucleusNet(settings, pretrained=False), Settings(network=settings), **facts)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small network with random weights, its graph in a cache of its own."""
    folder = tmp_path_factory.mktemp("tiny")
    export_graph(TINY, folder / "kaggle_dsb" / graph.cache_folder().name / name_graph(TINY))
    return network_file(folder)


@pytest.fixture
def cache(tiny, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tiny.parent))


@pytest.fixture(scope="module")
def images():
    """Two views of a drawn image, (2, 3, 128, 160)."""
    image, _ = make_image(1, look=0)
    return np.stack([image[:128, :160], image[64:192, 32:192]]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("tta", sorted(VIEWS))
def test_the_views_are_those_of_ttach(tta):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1)  # no symmetry of its own

    def model(inputs):
        with torch.inference_mode():
            return [torch.sigmoid(network(torch.from_numpy(inputs[0]).float())).numpy()]

    square = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 64)).astype(np.uint8)
    by_ttach = TorchEngine([network], tta=tta)(square)
    assert np.abs(OpenVinoEngine([model], VIEWS[tta])(square) - by_ttach).max() < 1e-5


def test_different_networks_are_combined_alike_by_every_engine():
    networks = []
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        networks.append(torch.nn.Conv2d(3, 3, 3, padding=1))

    def as_model(network):
        def model(inputs):
            with torch.inference_mode():
                return [torch.sigmoid(network(torch.from_numpy(inputs[0]).float())).numpy()]

        return model

    square = np.random.default_rng(0).integers(0, 20, (2, 3, 32, 64)).astype(np.uint8)
    by_torch = TorchEngine(networks, tta="flips")
    by_openvino = OpenVinoEngine([as_model(network) for network in networks], VIEWS["flips"])
    assert np.abs(by_openvino(square) - by_torch(square)).max() < 1e-4
    half = by_torch.half()(square)
    assert np.abs(by_openvino.half()(square) - half).max() < 1e-4
    assert np.abs(TorchEngine(networks[::2], tta="flips")(square) - half).max() < 1e-6


def test_the_mean_of_networks_is_the_same_with_every_engine(tiny, cache, images):
    paths = [tiny, tiny]
    loaded = [
        load_engine(choose_engine(HardwareSettings(engine=name, precision="float32")), paths, tta=t)
        for name, t in [("torch", "flips"), ("openvino", "flips")]
    ]
    reference, other = (engine(images) for engine in loaded)
    assert reference.shape == images.shape
    assert reference.dtype == other.dtype == np.float32
    assert np.abs(reference - other).max() < 0.001
    assert np.abs(loaded[0].first()(images) - loaded[1].first()(images)).max() < 0.001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "is_quantized", "largest", "mean"),
    [
        ("float32", False, 0.01, 1e-4),
        ("bfloat16", False, 0.5, 0.005),
        ("float32", True, 0.5, 0.005),
    ],
)
def test_the_bundled_networks_give_the_same_with_openvino(
    images, precision, is_quantized, largest, mean
):
    path = BUNDLED / "fold0.safetensors"
    reference = TorchEngine([load_network(path)[0]])(images)
    engine = OpenVinoEngine.load(
        [path], tta="none", precision=precision, threads=1, is_quantized=is_quantized
    )
    difference = np.abs(engine(images) - reference)
    assert difference.max() < largest
    assert difference.mean() < mean


def test_the_graph_of_the_default_network_comes_with_the_package():
    assert find_graph(NetworkSettings()).parent == graph.PACKAGED


def test_openvino_leaves_to_the_system_which_core_computes(tiny, cache):
    """Pinned, the single threads of two processes share the first core."""
    model = compile_network(tiny, precision="float32", threads=1)
    assert model.get_property("ENABLE_CPU_PINNING") is False


def test_predicting_on_a_cpu_needs_no_torch(tiny):
    code = f"""
import os, sys
os.environ["XDG_CACHE_HOME"] = {str(tiny.parent)!r}
sys.modules["torch"] = None
import numpy as np
from pathlib import Path
from kaggle_dsb.config import HardwareSettings
from kaggle_dsb.network.engines import choose_engine, load_engine
choice = choose_engine(HardwareSettings(accelerator="cpu", engine="openvino"))
engine = load_engine(choice, [Path({str(tiny)!r})], tta="none", threads=1)
print(engine(np.zeros((1, 3, 32, 64), np.uint8)).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(1, 3, 32, 64)\n", 0), done.stderr


def test_openvino_is_taken_on_a_cpu_and_torch_on_a_gpu(monkeypatch):
    assert choose_engine(HardwareSettings(accelerator="cpu")).name == "openvino"
    monkeypatch.setattr(engines, "choose_device", lambda _: "cuda")
    monkeypatch.setattr(engines, "choose_precision", lambda *_: "float16")
    choice = choose_engine(HardwareSettings())
    assert (choice.name, choice.device, choice.precision) == ("torch", "cuda", "float16")


def test_torch_is_taken_where_openvino_is_not_installed(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name)
    )
    assert choose_engine(HardwareSettings(accelerator="cpu")).name == "torch"
    with pytest.raises(InputError) as error:
        choose_engine(HardwareSettings(engine="openvino"))
    assert str(error.value) == (
        "hardware.engine = 'openvino': openvino is not installed; install it, or the dependencies "
        "of prediction: pip install 'kaggle_dsb[predict]'"
    )


def test_openvino_does_not_pretend_to_use_a_gpu():
    with pytest.raises(InputError) as error:
        choose_engine(HardwareSettings(engine="openvino", accelerator="gpu"))
    assert str(error.value) == (
        "hardware.engine = 'openvino': runs on the CPU only; set hardware.engine=torch to use a GPU"
    )


def test_a_tensor_that_does_not_fit_its_network_is_named(tiny, cache, tmp_path):
    file = read_network(tiny)
    path = network_file(tmp_path)
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = stream.read(size)
    assert header
    import json

    metadata = json.loads(header)["__metadata__"]
    tensors = dict(file.tensors)
    tensors["unet.segmentation_head.0.bias"] = np.zeros(2, np.float16)
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputError) as error:
        compile_network(path, precision="float32", threads=1)
    assert str(error.value) == (
        f"{path}: tensor unet.segmentation_head.0.bias must have shape [3], has [2]"
    )
    del tensors["unet.segmentation_head.0.bias"]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputError) as error:
        compile_network(path, precision="float32", threads=1)
    assert str(error.value) == (
        f"{path}: tensor unet.segmentation_head.0.bias must have shape [3], is missing"
    )


def test_a_graph_that_has_to_be_made_needs_torch(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "kaggle_dsb.network.export", None)
    with pytest.raises(InputError) as error:
        find_graph(NetworkSettings(encoder_name="resnet34"))
    assert str(error.value) == (
        "network.encoder_name = 'resnet34': its OpenVINO graph is not bundled with the package; "
        "building it needs torch and segmentation-models-pytorch, which are not installed"
    )


@pytest.mark.parametrize("can_be_made", [True, False])
def test_a_graph_is_made_once_whoever_asks_for_it(monkeypatch, tmp_path, can_be_made):
    made = []

    def export_slowly(settings, path):
        time.sleep(0.1)
        made.append(path)
        path.touch()

    monkeypatch.setattr(export, "export_graph", export_slowly)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not can_be_made:
        (tmp_path / "cache").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    files._make_temporary.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(find_graph, [NetworkSettings(encoder_name="resnet34")] * 4))
    files._make_temporary.cache_clear()
    assert found == set(made)
    assert len(made) == 1
    assert len([*tmp_path.glob("kaggle_dsb-graphs-*")]) == (not can_be_made)


def test_a_temporary_folder_of_graphs_is_removed_at_the_end(tmp_path):
    code = "from kaggle_dsb.network.graph import cache_folder; print(cache_folder())"
    (tmp_path / "file").touch()
    places = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | places, text=True, stdout=PIPE, check=True
    )
    assert Path(done.stdout.strip()).parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "largest"), [("torch", 1e-6), ("openvino", 0)])
def test_the_bundled_networks_give_the_same_at_any_number_of_threads_and_any_batch(name, largest):
    images = [make_image(number, look=number)[0][:96, :128] for number in (0, 4, 5)]
    settings = PredictionSettings(tta="none", scales=(1.0,))
    choice = choose_engine(HardwareSettings(engine=name))
    results = []
    for threads, batch_px in ((1, 1), (2, 1), (1, 3 * 96 * 128)):
        path = BUNDLED / "fold0.safetensors"
        engine = load_engine(choice, [path], tta="none", threads=threads)
        object.__setattr__(engine, "batch_px", batch_px)  # of a frozen class too
        predictor = Predictor(engine, settings, nucleus_px=28)
        results.append(predictor._predict_at(images, [1.0] * len(images)))
    for other in results[1:]:
        pairs = zip(results[0], other, strict=True)
        assert max(np.abs(one - same).max() for one, same in pairs) <= largest


def test_a_graph_that_fixes_a_size_is_refused(tmp_path, monkeypatch):
    class Fixed(export.NucleusNet):
        def forward(self, image):
            height, width = image.shape[2:]
            return super().forward(image) + torch.arange(int(height) * int(width)).view(
                height, width
            )

    monkeypatch.setattr(export, "NucleusNet", Fixed)
    with pytest.raises(InputError, match=r"computes images of other sizes differently; use hard"):
        export.export_graph(TINY, tmp_path / "a.xml")
    assert not (tmp_path / "a.xml").exists()
