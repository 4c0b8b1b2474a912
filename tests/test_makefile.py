"""The Makefile forwards to the verbs as README and tutorial show it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORWARDS = {
    "download DATA=d": 'download --data "d"',
    "data DATA=d ARGS=--info": 'data --data "d" --info',
    "submit": "submit",
    "submit DATA=downloads NAME=first": 'submit --name "first" --data "downloads"',
    "submit ARGS=--fast": "submit --fast",
    "train DATA=d NAME=mine PROFILE=gpu": 'train --name "mine" --data "d" --config "gpu"',
    "train EXTRA='my cells,more'": 'train --extra "my cells" --extra "more"',
    "validate FOREIGN=a,b": 'validate --foreign "a" --foreign "b"',
    "tune DATA=d WEIGHTS=runs/mine": 'tune --data "d" --weights "runs/mine"',
    "validate WEIGHTS=w": 'validate --weights "w"',
    "score DATA=d NAME=first": 'score --name "first" --data "d"',
    "report NAME=first": 'report "first"',
    "report DATA=d WEIGHTS=runs/a ARGS=--oof": 'report --data "d" --weights "runs/a" --oof',
    "compare A=a.csv B=b.csv": 'compare "a.csv" "b.csv"',
    "compare": "compare",
    "curves NAME=mine": 'curves "runs/mine"',
    "curves": "curves",
    "experiment NAME=wider ARGS='--set a.b=1'": 'experiment "wider" --set a.b=1',
    "experiment NAME=wider WEIGHTS=runs/a": 'experiment "wider" --against "runs/a"',
    "diagnose DATA=d": 'validate --errors --data "d"',
    "robustness ARGS='--every 8'": "validate --disturbed --every 8",
    "gallery ARGS=--groups": "gallery --groups",
    "leaderboard": "leaderboard",
    "push NAME=submit WEIGHTS=runs/mine": 'push "submit" --weights "runs/mine"',
    "push NAME=train ARGS=--trained": 'push "train" --trained',
    "kaggle-submit NAME=first MESSAGE='what it is'": (
        'kaggle-submit --name "first" --message "$MESSAGE"'
    ),
}


def make(arguments: str) -> list[str]:
    """Return the lines that a call of make would run or prints."""
    command = f"make --no-print-directory {arguments}"
    done = subprocess.run(
        command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.mark.parametrize("call", FORWARDS)
def test_make_forwards_to_the_verb(call):
    assert make(f"-n -o .venv/.installed {call}") == [f".venv/bin/kaggle-dsb {FORWARDS[call]}"]


def test_make_help_lists_targets_and_verbs_once():
    said = make("help")
    assert any(line.startswith("setup ") for line in said)
    assert sum(line.startswith("data ") for line in said) == 1
    assert "submit Predict the test images and write a checked submission." in said


def test_the_demo_picture_is_of_no_run_and_no_data_of_the_user():
    said = make("-n -o .venv/.installed demo-picture")
    assert said == [".venv/bin/python docs/draw_demo.py"]


def test_clean_keeps_what_was_fetched_from_kaggle(tmp_path):
    kept = {"build/output/submit/submission.csv", "build/pushed.json", "kaggle_dsb/cli.py"}
    for name in (*kept, "build/bundle/fold0.safetensors", "tests/__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    make(f"-C {tmp_path} -f {ROOT / 'Makefile'} clean")
    left = (path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert set(map(str, left)) == kept
