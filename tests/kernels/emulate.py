"""Kaggle's notebook machine in miniature: its packages, its folders, no network.

A kernel runs in name spaces of its own: one without a network, and one in which ``/kaggle`` is a
folder of the test, its ``input`` read-only.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kaggle_dsb.publish.bundle import LACKING

KAGGLE = Path("/kaggle")
IMAGE = "KAGGLE_DSB_IMAGE"
"""The variable that names the Python of an environment with the versions of Kaggle's image."""

ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1" /kaggle
mount --bind "$1/input" /kaggle/input
mount -o remount,bind,ro /kaggle/input
cd /kaggle/working
shift
exec "$@"
"""


OPTIONAL = ("imagecodecs", "roifile")
"""What Kaggle's image lacks and a kernel does without: files of microscopes and ImageJ need it."""


def list_image_packages() -> list[str]:
    """Name the distributions that this package needs, less what Kaggle's image lacks."""
    lacking = {canonicalize_name(name) for name in (*LACKING, *OPTIONAL, "kaggle_dsb")}
    needed: dict[str, None] = {}
    waiting = [(text, "all") for text in [*(requires("kaggle_dsb") or []), "pip"]]
    while waiting:
        text, extra = waiting.pop()
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        is_for_here = wanted.marker is None or wanted.marker.evaluate({"extra": extra})
        if is_for_here and name not in needed and name not in lacking:
            needed[name] = None
            waiting += [(text, "") for text in requires(name) or []]
    return sorted(needed)


def make_image(folder: Path) -> Path:
    """Make a virtual environment with the packages of Kaggle's image, and return its Python.

    They are those of the environment that `IMAGE` names, else of the environment of the tests,
    less what Kaggle's image lacks. Either are linked, so that making it takes a second.
    """
    image = os.environ.get(IMAGE)
    subprocess.run([image or sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    if image:
        ask = [image, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        (site / "image.pth").write_text(subprocess.check_output(ask, text=True))
    else:
        _link_packages(site)
    return folder / "bin" / "python"


def _link_packages(site: Path) -> None:
    for name in list_image_packages():
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))


@dataclass(frozen=True)
class Machine:
    """A machine of Kaggle's, below ``root`` of this computer."""

    root: Path
    python: Path

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def working(self) -> Path:
        return self.root / "working"

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run Python there."""
        command = ["unshare", "--net", "--mount", "sh", "-c", ENTER, "sh", self.root, self.python]
        return subprocess.run(
            [str(word) for word in (*command, *arguments)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root / "home"),
                "TMPDIR": str(self.root / "tmp"),
                "MPLBACKEND": "agg",
            },
            capture_output=True,
            text=True,
            check=False,
        )


def may_emulate() -> bool:
    """Whether this user may make name spaces, and ``/kaggle``, on this computer."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], check=False)
    return tried.returncode == 0


@contextmanager
def start_machine(root: Path, python: Path) -> Iterator[Machine]:
    """Yield a machine; ``/kaggle``, where it is mounted, is there only meanwhile."""
    for name in ("input", "working", "home", "tmp"):
        (root / name).mkdir(parents=True)
    with _mount_point():
        yield Machine(root, python)


@contextmanager
def _mount_point() -> Iterator[None]:
    """Make ``/kaggle``, and remove it unless it was there or another test needs it still."""
    with Path(tempfile.gettempdir(), "kaggle-dsb-emulation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        KAGGLE.mkdir(exist_ok=True)
        yield
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            KAGGLE.rmdir()
