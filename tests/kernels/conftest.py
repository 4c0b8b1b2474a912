"""An emulated machine of Kaggle's, and small data and networks for it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kaggle_dsb.config import (
    HardwareSettings,
    InstanceSettings,
    NetworkSettings,
    PredictionSettings,
    Settings,
)
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.publish.bundle import build_bundle
from kaggle_dsb.settings_files import write_settings
from tests.kernels import emulate

ENCODER = "tu-test_efficientnet"  # one that timm makes for tests
TINY = [
    f"network.encoder_name={ENCODER}",
    "network.encoder_weights=",
    "network.decoder_channels=[8, 8, 8, 8, 8]",
    "augment.crop_px=64",
    "training.epochs=1",
    "training.crops_per_epoch=2",
    "training.batch_size=2",
    "training.validate_every_epochs=1",
    'prediction.tta="none"',
    "prediction.scales=[1]",
    'hardware.precision="float32"',
]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not emulate.may_emulate():
        pytest.skip("only root may make name spaces here")
    return emulate.make_image(tmp_path_factory.mktemp("image") / "venv")


@pytest.fixture
def own_python(tmp_path: Path, python: Path) -> Path:
    """The image's Python in a copy, into which a kernel may install."""
    copied = shutil.copytree(python.parents[1], tmp_path / "venv", symlinks=True)
    return copied / "bin" / "python"


@pytest.fixture
def machine(tmp_path: Path, own_python: Path) -> Iterator[emulate.Machine]:
    """A machine with four training and two test images, as Kaggle mounts a competition."""
    with emulate.start_machine(tmp_path / "kaggle", own_python) as started:
        write_demo(tmp_path / "demo", n_train=4, n_test=2, largest_px=128)
        data = started.input / "competitions" / "data-science-bowl-2018"
        data.mkdir(parents=True)
        for name in ("stage1_train", "stage1_test"):
            shutil.make_archive(str(data / name), "zip", tmp_path / "demo" / name)
        shutil.make_archive(str(data / "stage2_test_final"), "zip", tmp_path / "demo/stage1_test")
        shutil.copy(tmp_path / "demo" / "stage1_sample_submission.csv", data)
        yield started


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two small networks without any training, which find nuclei all the same."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    settings = Settings(
        network=NetworkSettings(
            encoder_name=ENCODER, encoder_weights=None, decoder_channels=(8, 8, 8, 8, 8)
        ),
        prediction=PredictionSettings(tta="none", scales=(1.0,)),
        instances=InstanceSettings(body_threshold=0.5, seed_threshold=0.385, min_seed_px=1),
        hardware=HardwareSettings(engine="torch", precision="float32"),
    )
    for fold in range(2):
        torch.manual_seed(fold)
        network = NucleusNet(settings.network, pretrained=False)
        save_network(folder / f"fold{fold}.safetensors", network, settings, fold=fold, score=0.0)
    write_settings(folder / "config.toml", settings)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Path:
    """A bundle of that run."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    networks = sorted(tiny_run.glob("fold*.safetensors"))
    return build_bundle(folder, networks=networks, about=[tiny_run / "config.toml"]).folder


@pytest.fixture
def attached(machine: emulate.Machine, bundle: Path) -> emulate.Machine:
    """The machine with the bundle where Kaggle would mount it."""
    shutil.copytree(bundle, machine.input / "datasets" / "ada" / "kaggle-dsb-bundle")
    return machine
