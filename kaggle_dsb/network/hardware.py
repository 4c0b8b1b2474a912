"""The hardware to compute on: cores, memory, device and precision."""

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Literal

import cv2

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]

GPU_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
CGROUP = Path("/sys/fs/cgroup")
AVX512_VNNI = 23  # OpenCV's number of this CPU feature; see cv2.getHardwareFeatureName(23)


def count_cores() -> int:
    """Count the cores that this process may use.

    The minimum of its CPU affinity, the limit of its cgroup (of a container, as ``docker --cpus``
    sets it) and the variable ``OMP_NUM_THREADS``; at least 1.
    """
    limits = [_affinity(), _cgroup_limit(CGROUP), _openmp_limit()]
    return max(1, min(limit for limit in limits if limit is not None))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _openmp_limit() -> int | None:
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def _cgroup_limit(folder: Path) -> int | None:
    """Read the CPU limit of a cgroup of version 2 or 1, in cores, rounded up."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((folder / "cpu" / name).read_text().strip() for name in names)
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal()):
        return None  # "max" or -1: no limit
    return -(-int(quota) // int(period))


def count_threads(settings: Settings) -> int:
    """Return the number of threads to compute with: ``hardware.threads``, else one per core."""
    return settings.hardware.threads or count_cores()


def prepare_hardware(settings: Settings) -> None:
    """Set the number of threads of OpenCV and, if it is imported, torch."""
    threads = count_threads(settings)
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def keep_freed_memory() -> None:
    """Keep freed memory for the next training step.

    Notes
    -----
    By default glibc returns each large array to the system, and the kernel zeroes the same pages
    again at every step; without that a step on the CPU takes 7 to 14 % less time
    (``python -m benchmarks.training_step``).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def has_int8() -> bool:
    """Return whether the CPU has instructions for INT8 dot products (AVX-512 VNNI)."""
    return cv2.checkHardwareSupport(AVX512_VNNI)


def has_gpu() -> bool:
    """Return whether torch can use a GPU; torch is imported only if a driver can be loaded."""
    if importlib.util.find_spec("torch") is None or not any(map(_can_load, GPU_DRIVERS)):
        return False
    import torch

    return torch.cuda.is_available()


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def choose_device(accelerator: str) -> Device:
    """Return the device for ``auto``, ``cpu`` or ``gpu``.

    Raises
    ------
    InputError
        When a GPU is requested and there is none.
    """
    if accelerator == "cpu":
        return "cpu"
    if has_gpu():
        return "cuda"
    if accelerator == "gpu":
        raise InputError(
            "hardware.accelerator = 'gpu': torch finds no GPU here; 'auto' takes the CPU instead"
        )
    return "cpu"


def list_gpus(accelerator: str) -> list[str]:
    """Return the GPUs to compute on, as ``CUDA_VISIBLE_DEVICES`` names them; none for a CPU.

    Raises
    ------
    InputError
        When a GPU is requested and there is none.
    """
    if choose_device(accelerator) == "cpu":
        return []
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]


def choose_precision(name: Precision | Literal["auto", "int8"], device: str) -> Precision:
    """Return the precision of torch on ``cpu`` or ``cuda``, for ``auto`` or a precision's name.

    ``auto`` is bfloat16 if the hardware supports it. Otherwise it is float16 on a GPU (compute
    capability below 8.0, such as a T4) and float32 on a CPU, which would emulate bfloat16 at half
    the speed.

    Raises
    ------
    InputError
        For int8, which is supported with OpenVINO only.
    """
    if name == "int8":
        raise InputError(
            "hardware.precision = 'int8': only OpenVINO computes in it, and only to predict; auto "
            "is the fastest here"
        )
    if name != "auto":
        return name
    import torch

    if device == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if has_bfloat16 else "float16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    has_bfloat16 = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return "bfloat16" if has_bfloat16 else "float32"
