"""A board with real RAUC: slots in files, a private D-Bus, and a stand-in for NVIDIA's boot loader that keeps state.

EDGE_ALPR_RAUC names another `rauc` than the distribution's, so that the tests can be run with each version.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from helpers_parts import missing

from edge_alpr.ota.rauc import RaucSlots

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy" / "rauc"
RAUC = os.environ.get("EDGE_ALPR_RAUC", "rauc")
GUID = "781e084c-a330-417c-b678-38e696380cb9"
SLOT_BYTES = 24 << 20
# As the distribution's system bus is set up, with RAUC's own policy (every user may ask), then with ours.
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/><allow send_destination="de.pengutronix.rauc"/></policy>
<policy user="root"><allow own="de.pengutronix.rauc"/></policy><include>{policy}</include></busconfig>"""


def need_rauc() -> None:
    """Skip, visibly, where RAUC's programs are not installed or the test may not mount."""
    for program in (RAUC, "mksquashfs", "dbus-daemon", "openssl"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("not root, and RAUC mounts bundles")
    if not Path("/dev/loop-control").exists():
        pytest.skip("no loop devices, and RAUC mounts bundles")


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    words, env = list(map(str, command)), {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=env)


def sha256(path: Path, length: int | None = None) -> str:
    return hashlib.sha256(path.read_bytes()[:length]).hexdigest()


def os_release(version: str, board: str = "orin-nano") -> str:
    """What an image says of itself, as deploy/image writes it."""
    return f"ID=edge\nIMAGE_ID=edge-alpr-{board}\nIMAGE_VERSION={version}\n"


def image(path: Path, version: str, size: int = 2 << 20, board: str = "orin-nano") -> Path:
    """A root file system in small, as deploy/image makes it: squashfs with version and board, the rest is noise."""
    tree = path.with_suffix(".tree")
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text(os_release(version, board), encoding="utf-8")
    (tree / "data").write_bytes(random.Random(version).randbytes(size))
    done = run("mksquashfs", tree, path, "-noappend", "-quiet", "-no-progress", "-noD", SOURCE_DATE_EPOCH="0")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tree)
    return path


@dataclass
class Factory:
    """Keys and bundles; `size` is that of an image."""

    folder: Path
    size: int = 2 << 20

    def ca(self, name: str = "ca", *options: str) -> Path:
        folder = self.folder / name
        if not folder.exists():
            done = run(DEPLOY / "test-ca", folder, *options)
            assert done.returncode == 0, done.stderr
        return folder

    def own_authority(self) -> Path:
        """A certificate that is not of deploy/rauc/test-ca."""
        path = self.folder / "own.pem"
        words = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=own")
        done = run("openssl", "req", "-x509", *words, "-keyout", self.folder / "own.key", "-out", path)
        assert done.returncode == 0, done.stderr
        return path

    def root_fs(self, version: str, board: str = "orin-nano") -> Path:
        path = self.folder / f"{board}-{version}.squashfs"
        return path if path.exists() else image(path, version, self.size, board)

    def arguments(self, version: str, ca: str = "ca", /, **options: object) -> list[str]:
        keys = self.ca(ca)
        rootfs = options.get("rootfs") or self.root_fs(version, str(options.get("board", "orin-nano")))
        values = {
            "rootfs": rootfs, "version": version, "board": "orin-nano", "format": "plain",
            "cert": keys / "signer.pem", "key": keys / "signer.key", "keyring": keys / "ca.pem", **options,
        }  # fmt: skip
        return [word for name, value in values.items() for word in (f"--{name}", str(value))]

    def bundle(self, version: str, ca: str = "ca", **options: object) -> Path:
        words = "-".join([version, ca, *map(str, options.values())]).replace("/", "_")
        path = self.folder / f"{words}.raucb"
        if not path.exists():
            done = run(ROOT / "deploy/bundle", *self.arguments(version, ca, output=path, **options))
            assert done.returncode == 0, done.stderr
        return path


