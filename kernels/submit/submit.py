# %% [markdown]
"""
Predict the test images of the 2018 Data Science Bowl, and write submission.csv.

It runs without internet: it installs the package from the attached bundle and runs the commands
that are run at home, one process a GPU. The networks are those of an attached train kernel, else
the bundle's. Attach the data set `kaggle-dsb-bundle` and the competition `data-science-bowl-2018`.

`submission.csv` is of stage 2 where its images are there, since that is what Kaggle scores now;
the CSV of each stage also lies in a folder of its own.
"""

# %%
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INPUT = Path("/kaggle/input")
OUTPUT = Path("/kaggle/working")
HOME = Path(tempfile.gettempdir(), "kaggle-dsb")  # caches and label images: not worth keeping
SETS = ("stage1_test", "stage2_test_final")  # the last one there becomes submission.csv
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]


def count_gpus():
    """Count the GPUs; 0 on a machine without."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.count("UUID")


N_PARTS = max(1, count_gpus())

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
    importlib.invalidate_caches()


install()
test_images = find("stage1_test.zip") or require("stage1_test", "data-science-bowl-2018")
data = test_images.parent
HOME.mkdir(exist_ok=True)

# %% [markdown]
"""
Predict each set: its images are dealt out to the GPUs, and the parts put together again.
"""


# %%
def deal_out(set_name):
    """Copy the images of a set into one folder a GPU."""
    folder = data / set_name
    if not folder.is_dir():
        folder = HOME / "unpacked" / set_name
        shutil.unpack_archive(data / f"{set_name}.zip", folder)
    parts = [HOME / f"{set_name}-{number}" for number in range(N_PARTS)]
    for number, image in enumerate(sorted(folder.glob("**/images/*"))):
        target = parts[number % N_PARTS] / set_name / image.parents[1].name / "images" / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    return [part for part in parts if part.is_dir()]


def start(part, gpu, set_name):
    """Start to predict a part on a GPU, and return the process."""
    networks = find("runs/kaggle/fold*.safetensors") or find("fold*.safetensors")
    options = ["--data", part, "--name", part.name, "--set-name", set_name, "--work", f"work{gpu}"]
    options += ["--weights", networks.parent] if networks else []
    threads = max(1, (os.cpu_count() or 1) // N_PARTS)
    environment = {"CUDA_VISIBLE_DEVICES": str(gpu), "OMP_NUM_THREADS": str(threads)}
    command = [*COMMAND, "submit", *map(str, options)]
    return subprocess.Popen(command, cwd=HOME, env=os.environ | environment)


def predict(set_name):
    """Predict a set, write its CSV with what made it, and return the folders of the parts."""
    parts = deal_out(set_name)
    running = [start(part, gpu, set_name) for gpu, part in enumerate(parts)]
    exit_codes = [process.wait() for process in running]
    if any(exit_codes):
        sys.exit(f"predicting {set_name} ended with exit codes {exit_codes}")
    made = [HOME / "submissions" / part.name for part in parts]
    join(made, OUTPUT / set_name)
    shutil.copy(OUTPUT / set_name / "submission.csv", OUTPUT)
    return made


def join(parts, target):
    """Put the submissions of the parts together."""
    target.mkdir(exist_ok=True)
    shutil.copy(parts[0] / "config.toml", target)
    tables = [(part / "submission.csv").read_text().splitlines() for part in parts]
    rows = sorted((row for table in tables for row in table[1:]), key=lambda row: row.split(",")[0])
    (target / "submission.csv").write_text("\n".join([tables[0][0], *rows]) + "\n")
    facts = [json.loads((part / "made.json").read_text()) for part in parts]
    sums = {key: sum(fact[key] for fact in facts) for key in ("images", "nuclei")}
    (target / "made.json").write_text(json.dumps(facts[0] | sums, indent=2) + "\n")
    print(f"{target.name}: {sums['images']} images, {sums['nuclei']} nuclei", flush=True)


# %%
submissions = {
    name: predict(name)
    for name in SETS
    if (data / name).is_dir() or (data / f"{name}.zip").exists()
}

# %% [markdown]
"""
Look at some images beside the nuclei found in them.
"""


# %%
def draw(set_name, parts, n_pictures=6):
    """Draw some images of a set beside their nuclei, and show them in a notebook."""
    from kaggle_dsb.competition.label_files import read_labels
    from kaggle_dsb.dataset.pixels import decode_rgb
    from kaggle_dsb.report.pictures import draw_picture

    label_files = sorted(path for part in parts for path in (part / "labels").glob("*.png"))
    for path in label_files[:n_pictures]:
        image = next(HOME.glob(f"{set_name}-*/{set_name}/{path.stem}/images/*"))
        picture = OUTPUT / f"{set_name}_{path.stem}.png"
        pixels = decode_rgb(image.read_bytes())
        draw_picture(picture, path.stem, pixels, truth=None, predicted=read_labels(path))
        show(picture)


def show(picture):
    """Show a picture below the cell, where this runs as a notebook."""
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(Image(str(picture)))


for name, parts in submissions.items():
    draw(name, parts)
