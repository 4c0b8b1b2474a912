"""Time a training step of the default network on this machine's CPU, in several settings.

The time outside the network, for cutting and augmenting the crops, is measured too.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Row, format_s
from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.instances.probability import CHANNELS
from kaggle_dsb.network.hardware import keep_freed_memory, prepare_hardware
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.training.crops import CropDataset
from kaggle_dsb.training.losses import segmentation_loss
from kaggle_dsb.training.sources import FoldData

FASTEST, CROP = "bfloat16", "making the crop"
VARIATIONS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32, memory given back": {"keep_memory": False},
    FASTEST: {"half": True},
    CROP: {"only_crop": True},
}
BATCH, CROP_PX, STEPS, CROPS, WARM_UP = 8, 192, 4, 200, 20


def time_crop() -> float:
    """Return the mean CPU time of one training crop of demo images, in seconds."""
    samples = [Sample(str(n), *make_image(n, look=n)) for n in range(8)]
    dataset = CropDataset(FoldData(samples, [1.0] * len(samples)), Settings(), seed=0)
    for number in range(WARM_UP):
        dataset[number]
    started = time.process_time()
    for number in range(CROPS):
        dataset[number]
    return (time.process_time() - started) / CROPS


def time_step(*, keep_memory: bool = True, half: bool = False, only_crop: bool = False) -> float:
    """Return the CPU time per crop of the fastest of several steps, with one thread."""
    settings = Settings(hardware=HardwareSettings(threads=1))
    prepare_hardware(settings)
    if only_crop:
        return time_crop()
    if keep_memory:
        keep_freed_memory()
    network = NucleusNet(settings.network, pretrained=False).train()
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.randint(0, 256, (BATCH, 3, CROP_PX, CROP_PX))
    targets = torch.randint(0, 2, (BATCH, len(CHANNELS), CROP_PX, CROP_PX)).float()
    elapsed_s = []
    for _ in range(STEPS):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = segmentation_loss(network(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        elapsed_s.append(time.process_time() - started)
    return min(elapsed_s) / BATCH


def time_training(data: Path | None = None, work: Path | None = None) -> Iterator[Row]:
    """Yield rows on the time per crop in several settings, and on the network's share of a step.

    Each is measured in its own process, since the memory setting is global.
    """
    seconds_of = {}
    for name in VARIATIONS:
        command = [sys.executable, "-m", "benchmarks.training_step", name]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        seconds_of[name] = float(done.stdout)
    step_s, crop_s = seconds_of.pop(FASTEST), seconds_of.pop(CROP)
    task = f"training step, {FASTEST}, {1 / (step_s + crop_s):.1f} crops/s and core"
    for name, elapsed_s in seconds_of.items():
        yield task, format_s(step_s), name, format_s(elapsed_s), f"{elapsed_s / step_s:.2f}"
    share = f"{step_s / (step_s + crop_s):.1%}"
    yield task, format_s(step_s), "with making the crop", format_s(step_s + crop_s), share


if __name__ == "__main__":
    print(time_step(**VARIATIONS[sys.argv[1]]))
