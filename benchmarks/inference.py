"""Time prediction: image to probability by each engine, and a whole ``submit --fast`` by its parts.

``python -m benchmarks.inference`` prints both tables. Engines compute the same network on the same
images in one process, one after the other on each image, with one thread; the best of several
rounds counts. ``--data folder`` takes its test images, else the demo's are drawn; ``--engines`` and
``--parts`` print one of the tables. Compare ratios, not seconds.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.commands import submit
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.engines import OpenVinoEngine
from kaggle_dsb.network.predict import Predictor, pad_to_stride, to_batch
from kaggle_dsb.workspace.run import BUNDLED, find_run
from kaggle_dsb.workspace.source import Source, choose_test_set, open_source

ROUNDS = 4
REFERENCE = "torch float32"

Batch = NDArray[np.uint8]
Compute = Callable[[Batch], NDArray[np.float32]]


def load_engines(network: Path) -> dict[str, Compute]:
    """Return what computes a network, by the engine's name and precision."""
    import torch

    from kaggle_dsb.network.model import load_network
    from kaggle_dsb.network.torch_engine import TorchEngine

    torch.set_num_threads(1)
    model = load_network(network)[0]
    engines: dict[str, Compute] = {
        REFERENCE: TorchEngine([model]),
        "torch bfloat16": TorchEngine([model], precision="bfloat16"),
        "torch.compile float32": TorchEngine([torch.compile(model, dynamic=True)]),  # type: ignore[list-item]
    }
    for precision in ("float32", "bfloat16"):
        engines[f"openvino {precision}"] = OpenVinoEngine.load(
            [network],
            tta="none",
            precision=precision,
            threads=1,
        )
    return engines


def time_engines(
    engines: Mapping[str, Compute], batches: list[Batch]
) -> dict[str, tuple[float, float]]:
    """Return the seconds of each engine for all images, and its largest error."""
    best = {name: np.full(len(batches), np.inf) for name in engines}
    error = dict.fromkeys(engines, 0.0)
    for number, batch in enumerate(batches):
        expected = engines[REFERENCE](batch)
        for _ in range(ROUNDS):
            for name, compute in engines.items():
                started = time.perf_counter()
                probability = compute(batch)
                best[name][number] = min(best[name][number], time.perf_counter() - started)
                error[name] = max(error[name], float(np.abs(probability - expected).max()))
    return {name: (float(best[name].sum()), error[name]) for name in engines}


def print_engines(source: Source, network: Path, every: int) -> None:
    """Print the time of each engine, and its ratio to torch in float32."""
    samples = load_samples(source.cache, choose_test_set(source, None))[::every]
    batches = [to_batch([pad_to_stride(stretch_contrast(each.image))]) for each in samples]
    print(f"{len(batches)} images, {sum(b[0, 0].size for b in batches) / 1e6:.1f} Mpx, one thread")
    timed = time_engines(load_engines(network), batches)
    reference_s = timed[REFERENCE][0]
    for name, (elapsed_s, error) in timed.items():
        print(f"{name:22} {elapsed_s:7.2f} s {reference_s / elapsed_s:5.2f} x, error {error:.1g}")


class Stopwatch:
    """Adds up the time spent in functions, of the thread that calls them."""

    def __init__(self) -> None:
        self.elapsed_s: dict[str, float] = {}

    def wrap(self, owner: object, name: str, part: str) -> None:
        """Time every call of a function of a module or class."""
        function = getattr(owner, name)

        def timed(*args: object, **kwargs: object) -> object:
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.elapsed_s[part] = self.elapsed_s.get(part, 0.0) + time.thread_time() - started

        setattr(owner, name, timed)


def print_parts(source: Source, imports_s: float) -> None:
    """Print the processor time of each part of a ``submit --fast``, imports included."""
    started_s, before_s = time.perf_counter(), time.process_time()
    watch = Stopwatch()
    watch.wrap(submit, "load_predictor", "load the network")
    watch.wrap(Predictor, "find_zoom", "first look")
    watch.wrap(Predictor, "_predict_at", "network")
    watch.wrap(submit, "find_nuclei", "post-processing")
    watch.wrap(submit, "write_labels", "write labels")
    watch.wrap(submit, "_write_checked", "write and check the CSV")
    run = find_run(BUNDLED).fast()
    settings = run.load_settings(overrides=["prediction.tta=none", "hardware.threads=1"])
    with tempfile.TemporaryDirectory() as folder:
        submit.make_submission(source, run, settings, folder=Path(folder))
    total_s = time.process_time() - before_s + imports_s
    parts = {"imports": imports_s, **watch.elapsed_s}
    parts["the rest"] = total_s - sum(parts.values())
    for part, elapsed_s in parts.items():
        print(f"{part:24} {elapsed_s:6.2f} s {elapsed_s / total_s:6.1%}")
    print(f"{'processor time':24} {total_s:6.2f} s, {time.perf_counter() - started_s:.2f} s passed")


def main() -> None:
    """Print the tables."""
    imports_s = time.process_time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("work"))
    parser.add_argument("--every", type=int, default=4, help="engines: use every Nth image")
    parser.add_argument("--engines", action="store_true")
    parser.add_argument("--parts", action="store_true")
    options = parser.parse_args()
    both = options.engines == options.parts
    source = open_source(options.data, work=options.work)
    if options.parts or both:
        print_parts(source, imports_s)
    if options.engines or both:
        (network,) = find_run(BUNDLED).fast().networks.values()
        print_engines(source, network, options.every)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
