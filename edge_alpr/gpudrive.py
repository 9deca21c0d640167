"""What a drive needs of the GPU: frames that stay in its memory, and the networks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_alpr.camera import cudamemory, nvmm, registrations
from edge_alpr.camera.lender import DeviceFrames
from edge_alpr.config import Config
from edge_alpr.device import open_board
from edge_alpr.device.jetson import is_jetson
from edge_alpr.errors import EdgeAlprError, GpuError, ModelError
from edge_alpr.evidence import Interpret
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.infer.cuda import EglImage, Gpu, open_gpu
from edge_alpr.infer.looking import Bench, Look, open_bench
from edge_alpr.infer.machine import examine_machine
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.planfolder import PlanFolder, own_recipe
from edge_alpr.infer.recipe import Recipe
from edge_alpr.infer.rungs import PlanReader
from edge_alpr.infer.trtengine import load_tensorrt
from edge_alpr.types import Memory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine under it. Each call raises an `EdgeAlprError` where it cannot be had."""

    gpu: Callable[[], Gpu]
    frames: Callable[[Gpu, GpuHealth], DeviceFrames]
    recipe: Callable[[Path], Recipe]
    """Of the board, for a folder of graphs."""
    plans: Callable[[Path, Recipe], PlanReader]
    expected: bool = False
    """Whether such a machine has a GPU: then one that cannot be had is told."""


@dataclass(frozen=True, slots=True)
class GpuDrive:
    """Where frames are to lie, and what looks at them there."""

    frames: DeviceFrames
    look: Look


def this_hardware(root: Path = Path("/")) -> Hardware:
    """The machine whose files lie under `root`."""
    jetson = is_jetson(root)
    return Hardware(
        gpu=open_gpu,
        frames=_nvmm_frames if jetson else _cuda_frames,
        recipe=lambda folder: own_recipe(folder, open_board(root).name, jetson),
        plans=partial(_plans, root),
        expected=jetson,
    )


def open_gpu_drive(config: Config, hardware: Hardware, interpret: Interpret, stack: ExitStack) -> GpuDrive | None:
    """The GPU of a drive, closed with `stack`; None where the configuration or the machine has none for it.

    Raises an `EdgeAlprError` where the configuration insists on it.
    """
    if config.models.run_on == "cpu":
        return None
    try:
        with ExitStack() as opened:
            bench = opened.enter_context(opened_bench(config, hardware))
            health = GpuHealth()
            drive = GpuDrive(hardware.frames(bench.gpu, health), Look(bench, config, health, interpret))
            stack.push(opened.pop_all())
            return drive
    except EdgeAlprError as error:
        if config.models.run_on == "gpu":
            raise
        absent = isinstance(error, GpuError) and not error.status  # no driver is installed
        quiet = absent and not hardware.expected
        _log.log(logging.INFO if quiet else logging.WARNING, "no GPU in this drive: %s", error)
        return None


@contextmanager
def opened_bench(config: Config, hardware: Hardware) -> Iterator[Bench]:
    """What networks on the GPU are opened with, while it is held. Raises an `EdgeAlprError` where there is none."""
    models = config.models
    with _given_back(hardware.gpu()) as gpu:
        if models.run_on != "gpu" and (models.detector or models.reader):
            raise ModelError("models of your own run on the processor; where there are graphs of them: run_on = 'gpu'")
        folder = Path(models.engines).expanduser()
        recipe = hardware.recipe(folder)
        yield open_bench(folder, gpu, recipe, hardware.plans(folder, recipe))


@contextmanager
def _given_back(gpu: Gpu) -> Iterator[Gpu]:
    """A GPU that is gone cannot be closed: that is logged, for the drive went on without it."""
    try:
        yield gpu
    finally:
        try:
            gpu.close()
        except GpuError as error:
            _log.warning("the GPU could not be given back whole: %s", error)


def _plans(root: Path, folder: Path, recipe: Recipe) -> PlanReader:
    """Asks for the machine and for TensorRT only when a plan is wanted: then their absence is a rung's refusal."""

    def read(package: ModelPackage) -> bytes:
        return PlanFolder(folder, recipe, examine_machine(root), load_tensorrt())(package)

    return read


def _nvmm_frames(gpu: Gpu, health: GpuHealth) -> DeviceFrames:
    library = registrations.load_library()
    return DeviceFrames(
        Memory.NVMM, lambda: nvmm.NvmmBorrower(library, partial(EglImage, gpu), health=health)
    )


def _cuda_frames(gpu: Gpu, _health: GpuHealth) -> DeviceFrames:
    library = cudamemory.load_library()
    sync = cudamemory.syncing(library)
    return DeviceFrames(
        Memory.CUDA,
        lambda: cudamemory.CudaBorrower(sync),
        lambda pipeline: cudamemory.share_context(pipeline, gpu.context, gpu.device, library),
    )
