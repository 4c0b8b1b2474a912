"""Predict the competition's test images on Kaggle, without internet, and write submission.csv.

It installs the package from the attached bundle and runs the commands that are run at home. The
networks are those of an attached train kernel, else the bundle's.
"""

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


def predict(data, set_name):
    """Predict a set as at home, and keep its CSV with what made it."""
    networks = find("runs/kaggle/fold*.safetensors") or find("fold*.safetensors")
    weights = ["--weights", networks.parent] if networks else []
    options = ["--data", data, "--name", set_name, "--set-name", set_name, *weights]
    subprocess.run([*COMMAND, "submit", *map(str, options)], cwd=HOME, check=True)
    (OUTPUT / set_name).mkdir(exist_ok=True)
    for made in sorted((HOME / "submissions" / set_name).glob("*.*")):
        shutil.copy(made, OUTPUT / set_name)
    shutil.copy(OUTPUT / set_name / "submission.csv", OUTPUT)


def draw(set_name, n_pictures=6):
    """Show some images beside the nuclei found in them."""
    from skimage.io import imread

    from kaggle_dsb.competition.labels import read_labels
    from kaggle_dsb.report.pictures import draw_picture

    labels = sorted((HOME / "submissions" / set_name / "labels").glob("*.png"))
    for path in labels[:n_pictures]:
        image = imread(next(HOME.glob(f"work/cache/*/{set_name}/images/{path.name}")))
        picture = OUTPUT / f"{set_name}_{path.stem}.png"
        draw_picture(picture, path.stem, image, truth=None, predicted=read_labels(path))


install()
HOME.mkdir(exist_ok=True)
found = find("stage1_test.zip") or find("stage1_test")
if found is None:
    sys.exit(f"no stage1_test below {INPUT}: attach the competition data-science-bowl-2018")
for name in SETS:
    if (found.parent / name).exists() or (found.parent / f"{name}.zip").exists():
        predict(found.parent, name)
        draw(name)
