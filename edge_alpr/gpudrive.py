"""What a drive needs of the GPU: frames that stay in its memory, and the networks for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
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
from edge_alpr.infer.looking import Bench, Look, bound_to, open_bench
from edge_alpr.infer.machine import examine_machine
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.planfolder import PlanFolder, own_recipe
from edge_alpr.infer.recipe import Recipe
from edge_alpr.infer.rungs import PlanReader
from edge_alpr.infer.sets import GRAPHS, ModelSet, shipped_set, usable_set
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
    among: ModelSet
    """The set whose networks look, at first."""
    bench_for: Callable[[ModelSet], Bench]
    """For the networks of another set. Raises an `EdgeAlprError` where there are no graphs of them."""
    refused: str = ""
    """Why that is not the set that was wanted, where it is not."""


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


def open_gpu_drive(
    config: Config, hardware: Hardware, interpret: Interpret, stack: ExitStack, among: ModelSet
) -> GpuDrive | None:
    """The GPU of a drive, closed with `stack`; None where the configuration or the machine has none for it.

    `among` is the set that reads; where only the shipped one has graphs, that is taken (`GpuDrive.among`), and told.
    Raises an `EdgeAlprError` where the configuration insists on a GPU.
    """
    if config.models.run_on == "cpu":
        return None
    try:
        return _opened(config, hardware, interpret, stack, among)
    except EdgeAlprError as error:
        reason = error
    if among.version:
        with suppress(EdgeAlprError):
            drive = _opened(config, hardware, interpret, stack, shipped_set())
            _log.warning("the shipped models read, for the GPU has nothing of the others: %s", reason)
            return replace(drive, refused=str(reason))
    if config.models.run_on == "gpu":
        raise reason
    absent = isinstance(reason, GpuError) and not reason.status  # no driver is installed
    quiet = absent and not hardware.expected
    _log.log(logging.INFO if quiet else logging.WARNING, "no GPU in this drive: %s", reason)
    return None


def _opened(
    config: Config, hardware: Hardware, interpret: Interpret, stack: ExitStack, among: ModelSet
) -> GpuDrive:
    with ExitStack() as opened:
        bench = opened.enter_context(opened_bench(config, hardware, among))
        health = GpuHealth()
        look = Look(bench, config, health, interpret)
        bench_for = partial(_bench, config, hardware, bench.gpu)
        drive = GpuDrive(hardware.frames(bench.gpu, health), look, among, bench_for)
        stack.push(opened.pop_all())
        return drive


@contextmanager
def opened_bench(config: Config, hardware: Hardware, among: ModelSet | None = None) -> Iterator[Bench]:
    """What networks on the GPU are opened with, while it is held; `among` is the set, where it was looked up already.

    Raises an `EdgeAlprError` where there is none.
    """
    models = config.models
    with _given_back(hardware.gpu()) as gpu:
        if models.run_on != "gpu" and (models.detector or models.reader):
            raise ModelError("models of your own run on the processor; where there are graphs of them: run_on = 'gpu'")
        yield _bench(config, hardware, gpu, among or usable_set(models))


def _bench(config: Config, hardware: Hardware, gpu: Gpu, among: ModelSet) -> Bench:
    """The graphs of a set: in its own folder, else those of the usual one that were made from its networks."""
    own = among.folder / GRAPHS
    folder = own if among.version and own.is_dir() else Path(config.models.engines).expanduser()
    recipe = hardware.recipe(folder)
    return bound_to(open_bench(folder, gpu, recipe, hardware.plans(folder, recipe)), among)


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
