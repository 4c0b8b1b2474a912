"""Both kernels, run as Kaggle would run them: its folders, its packages, no network."""

import re
import shutil
import socket
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from kaggle_dsb.cli import run
from tests.kernels.conftest import TINY
from tests.kernels.emulate import Machine

KERNELS = Path(__file__).parents[2] / "kernels"
pytestmark = pytest.mark.slow


def change(script: str, **values: str) -> str:
    """Set constants of a script to other values."""
    for name, value in values.items():
        assert script.count(f"\n{name} = ") == 1
        head, _, rest = script.partition(f"\n{name} = ")
        script = f"{head}\n{name} = {value}\n{rest.partition(chr(10))[2]}"
    return script


def start_kernel(machine: Machine, name: str, **values: str) -> subprocess.CompletedProcess[str]:
    script = machine.root / "script.py"
    script.write_text(change((KERNELS / name / f"{name}.py").read_text(), **values))
    return machine.run(script)


def run_kernel(machine: Machine, name: str, **values: str) -> str:
    done = start_kernel(machine, name, **values)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def at_home(folder: Path, *arguments: str | Path) -> None:
    folder.mkdir(exist_ok=True)
    with chdir(folder):
        assert run([str(argument) for argument in arguments]) == 0


def test_the_emulated_machine_is_kaggles(machine: Machine) -> None:
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


@pytest.mark.parametrize("name", ["submit", "train"])
def test_a_source_that_is_not_mounted_is_told_with_how_to_go_on(
    machine: Machine, name: str
) -> None:
    done = start_kernel(machine, name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "no kaggle_dsb-*.whl below /kaggle/input: the data set kaggle-dsb-bundle is not attached, "
        "or not mounted yet, as happens on the first run with a new source. See Input at the "
        "right, and run this once more.\n"
    )


def test_an_unfinished_training_is_not_predicted_with(machine: Machine, tiny_run: Path) -> None:
    run = machine.input / "kaggle-dsb-train" / "runs" / "kaggle"
    shutil.copytree(tiny_run, run)
    (run / "folds.csv").write_text(
        "ImageId,source,type,group,fold\na,b,tissue,0,0\nc,b,tissue,1,2\n"
    )
    done = start_kernel(machine, "submit")
    assert done.returncode == 1
    assert done.stderr == (
        "/kaggle/input/kaggle-dsb-train/runs/kaggle: has no network of fold 2: the training has "
        "not finished. Run the train kernel again with its own output attached, then this one.\n"
    )


def test_two_gpus_make_the_submission_that_is_made_at_home(
    attached: Machine, tiny_run: Path, tmp_path: Path
) -> None:
    machine = attached
    said = run_kernel(machine, "submit", N_PROCESSES="2")
    assert re.search(r"^stage1_test: 2 images, [1-9]\d* nuclei$", said, re.MULTILINE)
    for set_name in ("stage1_test", "stage2_test_final"):
        pictures = list(machine.working.glob(f"{set_name}_*.png"))
        assert [path.read_bytes()[:4] for path in pictures] == [b"\x89PNG"] * 2
        assert {path.name for path in (machine.working / set_name).iterdir()} == {
            "config.toml",
            "made.json",
            "submission.csv",
        }
    made = (machine.working / "submission.csv").read_bytes()
    assert made == (machine.working / "stage2_test_final" / "submission.csv").read_bytes()

    data = machine.input / "competitions" / "data-science-bowl-2018"
    options = ["--data", data, "--weights", tiny_run, "--set-name", "stage2_test_final"]
    at_home(tmp_path / "home", "submit", "--name", "home", *options)
    assert made == (tmp_path / "home" / "submissions" / "home" / "submission.csv").read_bytes()


def test_training_goes_on_from_the_output_of_an_earlier_run(
    attached: Machine, tmp_path: Path
) -> None:
    data = attached.input / "competitions" / "data-science-bowl-2018"
    settings = [word for setting in (*TINY, "folds.n_folds=2") for word in ("--set", setting)]
    first = ["--name", "kaggle", "--fold", "0", "--data", data]
    at_home(tmp_path / "home", "train", *first, *settings)
    output = attached.input / "notebooks" / "ada" / "kaggle-dsb-train" / "runs"
    shutil.move(tmp_path / "home" / "runs", output)

    said = run_kernel(attached, "train", SETTINGS=repr(TINY), N_FOLDS="2")
    mounted = "/kaggle/input/notebooks/ada/kaggle-dsb-train/runs/kaggle"
    assert said.startswith(f"going on with {mounted}\n")
    run = attached.working / "runs" / "kaggle"
    kept = (output / "kaggle" / "fold0.safetensors").read_bytes()
    assert (run / "fold0.safetensors").read_bytes() == kept
    assert {"config.toml", "folds.csv", "fold1.safetensors", "validation.json"} <= {
        path.name for path in run.iterdir()
    }
    assert (attached.working / "out_of_fold.csv").exists()
