"""What a machine tells of itself, as far as a plan depends on it."""

from __future__ import annotations

from functools import partial

import pytest

from edge_alpr.errors import BuildError
from edge_alpr.infer import machine
from edge_alpr.infer.driver import error_of, open_driver
from edge_alpr.infer.machine import Machine, driver_version, examine_machine

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\nGCC version:  1.2\n"


class Orin:
    """The driver's calls that are used, on one Orin; `failing` is the one that fails."""

    def __init__(self, failing: str = "", devices: int = 1) -> None:
        self.failing = failing
        self.answers = {"cuDeviceGetCount": devices, "cuDeviceGetName": b"Orin (nvgpu)", "cuDriverGetVersion": 12060}

    def call(self, name, *values):
        if name == self.failing:
            raise error_of(name, 999, "CUDA_ERROR_UNKNOWN")
        if name == "cuDeviceGetAttribute":
            return {75: 8, 76: 7}[values[0]]
        return self.answers.get(name, 0)


@pytest.fixture
def board(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(RELEASE)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(MODULE)
    return tmp_path


def test_an_orin_is_described(board):
    assert examine_machine(board, Orin()) == Machine("Orin (nvgpu)", "8.7", "12.6", "540.4.0", "36.4.3")


def test_what_a_machine_does_not_tell_is_empty(tmp_path):
    assert driver_version(tmp_path) == ""
    assert examine_machine(tmp_path, Orin()).l4t == ""


def test_a_desktop_driver(tmp_path):
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024"
    (tmp_path / "proc/driver/nvidia/version").write_text(line)
    assert driver_version(tmp_path) == "560.35.03"


@pytest.mark.parametrize(
    "call",
    ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDriverGetVersion"],
)
def test_each_call_that_fails_is_told(call, board):
    with pytest.raises(BuildError, match=rf"no plan can be built here: {call}: CUDA_ERROR_UNKNOWN \(999\); start"):
        examine_machine(board, Orin(call))


def test_no_gpu_and_no_driver(board, monkeypatch):
    with pytest.raises(BuildError, match="CUDA finds no GPU"):
        examine_machine(board, Orin(devices=0))
    monkeypatch.setattr(machine, "open_driver", partial(open_driver, "libcuda-that-is-not-there.so.1"))
    with pytest.raises(BuildError, match=r"libcuda-that-is-not-there.*install NVIDIA's driver"):
        examine_machine(board)
