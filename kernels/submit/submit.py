# %% [markdown]
"""
Predict the test images of the 2018 Data Science Bowl, and write submission.csv.

This kernel runs without internet: it installs the package from the attached bundle and runs the
same commands as on a local machine, with one process per GPU. The networks are those of an attached
train kernel, else those of the bundle. Attach the data set `kaggle-dsb-bundle` and the competition
`data-science-bowl-2018`.

`submission.csv` is that of stage 2 if its images are attached, since Kaggle now scores only that;
the CSV of each stage is also written to a folder of its own.
"""

# %%
import csv
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INPUT = Path("/kaggle/input")
OUTPUT = Path("/kaggle/working")
HOME = Path(tempfile.gettempdir(), "kaggle-dsb")  # caches and label images, not kept as output
SETS = ("stage1_test", "stage2_test_final")  # the last one present becomes submission.csv
COMMAND = [sys.executable, "-c", "from kaggle_dsb.cli import main; main()"]


def count_gpus():
    """Count the GPUs."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed.stdout.count("UUID")


N_PROCESSES = max(1, count_gpus())

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
    importlib.invalidate_caches()


def find_networks():
    """Return the folder of the attached networks; None means the bundled ones."""
    begun = find("runs/kaggle/config.toml")
    if begun:
        require_all_folds(begun.parent)
        return begun.parent
    network = find("fold*.safetensors")
    return network.parent if network else None


def require_all_folds(run):
    """Exit unless a training has finished the network of every fold."""
    with require("runs/kaggle/folds.csv", "the train kernel's output").open(newline="") as file:
        folds = sorted({row["fold"] for row in csv.DictReader(file)})
    missing = [fold for fold in folds if not (run / f"fold{fold}.safetensors").exists()]
    if missing:
        sys.exit(
            f"{run}: has no network of fold {', '.join(missing)}: the training has not finished. "
            "Run the train kernel again with its own output attached, then this one."
        )


networks = find_networks()
install()
test_images = find("stage1_test.zip") or require("stage1_test", "data-science-bowl-2018")
data = test_images.parent
HOME.mkdir(exist_ok=True)

# %% [markdown]
"""
Predict each set; its images are distributed over the processes.
"""


# %%
def predict(set_name):
    """Predict a set, copy its CSV and provenance to the output, and return its folder."""
    images = data / set_name if (data / set_name).is_dir() else data / f"{set_name}.zip"
    options = ["--data", images, "--set-name", set_name, "--name", set_name]
    options += ["--work", "work", "--devices", N_PROCESSES]
    options += ["--weights", networks] if networks else []
    subprocess.run([*COMMAND, "submit", *map(str, options)], cwd=HOME, check=True)
    made, kept = HOME / "submissions" / set_name, OUTPUT / set_name
    kept.mkdir(exist_ok=True)
    for name in ("config.toml", "made.json", "submission.csv"):
        shutil.copy(made / name, kept)
    shutil.copy(made / "submission.csv", OUTPUT)
    facts = json.loads((made / "made.json").read_text())
    print(f"{set_name}: {facts['images']} images, {facts['nuclei']} nuclei", flush=True)
    return made


# %%
submissions = {
    name: predict(name)
    for name in SETS
    if (data / name).is_dir() or (data / f"{name}.zip").exists()
}

# %% [markdown]
"""
Show some images beside the predicted nuclei.
"""


# %%
def draw(set_name, made, n_pictures=6):
    """Draw some images of a set beside their nuclei, and show them if this is a notebook."""
    from kaggle_dsb.competition.label_files import read_labels
    from kaggle_dsb.dataset.pixels import decode_rgb
    from kaggle_dsb.report.pictures import draw_picture

    for path in sorted((made / "labels").glob("*.png"))[:n_pictures]:
        image = next(HOME.glob(f"work/cache/*/{set_name}/images/{path.name}"))
        picture = OUTPUT / f"{set_name}_{path.stem}.png"
        pixels = decode_rgb(image.read_bytes())
        draw_picture(picture, path.stem, pixels, truth=None, predicted=read_labels(path))
        show(picture)


def show(picture):
    """Show a picture below the cell if this runs as a notebook."""
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(Image(str(picture)))


for name, made in submissions.items():
    draw(name, made)
