"""Time a training step of the default network on this machine's CPU, setting by setting.

The last lines are what a step does not spend in the network, cutting and changing its crops, and
the share of a training's time that is left for the network.

``python -m benchmarks.training_step`` runs every variation in a process of its own, one after the
other, and prints seconds per crop and the ratio to the first. Compare ratios, not seconds.
"""

import subprocess
import sys
import time

import torch

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.instances.probability import CHANNELS
from kaggle_dsb.network.hardware import keep_freed_memory, prepare_hardware
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.training.crops import CropDataset
from kaggle_dsb.training.losses import segmentation_loss
from kaggle_dsb.training.sources import FoldData

VARIATIONS = {
    "float32, 1 thread": {"threads": 1},
    "float32, 1 thread, memory given back": {"threads": 1, "keep_memory": False},
    "float32, all threads": {"threads": 0},
    "bfloat16, 1 thread": {"threads": 1, "half": True},
    "making the crop, 1 thread": {"threads": 1, "only_crop": True},
}
BATCH, CROP_PX, STEPS, CROPS, WARM_UP = 8, 192, 4, 200, 20


def time_crop() -> float:
    """Return the mean seconds to make one training crop, of the demo's images."""
    samples = [Sample(str(n), *make_image(n, look=n)) for n in range(8)]
    dataset = CropDataset(FoldData(samples, [1.0] * len(samples)), Settings(), seed=0)
    for number in range(WARM_UP):
        dataset[number]
    started = time.perf_counter()
    for number in range(CROPS):
        dataset[number]
    return (time.perf_counter() - started) / CROPS


def time_step(
    *, threads: int, keep_memory: bool = True, half: bool = False, only_crop: bool = False
) -> float:
    """Return the seconds per crop of the fastest of a few steps."""
    if only_crop:
        prepare_hardware(Settings(hardware=HardwareSettings(threads=threads)))
        return time_crop()
    settings = Settings(hardware=HardwareSettings(threads=threads))
    prepare_hardware(settings)
    if keep_memory:
        keep_freed_memory()
    network = NucleusNet(settings.network, pretrained=False).train()
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.randint(0, 256, (BATCH, 3, CROP_PX, CROP_PX))
    targets = torch.randint(0, 2, (BATCH, len(CHANNELS), CROP_PX, CROP_PX)).float()
    elapsed_s = []
    for _ in range(STEPS):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = segmentation_loss(network(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        elapsed_s.append(time.perf_counter() - started)
    return min(elapsed_s) / BATCH


def main() -> None:
    """Time every variation, or the one that is named."""
    if len(sys.argv) > 1:
        print(time_step(**VARIATIONS[sys.argv[1]]))  # type: ignore[arg-type]
        return
    seconds_of = {}
    for name in VARIATIONS:
        command = [sys.executable, "-m", "benchmarks.training_step", name]
        seconds = float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        seconds_of[name] = seconds
        ratio = seconds / next(iter(seconds_of.values()))
        print(f"{name:40} {seconds:.4f} s/crop, {ratio:.2f} of the first")
    step, crop = (seconds_of[name] for name in ("bfloat16, 1 thread", "making the crop, 1 thread"))
    print(f"the network has {step / (step + crop):.1%} of the time, in bfloat16 on one thread")


if __name__ == "__main__":
    main()