@dataclass
class Machine:
    """It runs side A, version 1.0.0, from the start. `jetson`: NVIDIA's boot loader, else flags in a file."""

    folder: Path
    keyring: Path
    jetson: bool = True
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        for name in ("efivars", "mnt", "sides", "data", "root/etc", "root/run", "root/proc/device-tree"):
            (self.folder / name).mkdir(parents=True)
        for name, text in {"current": "0", "active": "0", "retry.A": "3", "retry.B": "3", "slots": "2"}.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        for side in "AB":
            self.variable(side).write_bytes(bytes([7, 0, 0, 0, 0, 0, 0, 0]))
        image(self.side("A"), "1.0.0")
        self.side("B").touch()
        for side in "AB":
            os.truncate(self.side(side), SLOT_BYTES)
        (self.folder / "flags").write_bytes(bytes(8192))
        (self.root / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
        self._configure()
        self._boot("A")

    @property
    def root(self) -> Path:
        """The device's /."""
        return self.folder / "root"

    @property
    def config(self) -> Path:
        return self.root / "etc/rauc/system.conf"

    @cached_property
    def environment(self) -> dict[str, str]:
        """What RAUC, backend and handlers see."""
        return {
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.folder}/bus",
            "EDGE_ALPR_NVBOOTCTRL": str(ROOT / "tests/standin_nvbootctrl"), "STANDIN_BOARD": str(self.folder),
            "EDGE_ALPR_EFIVARS": str(self.folder / "efivars"), "EDGE_ALPR_ROOT": str(self.root),
            "EDGE_ALPR_BOOT_FLAGS": str(self.folder / "flags"), "EDGE_ALPR_CMDLINE": str(self.root / "proc/cmdline"),
        }  # fmt: skip

    @property
    def own(self) -> dict[str, str]:
        """The environment of a program on this board."""
        return {**os.environ, **self.environment}

    def slots(self, **changes: Any) -> RaucSlots:
        """What is tested. It reads the environment of this process."""
        os.environ.update(self.environment)
        made = RaucSlots((RAUC,), self.config, self.root / "etc/os-release", self.root / "run/rauc-refused")
        return replace(made, **changes)

    def side(self, name: str) -> Path:
        return self.folder / "sides" / {"A": "APP", "B": "APP_b"}[name]

    def variable(self, side: str) -> Path:
        return self.folder / "efivars" / f"RootfsStatusSlot{side}-{GUID}"

    def backend(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.root / "usr/lib/edge-alpr/rauc/bootloader", *arguments, **self.environment)

    def start(self) -> Machine:
        """The bus and RAUC's service, as systemd starts them."""
        (self.folder / "bus").unlink(missing_ok=True)
        policy = self.root / "etc/dbus-1/system.d/edge-alpr-rauc.conf"
        (self.folder / "bus.conf").write_text(BUS.format(socket=self.folder / "bus", policy=policy), encoding="utf-8")
        self._spawn("dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile")
        self._until((self.folder / "bus").exists)
        self.serve()
        return self

    def serve(self) -> None:
        """RAUC's service: killed alone it comes back like this."""
        old = re.match(r"rauc 1\.(\d+)", run(RAUC, "--version").stdout)
        booted = [f"--override-boot-slot={self.booted}"] if old and int(old[1]) < 11 else []
        self._spawn(RAUC, f"--conf={self.config}", *booted, "service")
        self._until(lambda: run(RAUC, "status", **self.environment).returncode == 0)

    def cut(self) -> None:
        """The power is gone: everything dies at once, where it is."""
        for child in reversed(self._running):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        self._running.clear()
        self._unmount()

    def kill_rauc(self) -> None:
        """Only the service dies."""
        child = self._running.pop()
        child.kill()
        child.wait()
        self._unmount()

    def _unmount(self) -> None:
        """What a service leaves mounted goes with it: under systemd it has mounts of its own. So do loop devices."""
        while run("umount", "-l", self.folder / "mnt/bundle").returncode == 0:
            pass
        for row in run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").stdout.splitlines():
            device, _, file = row.partition(" ")
            if file.strip().startswith(str(self.keyring.parents[1])):
                run("losetup", "--detach", device)

    def reboot(self) -> str:
        """Power off and on: the side that the boot loader starts. RAUC is up again afterwards."""
        self.cut()
        if self.jetson:
            side = run(self.environment["EDGE_ALPR_NVBOOTCTRL"], "boot", **self.environment).stdout.strip()
        else:
            side = self.backend("boot").stdout.strip()
        self._boot(side)
        self.start()
        return side

    def _boot(self, side: str) -> None:
        self.booted = side
        release = run("unsquashfs", "-cat", self.side(side), "usr/lib/os-release")
        assert release.returncode == 0, f"side {side} does not start: {release.stderr}"
        (self.root / "etc/os-release").write_text(release.stdout, encoding="utf-8")
        (self.root / "proc/cmdline").write_text(f"root=/dev/x rauc.slot={side} ro", encoding="utf-8")
        shutil.rmtree(self.root / "run")
        (self.root / "run").mkdir()

    def _configure(self) -> None:
        """As deploy/image does it, then with this folder before the paths."""
        done = run(
            DEPLOY / "put", self.root, "--board", "orin-nano" if self.jetson else "pc", "--keyring", self.keyring,
            "--development", "--formats", "plain verity", "--slots", self.folder / "sides",
            "--data", self.folder / "data",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text = self.config.read_text(encoding="utf-8")
        for path in ("/etc/rauc/keyring.pem", "/usr/lib/edge-alpr/rauc/"):
            text = text.replace(f"={path}", f"={self.root}{path}")
        self.config.write_text(text.replace("=/run/rauc", f"={self.folder}/mnt"), encoding="utf-8")

    def _spawn(self, *command: str) -> None:
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(command, env=self.own, stdout=log, stderr=log, start_new_session=True)
        self._running.append(child)

    def _until(self, there: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not there():
            assert time.monotonic() < end, (self.folder / "log").read_text(encoding="utf-8")
            time.sleep(0.05)


@contextmanager
def machine(keyring: Path, jetson: bool = True) -> Iterator[Machine]:
    """A machine that is on. In memory: RAUC syncs all it writes, which takes seconds on a busy disk."""
    environment, memory = dict(os.environ), "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="edge-alpr-board", dir=memory) as name:
        Path(name).chmod(0o755)
        made = Machine(Path(name), keyring, jetson)
        try:
            yield made.start()
        except BaseException:
            print((made.folder / "log").read_text(encoding="utf-8")[-4000:])
            raise
        finally:
            made.cut()
            os.environ.clear()
            os.environ.update(environment)
