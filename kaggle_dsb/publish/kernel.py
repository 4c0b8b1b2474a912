"""The kernels: generate their metadata, and check them before a push."""

import ast
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.files import InputError, read_json, write_json
from kaggle_dsb.publish import COMPETITION, Hardware
from kaggle_dsb.publish.bundle import BUNDLE_SLUG, NO_OWNER

KERNEL_METADATA_FILE = "kernel-metadata.json"
KERNELS_FOLDER = Path("kernels")
PREPARED_FOLDER = Path("build/kernels")
# Kaggle's default GPU, the P100, is too old for the PyTorch of its image.
GPU = "NvidiaTeslaT4"

_OWNED = re.compile(r"[\w-]+/[a-z0-9-]{5,50}")
_SLUG = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True)
class Kernel:
    """A kernel of this project.

    Attributes
    ----------
    title : str
        Determines the slug, as on Kaggle.
    output : str
        The file that a run must produce.
    """

    title: str
    output: str

    @property
    def slug(self) -> str:
        """The name in URLs."""
        return to_slug(self.title)


KERNELS = {
    "submit": Kernel("kaggle-dsb submit", "submission.csv"),
    "train": Kernel("kaggle-dsb train", "runs/kaggle/folds.csv"),
}


def to_slug(title: str) -> str:
    """Return the slug that Kaggle derives from a title.

    Examples
    --------
    >>> to_slug("Find the Nuclei: 1st try")
    'find-the-nuclei-1st-try'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def find_kernel(name: str) -> Kernel:
    """Return the kernel of this name; raise ``InputError`` with the known names otherwise."""
    if name not in KERNELS:
        raise InputError(f"unknown kernel {name!r}; choose from {', '.join(KERNELS)}")
    return KERNELS[name]


def describe_kernel(
    name: str, *, owner: str, hardware: Hardware = "gpu", trained: bool = False
) -> dict[str, Any]:
    """Return the metadata of a kernel.

    Parameters
    ----------
    name : str
    owner : str
        The user's name on Kaggle.
    hardware : {"gpu", "cpu"}
    trained : bool
        Whether to attach the output of the train kernel, to predict with its networks or to resume
        its training.
    """
    kernel = find_kernel(name)
    on_gpu = hardware == "gpu"
    metadata = {
        "id": f"{owner}/{kernel.slug}",
        "title": kernel.title,
        "code_file": f"{name}.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": on_gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{owner}/{BUNDLE_SLUG}"],
        "competition_sources": [COMPETITION],
        "kernel_sources": [f"{owner}/{KERNELS['train'].slug}"] if trained else [],
        "model_sources": [],
    }
    return metadata | ({"machine_shape": GPU} if on_gpu else {})


def prepare_kernel(
    name: str,
    target: Path = PREPARED_FOLDER,
    *,
    owner: str,
    hardware: Hardware = "gpu",
    trained: bool = False,
    kernels: Path = KERNELS_FOLDER,
) -> Path:
    """Write and check the folder of a kernel to be pushed.

    Raises
    ------
    InputError
        When the script is missing, or with the first fault that `check_kernel` finds.
    """
    metadata = describe_kernel(name, owner=owner, hardware=hardware, trained=trained)
    script = kernels / name / str(metadata["code_file"])
    if not script.exists():
        raise InputError(f"{script}: no such file; run this in the project's folder")
    folder = target / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(script, folder / script.name)
    write_json(folder / KERNEL_METADATA_FILE, metadata)
    faults = check_kernel(folder)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")
    return folder


def check_kernel(folder: Path) -> list[str]:
    """List everything that would make Kaggle reject a kernel, or run it incorrectly.

    Parameters
    ----------
    folder : Path
        Contains ``kernel-metadata.json`` and the script.

    Returns
    -------
    faults : list of str
        One line each.
    """
    path = folder / KERNEL_METADATA_FILE
    try:
        metadata = read_json(path)
    except InputError as error:
        return [str(error)]
    faults = [
        *_find_name_faults(metadata),
        *_find_setting_faults(metadata),
        *_find_source_faults(metadata),
        *_find_script_faults(metadata, folder),
    ]
    return [f"{path}: {fault}" for fault in faults]


def _find_name_faults(metadata: dict[str, Any]) -> Iterator[str]:
    ref, title = str(metadata.get("id", "")), str(metadata.get("title", ""))
    owner, _, slug = ref.partition("/")
    if not _OWNED.fullmatch(ref):
        yield f"id {ref!r}: must be user/slug, with a slug of 5 to 50 characters a-z, 0-9 and -"
    elif owner == NO_OWNER:
        yield f"id {ref!r}: replace {NO_OWNER} with your Kaggle user name"
    elif to_slug(title) != slug:
        yield f"title {title!r}: gives the slug {to_slug(title)!r}, but id has {slug!r}"


def _find_setting_faults(metadata: dict[str, Any]) -> Iterator[str]:
    known = describe_kernel("submit", owner=NO_OWNER)
    for key in metadata.keys() - known.keys():
        yield f"unknown key {key!r}; known keys: {', '.join(known)}"
    for key in ("language", "kernel_type"):
        if metadata.get(key) != known[key]:
            yield f"{key} {metadata.get(key)!r}: must be {known[key]!r}"
    if metadata.get("enable_internet") is not False:
        yield "enable_internet: must be set to false; by default Kaggle turns it on"
    if not isinstance(metadata.get("enable_gpu"), bool):
        yield f"enable_gpu {metadata.get('enable_gpu')!r}: must be true or false"
    elif metadata["enable_gpu"] and metadata.get("machine_shape") != GPU:
        yield f"machine_shape {metadata.get('machine_shape')!r}: must be {GPU!r} with a GPU"


def _find_source_faults(metadata: dict[str, Any]) -> Iterator[str]:
    forms = {
        "dataset_sources": (_OWNED, "user/slug"),
        "kernel_sources": (_OWNED, "user/slug"),
        "competition_sources": (_SLUG, "a slug without a user"),
    }
    for key, (form, words) in forms.items():
        sources = metadata.get(key)
        if not isinstance(sources, list):
            yield f"{key}: must be a list, empty for none"
            continue
        for source in sources:
            if not form.fullmatch(str(source)):
                yield f"{key}: {source!r} must be {words}"
    if not metadata.get("dataset_sources"):
        yield "dataset_sources: must include the bundle, which has the code to run"


def _find_script_faults(metadata: dict[str, Any], folder: Path) -> Iterator[str]:
    name = str(metadata.get("code_file", ""))
    script = folder / name
    if not name or not script.is_file():
        yield f"code_file {name!r}: no such file in {folder}"
        return
    try:
        ast.parse(script.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        yield f"code_file {name!r}: is not valid Python ({error})"
