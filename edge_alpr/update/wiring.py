"""Puts the parts of an agent together, as the configuration says. The one place that knows which parts they are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from edge_alpr import __version__
from edge_alpr.config import Config, UpdateConfig
from edge_alpr.device import sysfs
from edge_alpr.errors import UnsignedListError, UpdateError
from edge_alpr.hotlist.folder import lists_folder
from edge_alpr.hotlist.signature import verify_signature
from edge_alpr.ops.heartbeat import FILE as BEAT
from edge_alpr.ota.agent import Agent
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.lists import Signed
from edge_alpr.ota.rauc import RaucSlots
from edge_alpr.ota.shadow import ShadowLimits
from edge_alpr.ota.types import BootSlots, Car, Repository
from edge_alpr.ota.world import Places, World
from edge_alpr.update.absent import NoServers, OneSide
from edge_alpr.update.proof import DeviceProof, golden_command

Tick = Callable[[], None]
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_COMPATIBLE = Path("/proc/device-tree/compatible")
_SLICE_S = 60.0
"""New models are watched by the minute: short drives add up."""
BOARDS = {"p3767-0003": "orin-nano", "p3767-0004": "orin-nano", "p3767-0005": "orin-nano", "p3767-0000": "orin-nx",
          "p3767-0001": "orin-nx", "p3701": "agx-orin", "p3834": "thor"}  # fmt: skip
"""NVIDIA's modules, by what their device trees call them (documented, not tried on a board)."""


def places(config: Config) -> Places:
    """Where things lie on this device."""
    data = Path(config.update.folder or config.store.path).expanduser()
    return Places(data.absolute(), lists_folder(config).absolute())


def make_agent(config: Config, file: Path | None, tick: Tick = lambda: None) -> Agent:
    """The agent of this device; `file` is the configuration's, for the golden drive. Raises `UpdateError`."""
    where = places(config)
    settings = config.update
    proof = DeviceProof(
        command=golden_command(file, settings.proof_p99_ms, settings.proof_watts),
        beat=Path(config.store.path).expanduser() / BEAT,
        image_s=settings.proof_s,
        models_s=min(_SLICE_S, settings.watch_min * 60),
        silence_s=max(180.0, 3 * config.output.heartbeat_s),
        tick=tick,
    )
    world = World(
        car=Car(config.device_id, board_of(settings)),
        places=where,
        repository=_repository(config, where),
        slots=_slots(),
        disk=Disk(RealFiles()),
        proof=proof,
        signed=signed_as(config),
        boot=sysfs.text(_BOOT_ID) or "unknown",
        clock_s=time.time,
        shadow=ShadowLimits(settings.trial_frames, settings.trial_plates, same=settings.trial_same),
        watch=max(1, math.ceil(settings.watch_min * 60 / _SLICE_S)),
    )
    return Agent(world)


def _repository(config: Config, where: Places) -> Repository:
    settings = config.update
    if not settings.url:
        return NoServers()
    try:
        from edge_alpr.ota.fetch_pace import Link  # noqa: PLC0415 - what they import is an extra
        from edge_alpr.ota.repository import TufRepositories  # noqa: PLC0415
    except ImportError as error:
        raise UpdateError(f"updates need more packages: pip install 'edge-alpr[ota]' ({error})") from error
    link = Link(settings.url, settings.ca_file, round(settings.bandwidth_kb_s * 1000))
    return TufRepositories(link, Path(settings.roots).expanduser(), where.update / "tuf")


def _slots() -> BootSlots:
    slots = RaucSlots()
    return slots if slots.config.exists() else OneSide(__version__)


def board_of(settings: UpdateConfig, tree: Path = _COMPATIBLE) -> str:
    """The board, as `Target.boards` names them; `pc` where the device tree names no module of NVIDIA's."""
    if settings.board != "auto":
        return settings.board
    told = sysfs.text(tree) or ""
    return next((board for module, board in BOARDS.items() if module in told), "pc")


def signed_as(config: Config) -> Signed:
    """The rule of lists that are imported by hand: a wrong signature is refused, none only where one is required."""
    keys, required = Path(config.hotlists.keys), config.hotlists.require_signature

    def signed(data: bytes, signature: bytes | None, name: str) -> None:
        if not (config.hotlists.keys or required):
            return
        if signature is not None:
            verify_signature(data, signature, Path(name), keys)
        elif required:
            raise UnsignedListError(f"{name}: not signed, and hotlists.require_signature wants it")

    return signed
