"""Fuzz one reader with atheris, which looks for new ways through the code.

``python -m tests.faults.by_coverage TARGET SECONDS SEED``; atheris is no dependency of the project.
"""

import sys
import tempfile
from pathlib import Path

KEPT = Path("build", "faults")


def main(name: str, seconds: int, seed: int) -> None:
    """Fuzz until the time is over or there is a fault."""
    import atheris

    # The readers must be imported here for the first time.
    with atheris.instrument_imports(include=["kaggle_dsb"]):
        from tests.faults.targets import TARGETS, find_fault

    from tests.faults.fuzz import LONGEST_S

    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "sound").write_bytes(target.sound)

        def read(content: bytes) -> None:
            fault = find_fault(target, content, Path(folder))
            if fault:
                raise AssertionError(fault)

        limits = [f"-max_total_time={seconds}", f"-timeout={LONGEST_S}", "-rss_limit_mb=4096"]
        KEPT.mkdir(parents=True, exist_ok=True)
        limits += [f"-seed={seed}", "-print_final_stats=1", f"-artifact_prefix={KEPT}/"]
        atheris.Setup([sys.argv[0], *limits, str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
