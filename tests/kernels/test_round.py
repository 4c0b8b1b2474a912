"""The whole round from the command line: data, bundle, push, output, submit, score.

Kaggle is a server on this computer; what is pushed to it runs on an emulated machine. Run with
``-s``, it shows the transcript.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaggle_dsb.dataset.demo import write_demo
from tests.kernels import emulate
from tests.publish import fake_kaggle

KERNELS = Path(__file__).parents[2] / "kernels"
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]
pytestmark = pytest.mark.slow


def pack_competition(demo: Path) -> bytes:
    """Pack demo data as Kaggle serves the competition: zips in a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as outer:
        for name in ("stage1_train", "stage1_test"):
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w") as inner_zip:
                for path in sorted((demo / name).rglob("*.png")):
                    inner_zip.write(path, path.relative_to(demo / name))
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
        """Run the command line in the user's folder and return what it prints."""
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
            bundle = machine.input / ref.partition("/")[2]  # as Kaggle mounts older sources
            bundle.mkdir()
            for name, content in self.server.datasets[ref][-1].items():
                (bundle / name).write_bytes(content)
            data = machine.input / request["competitionDataSources"][0]
            data.mkdir()
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
def whole_round(tmp_path: Path, own_python: Path) -> Iterator[Round]:
    fake = fake_kaggle.FakeKaggle()
    try:
        running = fake_kaggle.start_server(fake, port=80)  # where the client looks for LOCALHOST
    except OSError as error:
        pytest.skip(f"port 80 of this computer cannot be bound ({error.strerror})")
    write_demo(tmp_path / "demo", n_train=1, n_test=2, largest_px=128)
    fake.files["data-science-bowl-2018.zip"] = pack_competition(tmp_path / "demo")
    (tmp_path / "home").mkdir()
    shutil.copytree(KERNELS, tmp_path / "kernels")
    yield Round(tmp_path, fake, own_python)
    fake_kaggle.stop_server(running)


def test_the_whole_round(whole_round: Round, tiny_run: Path) -> None:
    call, folder = whole_round.call, whole_round.folder
    weights = ["--weights", str(tiny_run)]
    call("download", "--data", "data")
    call("submit", "--data", "data", "--name", "home", *weights)
    call("push", "submit", "--hardware", "cpu", "--no-wait", *weights)
    call("fetch", "submit")
    fetched = folder / "build" / "output" / "submit"
    at_home = folder / "submissions" / "home"
    assert (fetched / "submission.csv").read_bytes() == (at_home / "submission.csv").read_bytes()
    assert len(list(fetched.glob("stage1_test_*.png"))) == 2
    said = call("kaggle-submit", "--data", "data", "--name", "home", "--message", "tiny")
    assert said == "public score 0.55, private score 0.61\n"
    score = json.loads((at_home / "score.json").read_text())["kaggle"]
    assert (score["public_score"], score["private_score"]) == (0.55, 0.61)
    assert fake_kaggle.read_secrets_in(folder) == []
