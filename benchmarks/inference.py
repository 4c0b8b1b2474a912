"""Time prediction: one network in each engine, and whole submissions by their parts.

The engines compute the same network on the same images, in one process with one thread, in turn on
each image; the best of several rounds counts, in wall-clock time. ONNX Runtime is included if it
and onnx are installed.
"""

import io
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.timing import Row, format_s
from kaggle_dsb.commands import submit
from kaggle_dsb.config import HardwareSettings
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.network import segmentation
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.engines import OpenVinoEngine, choose_engine
from kaggle_dsb.network.hardware import Precision
from kaggle_dsb.network.predict import Predictor, pad_to_stride, to_batch
from kaggle_dsb.workspace.run import BUNDLED, FAST_SETTINGS, find_run
from kaggle_dsb.workspace.source import Source, choose_test_set, open_source

if TYPE_CHECKING:
    from torch import nn

ROUNDS = 4
EVERY = 4  # of the test images, for the engines
REFERENCE, FASTEST = "torch float32", "openvino 8 bits"

Batch = NDArray[np.uint8]
Compute = Callable[[Batch], NDArray[np.float32]]


def time_submissions(data: Path | None, work: Path) -> Iterator[Row]:
    """Yield rows on ``submit --fast`` against the default ``submit``, and on its parts.

    The ratio of a part is its share.
    """
    source = open_source(data, work=work)
    fast_s, parts = time_submission(source, is_fast=True)
    default_s, _ = time_submission(source, is_fast=False)
    n = source.prepared.images[choose_test_set(source, None)]
    task, ours = f"submit --fast, {n} test images", f"{format_s(fast_s / n)}/image"
    yield task, ours, "submit", f"{format_s(default_s / n)}/image", f"{default_s / fast_s:.2f}"
    for part, elapsed_s in parts.items():
        share = f"{elapsed_s / fast_s:.1%}"
        yield task, ours, f"its {part}", f"{format_s(elapsed_s / n)}/image", share


def time_submission(source: Source, *, is_fast: bool) -> tuple[float, dict[str, float]]:
    """Return the CPU time of a submission, without imports, and that of its parts, in seconds."""
    run = find_run(BUNDLED)
    changes = [*(FAST_SETTINGS if is_fast else ()), "hardware.threads=1"]
    settings = run.load_settings(overrides=changes)
    parts = {
        (segmentation, "load_predictor"): "loading of networks",
        (Predictor, "estimate_size"): "sizing pass",
        (OpenVinoEngine, "__call__"): "forward passes, sizing pass included",
        (segmentation, "find_nuclei"): "post-processing",
        (segmentation, "write_labels"): "writing of label images",
        (submit, "_write_checked"): "writing and check of the CSV",
    }
    watch = Stopwatch()
    with ExitStack() as patches, tempfile.TemporaryDirectory() as folder:
        for (owner, name), part in parts.items():
            patches.enter_context(watch.time_calls(owner, name, part))
        started_s = time.process_time()
        submit.make_submission(
            source, run.fast() if is_fast else run, settings, folder=Path(folder)
        )
        return time.process_time() - started_s, watch.elapsed_s


def time_engines(data: Path | None, work: Path) -> Iterator[Row]:
    """Yield rows on one network without TTA: OpenVINO in INT8 against other engines."""
    source = open_source(data, work=work)
    samples = load_samples(source.cache, choose_test_set(source, None))[::EVERY]
    batches = [to_batch([pad_to_stride(stretch_contrast(each.image))]) for each in samples]
    (network,) = find_run(BUNDLED).fast().networks.values()
    timed = compare_engines(load_engines(network), batches)
    ours_s, _ = timed.pop(FASTEST)
    task = f"one network, {len(batches)} images, {FASTEST}"
    for name, (elapsed_s, _) in timed.items():
        yield task, format_s(ours_s), name, format_s(elapsed_s), f"{elapsed_s / ours_s:.2f}"


def load_engines(network: Path) -> dict[str, Compute]:
    """Return the engines that compute a network, by name and precision."""
    import torch

    from kaggle_dsb.network.model import load_network
    from kaggle_dsb.network.torch_engine import TorchEngine

    torch.set_num_threads(1)
    model = load_network(network)[0]
    engines: dict[str, Compute] = {
        REFERENCE: TorchEngine([model]),
        "torch bfloat16": TorchEngine([model], precision="bfloat16"),
    }
    if find_spec("onnx") and find_spec("onnxruntime"):
        engines["onnxruntime float32"] = load_onnxruntime(model)
    best = choose_engine(HardwareSettings(accelerator="cpu", engine="openvino")).precision
    ways: list[tuple[str, Precision, bool]] = [
        ("float32", "float32", False),
        ("bfloat16", "bfloat16", False),
        ("8 bits", best, True),
    ]
    for name, precision, is_quantized in ways:
        engines[f"openvino {name}"] = OpenVinoEngine.load(
            [network], tta="none", precision=precision, threads=1, is_quantized=is_quantized
        )
    return engines


def load_onnxruntime(network: "nn.Module") -> Compute:
    """Return a function that computes a torch network in ONNX Runtime, on one thread."""
    import onnxruntime
    import torch

    exported = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that does not need onnxscript is deprecated
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, 64, 64),),
            exported,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["images"],
            dynamic_axes={"images": [0, 2, 3]},
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        exported.getvalue(), options, providers=["CPUExecutionProvider"]
    )

    def compute(batch: Batch) -> NDArray[np.float32]:
        (logits,) = session.run(None, {"images": batch.astype(np.float32)})
        probability: NDArray[np.float32] = expit(logits)
        return probability

    return compute


def compare_engines(
    engines: Mapping[str, Compute], batches: list[Batch]
) -> dict[str, tuple[float, float]]:
    """Return the seconds of each engine for all images, and its maximum absolute error."""
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


class Stopwatch:
    """Adds up the CPU time spent in functions, in the calling thread only."""

    def __init__(self) -> None:
        self.elapsed_s: dict[str, float] = {}

    def time_calls(self, owner: object, name: str, part: str) -> Any:
        """Return a context in which every call of a module's or class's function is timed."""
        function = getattr(owner, name)
        self.elapsed_s[part] = 0.0

        def timed(*args: object, **kwargs: object) -> object:
            started_s = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.elapsed_s[part] += time.thread_time() - started_s

        return mock.patch.object(owner, name, timed)
