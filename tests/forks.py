"""The command line in a copy of a process that has imported what trains, which takes seconds."""

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kaggle_dsb.cli import run

CLONE_NEWNET = 0x40000000


def call(
    arguments: Sequence[str],
    folder: Path,
    said: Path,
    *,
    environment: Mapping[str, str] | None = None,
    namespace: Path | None = None,
) -> None:
    """Run the command line in a folder, and leave with its exit code.

    Parameters
    ----------
    arguments : sequence of str
    folder : Path
    said : Path
        The file that gets what is printed on stderr.
    environment : mapping, optional
        Further variables.
    namespace : Path, optional
        The network namespace to enter.
    """
    os.chdir(folder)
    os.environ.update(environment or {})
    for stream, path in ((1, Path(os.devnull)), (2, said)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), stream)
    if namespace:
        with namespace.open() as opened:
            assert ctypes.CDLL(None).setns(opened.fileno(), CLONE_NEWNET) == 0
    sys.exit(run(list(arguments)))
