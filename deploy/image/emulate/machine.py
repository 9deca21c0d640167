"""A machine that qemu emulates: its disk as a flashed board has it, one boot with what the console said and when."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulate.initrd import Kernel
from emulate.inside import MARK

_MIB = 1 << 20
_TABLE = "label: gpt\nname=bootflags, size=1MiB\nname=APP, size={slot}MiB\nname=APP_b, size={slot}MiB\n"


def make_disk(image: Path, disk: Path, size_mib: int) -> None:
    """Both sides' partitions, the root file system in the first, and free room behind: `data` is made by the device."""
    slot = image.stat().st_size // _MIB + 16
    with disk.open("wb") as file:
        file.truncate(size_mib * _MIB)
    subprocess.run(["sfdisk", "--quiet", disk], input=_TABLE.format(slot=slot), text=True, check=True)
    told = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    start = next(part["start"] for part in told["partitiontable"]["partitions"] if part["name"] == "APP") * 512
    with image.open("rb") as content, disk.open("r+b") as file:
        file.seek(start)
        shutil.copyfileobj(content, file, _MIB)


@dataclass(slots=True)
class Boot:
    """One boot. `lines` are (seconds since power-on, text); `result` is what inside.py told, None where it was cut."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    seconds: float = 0.0

    def at(self, text: str) -> float | None:
        """When a line with this text came."""
        return next((moment for moment, line in self.lines if text in line), None)


@dataclass(frozen=True, slots=True)
class Machine:
    """What is the same for all boots. `kind` is the root's file system."""

    kernel: Kernel
    initrd: Path
    kind: str
    cpu: str = "cortex-a76"
    cores: int = 2
    memory_mib: int = 2048

    def command(self, disk: Path, side: str = "A") -> list[str]:
        """How qemu is called: no port of this machine is opened, and the guest reaches nothing outside."""
        label = {"A": "APP", "B": "APP_b"}[side]
        line = f"console=ttyAMA0 root=PARTLABEL={label} rootfstype={self.kind} ro rauc.slot={side} panic=10 loglevel=5"
        line += " systemd.watchdog_sec=600"  # emulated time has gaps: one of 30 s is no hang
        return [
            "qemu-system-aarch64", "-M", "virt", "-cpu", self.cpu, "-smp", str(self.cores), "-m", str(self.memory_mib),
            "-accel", "tcg,thread=multi,tb-size=512", "-nodefaults", "-display", "none", "-serial", "stdio",
            "-no-reboot",
            "-kernel", str(self.kernel.image), "-initrd", str(self.initrd), "-append", line,
            "-drive", f"file={disk},if=none,id=disk,format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=disk",
            "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci", "-device", "i6300esb",
        ]  # fmt: skip

    def boot(self, disk: Path, cut_s: float | None = None, patience_s: float = 1200.0, side: str = "A") -> Boot:
        """Power on; off again when the machine switches itself off, after `cut_s` seconds, or when patience is out."""
        boot, started = Boot(), time.monotonic()
        qemu = subprocess.Popen(self.command(disk, side), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                errors="replace")  # fmt: skip
        listener = threading.Thread(target=_listen, args=(qemu, boot, started), daemon=True)
        listener.start()
        try:
            qemu.wait(cut_s or patience_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            qemu.kill()
            qemu.wait()
        listener.join(10)
        boot.seconds = time.monotonic() - started
        return boot


def _listen(qemu: subprocess.Popen[str], boot: Boot, started: float) -> None:
    assert qemu.stdout
    for line in qemu.stdout:
        boot.lines.append((time.monotonic() - started, line.rstrip()))
        if line.startswith(MARK):
            boot.result = json.loads(line.removeprefix(MARK))
