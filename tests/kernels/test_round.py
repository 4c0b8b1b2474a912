"""The whole round from the command line: data, train, bundle, push, output, submit, score.

Kaggle is a server on this computer; what is pushed to it runs on an emulated machine. Run with
``-s``, it shows the transcript.
"""

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kaggle_dsb.dataset.demo import write_demo

TESTS = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]
TINY = """
[network]
decoder_channels = [8, 8, 8, 8, 8]
[folds]
n_folds = 2
[augment]
crop_px = 64
[training]
epochs = 1
crops_per_epoch = 2
batch_size = 2
validate_every_epochs = 1
[prediction]
tta = "none"
[hardware]
precision = "float32"
"""


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


emulate = load("emulate", TESTS / "kernels" / "emulate.py")
fake_kaggle = load("fake_kaggle", TESTS / "publish" / "fake_kaggle.py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not emulate.may_emulate(), reason="only root may make name spaces here"),
]


def pack_competition(demo: Path) -> bytes:
    """Pack demo data as Kaggle serves the competition: zips in a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as outer:
        for name in ("stage1_train", "stage1_test"):
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as one:
                for path in sorted((demo / name).rglob("*.png")):
                    one.write(path, path.relative_to(demo / name))
            outer.writestr(f"{name}.zip", inner.getvalue())
    return packed.getvalue()


class Round:
    """A user's folder, the server, and the machine that runs what is pushed."""

    def __init__(self, folder: Path, server: Any, python: Path) -> None:
        self.folder = folder
        self.server = server
        self._python = python
        self.pictures: dict[str, bytes] = {}
        server.run_kernel = self.run_kernel

    def call(self, *words: str) -> str:
        """Run the command line in the user's folder and give what it prints."""
        print(f"$ kaggle-dsb {' '.join(words)}", flush=True)
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=os.environ
            | {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "HOME": str(self.folder / "home")}
            | {"KAGGLE_USERNAME": fake_kaggle.USER, "KAGGLE_KEY": fake_kaggle.KEY},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stderr + done.stdout, flush=True)
        assert done.returncode == 0
        assert fake_kaggle.KEY not in done.stdout + done.stderr
        return done.stdout

    def run_kernel(self, request: dict[str, Any]) -> tuple[str, dict[str, bytes], str]:
        """Run a pushed script with what was uploaded, as Kaggle would."""
        assert request["enableInternet"] is False
        with emulate.start_machine(self.folder / "machine", self._python) as machine:
            (ref,) = request["datasetDataSources"]
            for name, content in self.server.datasets[ref][-1].items():
                (machine.input / "datasets" / ref).mkdir(parents=True, exist_ok=True)
                (machine.input / "datasets" / ref / name).write_bytes(content)
            data = machine.input / "competitions" / request["competitionDataSources"][0]
            data.mkdir(parents=True)
            packed = io.BytesIO(self.server.files["data-science-bowl-2018.zip"])
            zipfile.ZipFile(packed).extractall(data)
            script = machine.root / "script.py"
            script.write_text(request["text"])
            done = machine.run(script)
            log = json.dumps([{"stream_name": "all", "data": done.stdout + done.stderr}])
            files = [path for path in machine.working.rglob("*") if path.is_file()]
            output = {str(p.relative_to(machine.working)): p.read_bytes() for p in files}
        return ("COMPLETE" if done.returncode == 0 else "ERROR"), output, log


@pytest.fixture
def whole_round(tmp_path: Path) -> Iterator[Round]:
    fake = fake_kaggle.FakeKaggle()
    try:
        running = fake_kaggle.start_server(fake, port=80)
    except OSError as error:
        pytest.skip(f"port 80 of this computer cannot be bound ({error.strerror})")
    write_demo(tmp_path / "demo", n_train=8, n_test=2)
    fake.files["data-science-bowl-2018.zip"] = pack_competition(tmp_path / "demo")
    (tmp_path / "home").mkdir()
    (tmp_path / "tiny.toml").write_text(TINY)
    shutil.copytree(TESTS.parent / "kernels", tmp_path / "kernels")
    yield Round(tmp_path, fake, emulate.make_image(tmp_path / "venv"))
    fake_kaggle.stop_server(running)


def test_the_whole_round(whole_round: Round) -> None:
    call, folder = whole_round.call, whole_round.folder
    call("download", "--data", "data")
    call("train", "--data", "data", "--name", "tiny", "--config", "tiny.toml")
    call("submit", "--data", "data", "--name", "home", "--weights", "runs/tiny")
    call("bundle", "--weights", "runs/tiny")
    assert call("bundle-push") == "ada/kaggle-dsb-bundle\n"
    call("push", "submit", "--hardware", "cpu")
    fetched = folder / "build" / "output" / "submit"
    at_home = folder / "submissions" / "home"
    assert (fetched / "submission.csv").read_bytes() == (at_home / "submission.csv").read_bytes()
    assert len(list(fetched.glob("stage1_test_*.png"))) == 2
    said = call("kaggle-submit", "--data", "data", "--name", "home", "--message", "tiny")
    assert said == "public score 0.55, private score 0.61\n"
    score = json.loads((at_home / "score.json").read_text())["kaggle"]
    assert (score["public_score"], score["private_score"]) == (0.55, 0.61)
    assert fake_kaggle.read_secrets_in(folder) == []
