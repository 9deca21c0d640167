"""What flashing will do, written down before it is done: files, then commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flash_tool.bsp import TOOL, System
from flash_tool.check import Request
from flash_tool.layout import make_table

ENVIRONMENT = {"ROOTFS_AB": "1", "ROOTFS_RETRY_COUNT_MAX": "3"}
"""Two root file systems; three starts that are not marked good, and the other one is started [DOC]."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, run in the BSP folder."""

    what: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As one would type it."""
        before = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*before, shlex.join(self.argv)])


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will be done, in order."""

    folder: Path
    table: Path
    """Where the partition table is written, in the folder."""
    table_text: str
    commands: tuple[Command, ...]

    def lines(self) -> Iterator[str]:
        """What `--dry-run` prints: it can be pasted, but for the table, which `deploy/flash table` prints."""
        yield f"cd {shlex.quote(str(self.folder))}"
        yield f"# write {self.table.relative_to(self.folder)} ({len(self.table_text)} bytes)"
        for command in self.commands:
            yield f"# {command.what}"
            yield str(command)


def make_plan(request: Request, system: System) -> Plan:
    """What has to be done for that; the folder and the image were found to be well."""
    name = f"edge-alpr-{request.board.name}-{request.medium.name}.xml"
    table = request.bsp / "tools" / "kernel_flash" / name
    text = make_table(request.bsp / request.medium.template, request.layout)
    flash = Command("flash: QSPI, both slots, the partition table", _flash_argv(request, table), ENVIRONMENT)
    return Plan(request.bsp, table, text, (*_unpacking(request, system), flash))


def _unpacking(request: Request, system: System) -> Iterator[Command]:
    if request.image is None:
        return
    image = str(request.image.path.resolve())
    keep = ("--numeric-owner", "--xattrs", "--xattrs-include=*")
    tar = ("tar", "--extract", "--preserve-permissions", *keep, "-C", "rootfs", "-f", image)
    yield Command("unpack the image", tar)
    if not system.release:
        yield Command("add NVIDIA's drivers", ("./apply_binaries.sh",))


def _flash_argv(request: Request, table: Path) -> tuple[str, ...]:
    """NVIDIA's command line [DOC]. `-S` too: NVIDIA's tool makes the image of a slot by it, not by the table."""
    place, slot = str(table.relative_to(request.bsp)), str(request.slot_bytes)
    last = (request.config, request.board.rootdev[request.medium.name])
    if request.medium.device != "external":
        return (f"./{TOOL}", "-p", f"-c {place} -S {slot}", "--network", "usb0", *last)
    outer = ("--external-device", f"{request.medium.node}p1", "-c", place, "-S", slot)
    inner = ("-p", f"-c {request.board.qspi}") if request.board.qspi else ()
    return (f"./{TOOL}", *outer, *inner, "--network", "usb0", *last)
