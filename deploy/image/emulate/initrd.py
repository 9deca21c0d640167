"""The initrd for qemu: busybox, some kernel modules, what the test puts into /run. Nothing of it is in the image."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "squashfs", "ext4", "loop", "nf_tables", "nft_ct",
    "i6300esb",
)  # fmt: skip
"""What Debian's kernel needs for qemu's machine, and nftables' parts: /lib/modules is not in the image."""
_CHECK = """[Unit]
Description=Looks from inside, for deploy/image/boot
After=multi-user.target

[Service]
ExecStart=/usr/bin/python3 /run/edge-alpr-test/inside.py

"""
_BEFORE = """[Unit]
Description=Notes what the store holds, for deploy/image/boot
Before=edge-alpr.service

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /run/edge-alpr-test/inside.py before
"""
_SOURCE = """[Service]
ExecStartPre=+/bin/sed -i 's,^uri = .*,uri = "{source}",' /data/etc/edge-alpr.toml
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Unpacked from the distribution's package: the image to start, and the modules in the order they are loaded."""

    image: Path
    modules: tuple[Path, ...]
    busybox: Path


def unpack(debs: Path, place: Path) -> Kernel:
    """The kernel of the packages that deploy/image/build left in its cache."""
    if not place.exists():
        for deb in sorted(debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", deb, place], check=True)
    release = next((place / "lib/modules").iterdir()).name
    if not (place / "lib/modules" / release / "modules.dep").exists():
        subprocess.run(["depmod", "--basedir", place, release], check=True, stderr=subprocess.DEVNULL)
    return Kernel(place / f"boot/vmlinuz-{release}", _order(place / "lib/modules" / release), place / "bin/busybox")


def _order(folder: Path) -> tuple[Path, ...]:
    """What `MODULES` take, each behind what it needs itself."""
    needs = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        name, _, before = line.partition(":")
        needs[name] = before.split()
    names = {Path(name).name.partition(".ko")[0].replace("-", "_"): name for name in needs}
    ordered: dict[str, None] = {}
    for module in ("crc32c_generic", *MODULES):
        if file := names.get(module.replace("-", "_")):
            _behind(file, needs, ordered)
    return tuple(folder / name for name in ordered)


def _behind(name: str, needs: dict[str, list[str]], ordered: dict[str, None]) -> None:
    for before in needs[name]:
        if before not in ordered:
            _behind(before, needs, ordered)
    ordered[name] = None


def _entry(name: str, mode: int, content: bytes) -> bytes:
    head = [0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    text = b"070701" + b"".join(b"%08x" % number for number in head) + name.encode() + b"\0"
    return text + b"\0" * (-len(text) % 4) + content + b"\0" * (-len(content) % 4)


def _files(kernel: Kernel, source: str) -> Iterator[tuple[str, int, bytes]]:
    units = "run-test/systemd/system"
    for folder in ("bin", "modules", "run-test", "run-test/edge-alpr-test", "run-test/systemd", units,
                   f"{units}/multi-user.target.wants", f"{units}/edge-alpr-provision.service.d"):  # fmt: skip
        yield folder, 0o040755, b""
    yield "init", 0o100755, (HERE / "initrd/init").read_bytes()
    yield "bin/busybox", 0o100755, kernel.busybox.read_bytes()
    yield "bin/sh", 0o120777, b"busybox"
    for number, module in enumerate(kernel.modules):
        yield f"modules/{number:03}-{module.name}", 0o100644, module.read_bytes()
    yield "run-test/edge-alpr-test/inside.py", 0o100644, (HERE / "inside.py").read_bytes()
    for name, text in {"boot-before.service": _BEFORE, "boot-check.service": _CHECK}.items():
        yield f"{units}/{name}", 0o100644, text.encode()
        yield f"{units}/multi-user.target.wants/{name}", 0o120777, f"../{name}".encode()
    yield f"{units}/edge-alpr-provision.service.d/source.conf", 0o100644, _SOURCE.format(source=source).encode()


def make(kernel: Kernel, source: str, out: Path) -> None:
    """The initrd for a boot whose reader is given `source` at its first start."""
    content = b"".join(_entry(*file) for file in _files(kernel, source)) + _entry("TRAILER!!!", 0, b"")
    out.write_bytes(gzip.compress(content, 1, mtime=0))
