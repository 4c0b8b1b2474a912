"""Fuzz the readers: change sound files at random, and look for anything but a refusal."""

import random
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.faults.targets import Target, find_fault

LONGEST_S = 10
PIECES = [
    b"",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b'"',
    b",",
    b";",
    b"-1",
    b"0",
    b"9" * 25,
    b"9" * 5000,
    b"1e9",
    b"nan",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1b[2J",
    b"../",
    b"[" * 2000,
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
]


@dataclass
class Outcome:
    """What fuzzing a target came to."""

    name: str
    inputs: int = 0
    faults: list[str] = field(default_factory=list)


def mutate(sound: bytes, source: random.Random) -> bytes:
    """Change a file in one to four places near its beginning or anywhere."""
    content = bytearray(sound)
    for _ in range(source.randint(1, 4)):
        reach = len(content) if source.random() < 0.5 else min(len(content), 200)
        start = source.randint(0, max(reach - 1, 0))
        length = source.choice([0, 1, 1, 2, 4, 20, len(content)])
        piece = source.choice(
            [source.choice(PIECES), source.randbytes(source.choice([1, 4])), content[:length]]
        )
        content[start : start + length] = piece
    return bytes(content)


def fuzz(
    target: Target, *, name: str, seed: int, inputs: int | None = None, seconds: float | None = None
) -> Outcome:
    """Read changed files, so many or for so long."""
    source = random.Random(seed)
    outcome = Outcome(name)
    ends = time.monotonic() + (seconds or float("inf"))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while time.monotonic() < ends and (inputs is None or outcome.inputs < inputs):
            content = mutate(target.sound, source)
            started = time.process_time()
            fault = find_fault(target, content, Path(folder))
            if time.process_time() - started > LONGEST_S:
                fault = f"took more than {LONGEST_S} s"
            if fault:
                outcome.faults.append(f"seed {seed}, input {outcome.inputs}: {fault[:200]}")
            outcome.inputs += 1
    return outcome


def fuzz_by_coverage(name: str, seconds: int) -> str | None:
    """Fuzz a target with atheris, which looks for new ways through the code, in a process.

    Returns
    -------
    str or None
        The end of what it printed, with the fault it found or the number of inputs; None where
        atheris is not installed.
    """
    if not find_spec("atheris"):
        return None
    command = [sys.executable, "-m", "tests.faults.by_coverage", name, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr)[-2000:]
