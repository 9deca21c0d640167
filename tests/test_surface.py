"""The binary interface of NVIDIA's surfaces: as a C compiler lays it out, and refused where it is not known."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from helpers_nvmm import EglFrame, compiled

from edge_alpr.camera import surface as abi
from edge_alpr.camera.surface import ABIS, choose_abi
from edge_alpr.errors import SurfaceError

OTHER_NAMES = {"pPitch": "planes", "frameType": "kind", "eglColorFormat": "colour"}


@pytest.mark.parametrize("l4t", [35, 38])
def test_the_structures_lie_as_the_c_compiler_lays_them(l4t: int, tmp_path: Path) -> None:
    structures: dict[str, type[ctypes.Structure]] = {
        "PlaneParams": abi.PlaneParams,
        "CudaBuffer": abi.CudaBuffer,
        "EglFrame": EglFrame,
        **{name: getattr(abi, f"{name}{l4t}") for name in ("Surface", "Params", "MappedAddress")},
    }
    printed = subprocess.run([compiled(tmp_path, "offsets.c", l4t)], capture_output=True, text=True, check=True)
    lines = [line.split() for line in printed.stdout.splitlines()]
    assert {name for name, *_ in lines} == set(structures)
    for name, field, offset, size in lines:
        if field == "-":
            assert ctypes.sizeof(structures[name]) == int(size), name
            continue
        found = getattr(structures[name], OTHER_NAMES.get(field, field) if name == "EglFrame" else field)
        assert (found.offset, found.size) == (int(offset), int(size)), (name, field)


def test_the_size_of_a_surface_is_its_interface() -> None:
    assert [(ctypes.sizeof(each.surface), ctypes.sizeof(each.params)) for each in ABIS] == [(64, 384), (72, 416)]
    assert all(ctypes.sizeof(each.surface) == each.bytes for each in ABIS)


@pytest.mark.parametrize(("size", "release", "params"), [(64, 35, 384), (64, 36, 384), (72, 38, 416), (72, 39, 416)])
def test_the_interface_follows_size_and_release(size: int, release: int, params: int) -> None:
    assert ctypes.sizeof(choose_abi(size, release).params) == params


@pytest.mark.parametrize(
    ("size", "release"), [(68, 36), (72, 36), (64, 38), (64, 34), (0, 36), (104, 39), (64, 37), (72, 37)]
)
def test_sizes_and_releases_that_do_not_go_together_are_refused(size: int, release: int) -> None:
    with pytest.raises(SurfaceError, match=rf"{size} bytes on L4T r{release}.*nvidia-l4t-multimedia"):
        choose_abi(size, release)


def test_an_unknown_release_is_refused_with_what_a_container_lacks() -> None:
    with pytest.raises(SurfaceError, match=r"-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"):
        choose_abi(64, None)
