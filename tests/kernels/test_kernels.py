"""Both kernels, run as Kaggle would run them: its folders, its packages, no network."""

import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kaggle_dsb.dataset.demo import write_demo

ROOT = Path(__file__).parents[2]
TINY = [
    "network.decoder_channels=[8, 8, 8, 8, 8]",
    "augment.crop_px=64",
    "training.epochs=1",
    "training.crops_per_epoch=2",
    "training.batch_size=2",
    "training.validate_every_epochs=1",
    'prediction.tta="none"',
    'hardware.precision="float32"',
]


def load_emulation() -> ModuleType:
    path = Path(__file__).with_name("emulate.py")
    spec = importlib.util.spec_from_file_location("emulate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["emulate"] = module
    spec.loader.exec_module(module)
    return module


emulate = load_emulation()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not emulate.may_emulate(), reason="only root may make name spaces here"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emulate.make_image(tmp_path_factory.mktemp("image") / "venv")


@pytest.fixture
def machine(tmp_path: Path, python: Path) -> Iterator["emulate.Machine"]:
    """A machine with two training and two test images, as Kaggle mounts a competition."""
    site = python.parents[1]
    own_python = shutil.copytree(site, tmp_path / "venv", symlinks=True) / "bin" / "python"
    with emulate.start_machine(tmp_path / "kaggle", own_python) as started:
        write_demo(tmp_path / "demo", n_train=8, n_test=2)
        data = started.input / "competitions" / "data-science-bowl-2018"
        data.mkdir(parents=True)
        for name in ("stage1_train", "stage1_test"):
            shutil.make_archive(str(data / name), "zip", tmp_path / "demo" / name)
        shutil.make_archive(str(data / "stage2_test_final"), "zip", tmp_path / "demo/stage1_test")
        shutil.copy(tmp_path / "demo" / "stage1_sample_submission.csv", data)
        yield started


def attach_bundle(machine: "emulate.Machine", networks: Path | None) -> Path:
    """Build the bundle where Kaggle would mount it."""
    from kaggle_dsb.publish.bundle import build_bundle

    folder = machine.input / "datasets" / "ada" / "kaggle-dsb-bundle"
    found = sorted(networks.glob("fold*.safetensors")) if networks else []
    about = [networks / "config.toml"] if networks else []
    build_bundle(folder, networks=found, about=about)
    return folder


def run_kernel(machine: "emulate.Machine", name: str, **changes: str) -> str:
    script = (ROOT / "kernels" / name / f"{name}.py").read_text()
    for old, new in changes.items():
        assert script.count(f"\n{old} = ") == 1
        head, _, rest = script.partition(f"\n{old} = ")
        script = f"{head}\n{old} = {new}\n{rest.partition(chr(10))[2]}"
    path = machine.root / "script.py"
    path.write_text(script)
    done = machine.run(path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def at_home(folder: Path, *arguments: str | Path) -> None:
    command = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]
    folder.mkdir(exist_ok=True)
    subprocess.run([*command, *map(str, arguments)], cwd=folder, check=True, capture_output=True)


def test_the_emulated_machine_is_kaggles(machine: "emulate.Machine") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        script = f"""
import importlib.util, socket, sys
from pathlib import Path
for name in ("segmentation_models_pytorch", "ttach", "tomli_w", "kaggle_dsb"):
    assert importlib.util.find_spec(name) is None, name
for name in ("torch", "timm", "pip"):
    assert importlib.util.find_spec(name) is not None, name
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
    sys.exit("there is a network")
except OSError:
    pass
try:
    Path("/kaggle/input/new").write_text("x")
    sys.exit("the input can be written to")
except OSError as error:
    assert error.strerror == "Read-only file system", error
Path("new").write_text("x")
"""
        done = machine.run("-c", script)
    assert done.returncode == 0, done.stderr
    assert (machine.working / "new").read_text() == "x"


def test_the_kernels_make_what_is_made_at_home(machine: "emulate.Machine", tmp_path: Path) -> None:
    """Train at Kaggle, go on from its output, predict with it there, and the same at home."""
    attach_bundle(machine, None)
    run_kernel(machine, "train", SETTINGS=repr(TINY), N_FOLDS="2")
    run = machine.working / "runs" / "kaggle"
    assert {path.name for path in run.glob("*.*")} >= {
        "config.toml",
        "folds.csv",
        "fold0.safetensors",
        "fold1.safetensors",
    }
    assert (machine.working / "out_of_fold.csv").exists()

    # The next version of the kernel has the output of this one attached, less a fold.
    output = machine.input / "notebooks" / "ada" / "kaggle-dsb-train" / "runs"
    shutil.move(machine.working / "runs", output)
    kept = (output / "kaggle" / "fold0.safetensors").read_bytes()
    (output / "kaggle" / "fold1.safetensors").unlink()
    shutil.rmtree(output / "kaggle" / "fold1")
    said = run_kernel(machine, "train", SETTINGS=repr(TINY), N_FOLDS="2")
    attached = "/kaggle/input/notebooks/ada/kaggle-dsb-train/runs/kaggle"
    assert said.startswith(f"going on with {attached}\n")
    assert (run / "fold0.safetensors").read_bytes() == kept
    assert (run / "fold1.safetensors").exists()

    (output / "kaggle" / "fold1.safetensors").write_bytes((run / "fold1.safetensors").read_bytes())
    run_kernel(machine, "submit")
    for set_name in ("stage1_test", "stage2_test_final"):
        pictures = list(machine.working.glob(f"{set_name}_*.png"))
        assert [path.read_bytes()[:4] for path in pictures] == [b"\x89PNG"] * 2
    made = (machine.working / "submission.csv").read_bytes()
    assert made == (machine.working / "stage2_test_final" / "submission.csv").read_bytes()

    data = machine.input / "competitions" / "data-science-bowl-2018"
    options = ["--data", data, "--weights", output / "kaggle", "--set-name", "stage2_test_final"]
    at_home(tmp_path / "home", "submit", "--name", "home", *options)
    assert made == (tmp_path / "home" / "submissions" / "home" / "submission.csv").read_bytes()
