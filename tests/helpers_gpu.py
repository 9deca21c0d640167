"""The stand-in GPU for tests: the driver in C, compiled once, TensorRT on top of it, and packages for a small plane."""

from __future__ import annotations

import ctypes
import gc
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

import msgspec
import numpy as np
import pytest
from helpers_infer import blob_finder, card, column_reader, package
from helpers_parts import missing
from onnx import TensorProto, helper, numpy_helper

from edge_alpr.infer.card import Card, InputCard, OutputCard
from edge_alpr.infer.cuda import Gpu, open_gpu
from edge_alpr.infer.package import ModelPackage
from edge_alpr.types import DevicePlane, Luma, Memory

HERE = Path(__file__).resolve().parent
KINDS = ("device", "pinned", "stream", "event", "graph", "exec", "resource", "external", "image")


@cache
def _compiled() -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        missing("no gcc here: the stand-in GPU driver cannot be compiled")
    library = Path(mkdtemp(prefix="standin")) / "libcuda.so.1"
    source = HERE / "native" / "cuda.c"
    command = [compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)
    return library


@contextmanager
def checked_driver() -> Iterator[Driver]:
    """The stand-in driver; at the end nothing may be left, and nothing have been done wrong."""
    standin = Driver()
    standin.reset()
    yield standin
    gc.collect()
    complaint, alive = standin.complaint, standin.alive
    standin.reset()
    assert (complaint, alive) == ("", {}), (complaint, alive)


class Driver:
    """The stand-in driver as tests see it: what is alive, what was done wrong, and faults."""

    def __init__(self) -> None:
        self.path = str(_compiled())
        self.lib = ctypes.CDLL(self.path)
        self.lib.standin_host.restype = self.lib.standin_see.restype = ctypes.c_uint64
        self.lib.standin_copied.restype = ctypes.c_uint64
        self.lib.standin_calls.restype = ctypes.c_long
        self.lib.standin_complaint.restype = ctypes.c_char_p
        self.lib.standin_host.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
        self.lib.standin_see.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self.lib.standin_unsee.argtypes = [ctypes.c_uint64]
        self.lib.standin_work.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64]
        self.lib.standin_capturing.argtypes = [ctypes.c_uint64]
        self.lib.standin_image.argtypes = [ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_uint32] * 3, ctypes.c_int]
        self.lib.standin_drop_image.argtypes = [ctypes.c_uint64]
        self.lib.standin_fault.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]

    def fault(self, call: str, nth: int = 1, code: int = 2) -> None:
        """The `nth` call of it from now on fails once."""
        self.lib.standin_fault(call.encode(), nth, code)

    def calls(self, call: str) -> int:
        return int(self.lib.standin_calls(call.encode()))

    def lose(self, code: int = 999) -> None:
        """Every call fails from now on."""
        self.lib.standin_lose(code)

    @property
    def alive(self) -> dict[str, int]:
        counts = {kind: int(self.lib.standin_alive(i)) for i, kind in enumerate(KINDS)}
        return {kind: number for kind, number in {**counts, "context": self.lib.standin_retained()}.items() if number}

    @property
    def complaint(self) -> str:
        """What was done wrong first; empty where nothing was."""
        return self.lib.standin_complaint().decode()

    @property
    def uploaded(self) -> int:
        return int(self.lib.standin_copied(0))

    @property
    def downloaded(self) -> int:
        return int(self.lib.standin_copied(1))

    def see(self, memory: np.ndarray) -> int:
        """The device address of host memory: keep the array while it is used."""
        return int(self.lib.standin_see(memory.ctypes.data, memory.nbytes))

    def reset(self) -> None:
        self.lib.standin_reset()


