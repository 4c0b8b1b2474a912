from types import SimpleNamespace

import cv2
import pytest
import torch

from kaggle_dsb.config import HardwareSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network import hardware
from kaggle_dsb.network.hardware import (
    AVX512_VNNI,
    choose_device,
    choose_precision,
    count_cores,
    prepare_hardware,
)


@pytest.fixture
def eight_cores(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    return tmp_path


@pytest.fixture
def gpu_of(monkeypatch):
    """Stand in for a GPU of a compute capability."""

    def pretend(major, minor):
        capability = SimpleNamespace(major=major, minor=minor)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: capability)

    return pretend


def test_every_core_counts_where_nothing_limits_them(eight_cores):
    assert count_cores() == 8


@pytest.mark.parametrize(
    ("variable", "cores"), [("3", 3), ("2,1", 2), ("64", 8), ("", 8), ("0", 8), ("many", 8)]
)
def test_the_openmp_variable_limits_the_cores(eight_cores, monkeypatch, variable, cores):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert count_cores() == cores


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 8)],
)
def test_a_container_limits_the_cores(eight_cores, limit, cores):
    (eight_cores / "cpu.max").write_text(f"{limit}\n")
    assert count_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_a_container_of_the_first_cgroup_version_limits_the_cores(eight_cores, quota, cores):
    (eight_cores / "cpu").mkdir()
    (eight_cores / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (eight_cores / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert count_cores() == cores


@pytest.mark.parametrize(("threads", "expected"), [(3, 3), (0, 8)])
def test_torch_gets_the_threads_that_are_set_or_one_a_core(eight_cores, threads, expected):
    n_threads = torch.get_num_threads()
    try:
        prepare_hardware(Settings(hardware=HardwareSettings(threads=threads)))
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_precision_is_what_was_asked_for(precision, device):
    assert choose_precision(precision, device) == precision


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
)
def test_a_gpu_gets_bfloat16_only_where_it_computes_in_it(gpu_of, capability, precision):
    gpu_of(*capability)
    assert choose_precision("auto", "cuda") == precision


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({}, "float32")],
)
def test_a_processor_gets_bfloat16_only_where_it_computes_in_it(
    monkeypatch, capabilities, precision
):
    # torch 2.6 does not tell.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", "cpu") == precision


def test_opencv_means_the_same_cpu_feature_by_our_number():
    assert cv2.getHardwareFeatureName(AVX512_VNNI) == "AVX512VNNI"


def test_a_gpu_is_taken_where_there_is_one_unless_the_cpu_was_asked_for(monkeypatch):
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    assert [choose_device(name) for name in ("auto", "gpu", "cpu")] == ["cuda", "cuda", "cpu"]


def test_a_gpu_that_is_not_there_is_not_replaced_by_the_cpu(monkeypatch):
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    with pytest.raises(InputError) as error:
        choose_device("gpu")
    assert str(error.value) == (
        "hardware.accelerator = 'gpu': torch finds no GPU here; 'auto' takes the CPU instead"
    )
    assert choose_device("auto") == choose_device("cpu") == "cpu"
