"""Train the folds on Kaggle's GPUs, without internet, one fold a GPU at a time.

It installs the package from the attached bundle and runs the commands that are run at home. A
training that does not end in time goes on where it stopped, once this kernel is pushed again with
its own output attached.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUT = Path("/kaggle/input")
OUTPUT = Path("/kaggle/working")
CACHE = str(Path(tempfile.gettempdir(), "kaggle-dsb"))
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]
SETTINGS = []  # what differs from the defaults, as "training.epochs=12"
N_FOLDS = 4
END_S = time.monotonic() + 11 * 3600  # Kaggle stops a run after 12 hours and keeps nothing of it


def find(pattern):
    """Find the first file of this name; Kaggle mounts its sources at more than one depth."""
    depths = (sorted(INPUT.glob("*/" * depth + pattern)) for depth in range(1, 6))
    return next((found[0] for found in depths if found), None)


def install():
    """Install the package and what Kaggle's image lacks, from the bundle."""
    wheel = find("kaggle_dsb-*.whl")
    if wheel is None:
        sys.exit(f"no kaggle_dsb-*.whl below {INPUT}: attach the data set kaggle-dsb-bundle")
    wheels = map(str, sorted(wheel.parent.glob("*.whl")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, *wheels], check=True)


def count_gpus():
    """Count the GPUs; 0 on a machine without."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.count("UUID")


def start(fold, gpu, options):
    """Start the training of a fold that sees only this GPU."""
    command = [*COMMAND, "train", "--name", "kaggle", "--fold", str(fold), *options]
    return subprocess.Popen(["env", f"CUDA_VISIBLE_DEVICES={gpu}", *command], cwd=OUTPUT)


def end(process):
    """Wait for a training; when the time is over stop it, its last epoch is on the disk."""
    try:
        return process.wait(max(0, END_S - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait()


install()
found = find("stage1_train.zip") or find("stage1_train")
if found is None:
    sys.exit(f"no stage1_train below {INPUT}: attach the competition data-science-bowl-2018")
begun = find("runs/kaggle/config.toml")
if begun:
    print(f"going on with {begun.parent}", flush=True)
    shutil.copytree(begun.parent, OUTPUT / "runs" / "kaggle", dirs_exist_ok=True)

data = ["--data", str(found.parent), "--work", CACHE]
settings = [word for setting in SETTINGS for word in ("--set", setting)]
settings += ["--set", f"folds.n_folds={N_FOLDS}"]
subprocess.run([*COMMAND, "data", *data], cwd=OUTPUT, check=True)
n_at_once = max(1, count_gpus())
for first in range(0, N_FOLDS, n_at_once):
    folds = range(first, min(first + n_at_once, N_FOLDS))
    running = [start(fold, fold - first, [*data, *settings]) for fold in folds]
    ends = [end(process) for process in running]
    if time.monotonic() > END_S:
        print("out of time: push this kernel again with its own output attached")
        sys.exit(0)
    if any(ends):
        sys.exit(f"folds {list(folds)} ended with exit codes {ends}")
score = ["validate", "--weights", "runs/kaggle", "--save", "out_of_fold.csv", *data]
subprocess.run([*COMMAND, *score], cwd=OUTPUT, check=True)
