"""What a machine tells of itself, as far as a plan depends on it."""

from __future__ import annotations

import pytest

from edge_alpr.errors import BuildError
from edge_alpr.infer import machine
from edge_alpr.infer.machine import Machine, driver_version, examine_machine, l4t_release

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\nGCC version:  1.2\n"


class Cuda:
    """The driver's calls that are used, on one Orin; `failing` is the one that fails."""

    def __init__(self, failing: str = "", devices: int = 1) -> None:
        self.failing, self.devices = failing, devices

    def __getattr__(self, name):
        def call(*arguments):
            if name == self.failing:
                return 999
            answer = getattr(Cuda, f"_{name}", None)
            if answer:
                answer(self, *arguments)
            return 0

        return call

    def _cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self.devices

    def _cuDeviceGetName(self, name, size, device):  # noqa: N802
        name.value = b"Orin (nvgpu)"

    def _cuDeviceGetAttribute(self, value, which, device):  # noqa: N802
        value._obj.value = {75: 8, 76: 7}[which]

    def _cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = 12060


@pytest.fixture
def board(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(RELEASE)
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(MODULE)
    return tmp_path


def test_an_orin_is_described(board):
    assert examine_machine(board, Cuda()) == Machine("Orin (nvgpu)", "8.7", "12.6", "540.4.0", "36.4.3")


def test_what_a_machine_does_not_tell_is_empty(tmp_path):
    assert (l4t_release(tmp_path), driver_version(tmp_path)) == ("", "")
    assert examine_machine(tmp_path, Cuda()).l4t == ""


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
    with pytest.raises(BuildError, match=rf"the GPU does not answer: {call} gives 999; see edge-alpr doctor"):
        examine_machine(board, Cuda(call))


def test_no_gpu_and_no_driver(board, monkeypatch):
    with pytest.raises(BuildError, match="CUDA finds no GPU"):
        examine_machine(board, Cuda(devices=0))
    monkeypatch.setattr(machine, "LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(BuildError, match="there is no NVIDIA driver here"):
        examine_machine(board)
