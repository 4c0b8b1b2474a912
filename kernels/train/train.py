# %% [markdown]
"""
Train the folds on Kaggle's GPUs, one fold per GPU at a time.

This kernel runs without internet: it installs the package from the attached bundle and runs the
same commands as on a local machine. A training that does not finish in time resumes when this
kernel is run again with its own output attached. Attach the data set `kaggle-dsb-bundle` and the
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
SETTINGS = []  # changes to the defaults, such as "training.epochs=12"
N_FOLDS = 4
INTERRUPTED = {130, -signal.SIGINT}  # exit codes of a training that was interrupted
END_S = time.monotonic() + 11 * 3600  # Kaggle stops a run after 12 hours and discards its output

# %% [markdown]
"""
Find the attached sources. Kaggle mounts a source at `/kaggle/input/slug`, or at
`/kaggle/input/datasets/owner/slug` and `/kaggle/input/competitions/slug`.
"""


# %%
def find(pattern):
    """Return the first path that matches, at any depth at which Kaggle mounts sources."""
    depths = (sorted(INPUT.glob("*/" * depth + pattern)) for depth in range(1, 6))
    return next((paths[0] for paths in depths if paths), None)


def require(pattern, source):
    """Return the first path that matches, or exit with advice."""
    path = find(pattern)
    if path is None:
        sys.exit(
            f"no {pattern} below {INPUT}: {source} is not attached, or not mounted yet, as happens "
            "on the first run with a new source. See Input at the right, and run this once more."
        )
    return path


def install():
    """Install the package and the dependencies that Kaggle's image lacks, from the bundle."""
    wheel = require("kaggle_dsb-*.whl", "the data set kaggle-dsb-bundle")
    wheels = map(str, sorted(wheel.parent.glob("*.whl")))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, *wheels], check=True)


def run(verb, *options):
    """Run a command of kaggle-dsb."""
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
    """Count the GPUs."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.count("UUID")


def start(fold, gpu, options):
    """Start the training of a fold on this GPU only, and return the process."""
    command = [*COMMAND, "train", "--name", "kaggle", "--fold", str(fold), *options]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": str(gpu)}
    return subprocess.Popen(command, cwd=OUTPUT, env=environment)


def end(process):
    """Wait for a training; interrupt it when the time is over, its last epoch is saved."""
    try:
        return process.wait(max(0, END_S - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait()


def train(options):
    """Train the folds that are not finished yet, and return whether the time was enough."""
    networks = [RUN / f"fold{fold}.safetensors" for fold in range(N_FOLDS)]
    missing = [fold for fold, network in enumerate(networks) if not network.exists()]
    n_at_once = max(1, count_gpus())
    for first in range(0, len(missing), n_at_once):
        folds = missing[first : first + n_at_once]
        running = [start(fold, gpu, options) for gpu, fold in enumerate(folds)]
        exit_codes = [end(process) for process in running]
        if set(exit_codes) - {0, *INTERRUPTED}:
            sys.exit(f"folds {folds} ended with exit codes {exit_codes}")
        if time.monotonic() > END_S:
            break
    return all(network.exists() for network in networks)


data = ["--data", str(train_images.parent), "--work", CACHE]
settings = [word for setting in SETTINGS for word in ("--set", setting)]
settings += ["--set", f"folds.n_folds={N_FOLDS}"]
run("data", *data)
is_whole = train([*data, *settings])

# %% [markdown]
"""
Score the networks out of fold, and draw the training curves.
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
