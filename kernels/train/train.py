# %% [markdown]
"""
Train the folds on Kaggle's GPUs, one fold a GPU at a time.

It runs without internet: it installs the package from the attached bundle and runs the commands
that are run at home. A training that does not end in time goes on where it stopped, once this
kernel runs again with its own output attached. Attach the data set `kaggle-dsb-bundle` and the
competition `data-science-bowl-2018`.
"""

# %%
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUT = Path("/kaggle/input")
OUTPUT = Path("/kaggle/working")
RUN = OUTPUT / "runs" / "kaggle"
CACHE = str(Path(tempfile.gettempdir(), "kaggle-dsb"))
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]
SETTINGS = []  # what differs from the defaults, as "training.epochs=12"
N_FOLDS = 4
END_S = time.monotonic() + 11 * 3600  # Kaggle stops a run after 12 hours and keeps nothing of it

# %% [markdown]
"""
Find what is attached. Kaggle mounts a source at `/kaggle/input/slug`, or at
`/kaggle/input/datasets/owner/slug` and `/kaggle/input/competitions/slug`.
"""


# %%
def find(pattern):
    """Find the first file of this name, at whatever depth Kaggle mounts its source."""
    depths = (sorted(INPUT.glob("*/" * depth + pattern)) for depth in range(1, 6))
    return next((paths[0] for paths in depths if paths), None)


def require(pattern, source):
    """Find a file, or say how to go on without it."""
    path = find(pattern)
    if path is None:
        sys.exit(
            f"no {pattern} below {INPUT}: {source} is not attached, or not mounted yet, as happens "
            "on the first run with a new source. See Input at the right, and run this once more."
        )
    return path


def install():
    """Install the package and what Kaggle's image lacks, from the bundle."""
    wheel = require("kaggle_dsb-*.whl", "the data set kaggle-dsb-bundle")
    wheels = map(str, sorted(wheel.parent.glob("*.whl")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, *wheels], check=True)


def run(verb, *options):
    """Run a command as at home."""
    subprocess.run([*COMMAND, verb, *options], cwd=OUTPUT, check=True)


install()
train_images = find("stage1_train.zip") or require("stage1_train", "data-science-bowl-2018")
begun = find("runs/kaggle/config.toml")
if begun:
    print(f"going on with {begun.parent}", flush=True)
    shutil.copytree(begun.parent, RUN, dirs_exist_ok=True)

# %% [markdown]
"""
Train.
"""


# %%
def count_gpus():
    """Count the GPUs; 0 on a machine without."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.count("UUID")


def start(fold, gpu, options):
    """Start the training of a fold that sees only this GPU, and return the process."""
    command = [*COMMAND, "train", "--name", "kaggle", "--fold", str(fold), *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}
    return subprocess.Popen(command, cwd=OUTPUT, env=environment)


def end(process):
    """Wait for a training; when the time is over stop it, its last epoch is on the disk."""
    try:
        return process.wait(max(0, END_S - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait()


def train(options):
    """Train the folds that are not whole yet, and return whether the time was enough."""
    networks = [RUN / f"fold{fold}.safetensors" for fold in range(N_FOLDS)]
    missing = [fold for fold, network in enumerate(networks) if not network.exists()]
    n_at_once = max(1, count_gpus())
    for first in range(0, len(missing), n_at_once):
        folds = missing[first : first + n_at_once]
        running = [start(fold, gpu, options) for gpu, fold in enumerate(folds)]
        exit_codes = [end(process) for process in running]
        if time.monotonic() > END_S:
            return False
        if any(exit_codes):
            sys.exit(f"folds {folds} ended with exit codes {exit_codes}")
    return True


data = ["--data", str(train_images.parent), "--work", CACHE]
settings = [word for setting in SETTINGS for word in ("--set", setting)]
settings += ["--set", f"folds.n_folds={N_FOLDS}"]
run("data", *data)
is_whole = train([*data, *settings])

# %% [markdown]
"""
Score the networks on the images that they did not see, and draw how the training went.
"""

# %%
if is_whole:
    run("validate", "--weights", "runs/kaggle", "--save", "out_of_fold.csv", *data)
else:
    print("out of time: run this kernel again with its own output attached")
run("curves", "runs/kaggle")
if "get_ipython" in globals():
    from IPython.display import Image, display

    for picture in RUN.glob("*.png"):
        display(Image(str(picture)))