def standin_tensorrt(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """TensorRT's stand-in as the module `tensorrt`, on that driver, as if newly loaded."""
    monkeypatch.syspath_prepend(str(HERE / "standin"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # so that what was there before comes back, or nothing
    del sys.modules["tensorrt"]
    module = importlib.import_module("tensorrt")
    assert module.__file__
    assert Path(module.__file__).is_relative_to(HERE)
    module.world.driver = driver.lib
    return module


@contextmanager
def opened(driver: Driver) -> Iterator[Gpu]:
    with open_gpu(driver.path) as gpu:
        yield gpu


class PlaneMemory:
    """A frame's Y plane in memory that the stand-in GPU sees, as a surface of NVMM lies there."""

    def __init__(self, driver: Driver, luma: Luma, pitch: int) -> None:
        rows, columns = luma.shape
        self.memory = np.full((rows, pitch), 255, np.uint8)
        self.memory[:, :columns] = luma
        self._driver = driver
        self.plane = DevicePlane(driver.see(self.memory), columns, rows, pitch, Memory.NVMM)

    def close(self) -> None:
        self._driver.lib.standin_unsee(self.plane.pointer)


PROFILES = tuple((n, n, n) for n in (1, 2, 4, 8))
WIDTH, HEIGHT, PITCH = 320, 180, 512


def plane_packages(folder: Path, detector: object = None, reader: object = None) -> tuple[ModelPackage, ModelPackage]:
    """A detector and a reader for planes of 320 x 180, 512 bytes a row: of the tiny models, or of those given."""
    from export.compose import Plane, detector_for_gpu, reader_for_gpu  # noqa: PLC0415 - needs onnx

    plane = Plane(WIDTH, HEIGHT, PITCH)
    source = InputCard(name="luma", shape=(1, 1, HEIGHT, PITCH), dtype="uint8", layout="luma")
    finds = detector_for_gpu(detector or blob_finder(96, 160), plane, 114)
    reads = reader_for_gpu(reader or column_reader(), plane)
    (folder / "finds").mkdir()
    (folder / "reads").mkdir()
    return (
        package(folder / "finds", finds, msgspec.structs.replace(card("detector"), input=source)),
        package(folder / "reads", reads, plane_reader_card()),
    )


def adder(folder: Path) -> ModelPackage:
    """A reader for planes that costs next to nothing: each number is the frame's mean and the sum of the quad."""
    nodes = [
        helper.make_node("Cast", ["luma"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["light"], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["quads"], ["corners"]),
        helper.make_node("ReduceSum", ["corners", "last"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "mean"], ["both"]),
        helper.make_node("Reshape", ["both", "flat"], ["sharpness"]),
        helper.make_node("Reshape", ["both", "deep"], ["cell"]),
        helper.make_node("Add", ["cell", "grid"], ["level"]),
        helper.make_node("Cast", ["level"], ["best"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["level"], ["classes"], to=TensorProto.UINT8),
    ]
    stored = {
        "last": np.array([1]), "flat": np.array([-1]), "deep": np.array([-1, 1, 1]),
        "grid": np.arange(64 * 5, dtype=np.float32).reshape(1, 64, 5) / 8,
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "adder",
        [
            helper.make_tensor_value_info("luma", TensorProto.UINT8, [1, 1, HEIGHT, PITCH]),
            helper.make_tensor_value_info("quads", TensorProto.FLOAT, ["n", 4, 2]),
        ],
        [
            helper.make_tensor_value_info("best", TensorProto.FLOAT16, ["n", 64, 5]),
            helper.make_tensor_value_info("classes", TensorProto.UINT8, ["n", 64, 5]),
            helper.make_tensor_value_info("sharpness", TensorProto.FLOAT, ["n"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )  # fmt: skip
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return package(folder, model, plane_reader_card())


def plane_reader_card() -> Card:
    source = InputCard(name="luma", shape=(1, 1, HEIGHT, PITCH), dtype="uint8", layout="luma")
    return msgspec.structs.replace(
        card("reader"), input=source, output=OutputCard(names=("best", "classes", "sharpness"))
    )


def road(seed: int = 0) -> Luma:
    """A frame with a few bright and striped places."""
    rng = np.random.default_rng(seed)
    luma = rng.integers(40, 90, (HEIGHT, WIDTH), dtype=np.uint8)
    for x, y in rng.integers(0, [WIDTH - 60, HEIGHT - 20], (3, 2)):
        luma[y : y + 16, x : x + 48] = 250
        luma[y + 3 : y + 13, x + 4 : x + 44 : 5] = 20
    return luma


def quads(count: int, seed: int = 0) -> np.ndarray:
    """(count, 4, 2) float32: plates in a frame of `road`, a little tilted."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(2, [WIDTH - 80, HEIGHT - 40], (count, 1, 2))
    shape = np.array([[0, 0], [60, 4], [59, 22], [-1, 18]])
    return (corner + shape).astype(np.float32)
