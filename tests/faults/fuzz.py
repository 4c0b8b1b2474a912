"""Fuzz the readers: change sound files at random, and look for anything but a refusal."""

import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

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


# Where in the file, how many bytes are taken out, and what is put there.
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=8)),
    max_size=6,
)


def edit(sound: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Change a file as hypothesis proposes it."""
    content = bytearray(sound)
    for place, length, piece in edits:
        start = int(place * len(content))
        content[start : start + length] = piece
    return bytes(content)


def fuzz_by_hypothesis(
    target: Target, *, name: str, seed: int, inputs: int | None = None, seconds: float | None = None
) -> Outcome:
    """Read what hypothesis makes of a sound file, which it makes simpler where there is a fault."""
    outcome = Outcome(name)
    ends = time.monotonic() + (seconds or float("inf"))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def read(edits: list[tuple[float, int, bytes]]) -> None:
            outcome.inputs += 1
            fault = find_fault(target, edit(target.sound, edits), Path(folder))
            assert fault is None, fault

        chunk = settings(
            max_examples=min(inputs or 100, 100), deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        while not outcome.faults and time.monotonic() < ends:
            try:
                with_seed(seed + outcome.inputs)(chunk(given(EDITS)(read)))()
            except AssertionError as error:
                outcome.faults.append(str(error)[:200])
            if inputs and outcome.inputs >= inputs:
                break
    return outcome


def fuzz_by_coverage(target: Target, *, name: str, seed: int, seconds: float) -> Outcome:
    """Fuzz a target with atheris, which looks for new ways through the code, in a process.

    The input of a fault is kept in ``build/faults``.
    """
    command = [sys.executable, "-m", "tests.faults.by_coverage", name, str(max(1, int(seconds)))]
    done = subprocess.run(
        [*command, str(seed)], capture_output=True, text=True, check=False, errors="replace"
    )
    said = done.stdout + done.stderr
    count = re.search(r"number_of_executed_units: (\d+)", said)
    fault = re.search(r"AssertionError: (.*)", said)
    faults = [fault[1][:200]] if fault else []
    if done.returncode and not faults:
        is_slow = "libFuzzer: timeout" in said
        faults = [f"took more than {LONGEST_S} s" if is_slow else said.strip()[-200:]]
    kept = re.search(r"Test unit written to (.*)", said)
    if faults and kept:
        faults[0] += f" ({kept[1]})"
    return Outcome(name, int(count[1]) if count else 0, faults)
