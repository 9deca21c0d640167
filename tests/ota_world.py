"""A simulated board: two sides, a boot loader that counts, a data partition that forgets what was not synced, a switch.

The agent under test is the real one. Below it stand a file system (`SimFiles`), a boot loader with RAUC (`SimSlots`),
servers and a reader, all of them honest. `Power` cuts before a given step; a step is one change of a file or folder,
one sync, one change of a boot flag, one part of an image or download written, one proof.
"""

from __future__ import annotations

import errno
import hashlib
import io
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from edge_alpr.errors import HotListError, SlotError, UpdateError
from edge_alpr.ota import manifest
from edge_alpr.ota.agent import Agent
from edge_alpr.ota.disk import Disk, Kind
from edge_alpr.ota.manifest import pack_files
from edge_alpr.ota.shadow import ShadowLimits
from edge_alpr.ota.state import decode
from edge_alpr.ota.types import IMAGE, MODELS, Car, Progress, Slot, Slots, Target, Verdict
from edge_alpr.ota.world import Places, World

Loss = Literal["lost", "kept", "torn", "kill"]
"""What becomes of what was not synced: all of it is lost, all is kept, any part of it; or only the process ends."""
LOSSES: tuple[Loss, ...] = ("lost", "kept", "torn", "kill")
DATA, SHOWN = Path("/data"), Path("/data/hotlists")
NOW_S = 1_800_000_000.0
RETRIES = 3
CARD = (Path(manifest.__file__).parents[1] / "models" / "plate-reader.toml").read_text(encoding="utf-8")
manifest.parse_card = lru_cache(manifest.parse_card)  # type: ignore[attr-defined]  # thousands of the same card


class Cut(BaseException):
    """The power goes, or the process is killed. No handler of the agent's may take it for an error."""


class Hang(Cut):
    """The machine hangs, until somebody takes the power away."""


@dataclass
class Power:
    """Cuts before step number `at`, counted from the last time it was set."""

    at: int = -1
    steps: int = 0

    def step(self) -> None:
        if self.steps == self.at:
            raise Cut
        self.steps += 1

    def cut_at(self, at: int) -> None:
        self.at, self.steps = at, 0


@dataclass(eq=False)
class Node:
    """A file, folder or link: as it is now, and as it lies on the disk for good."""

    kind: Kind
    data: bytes = b""
    lasting: bytes = b""
    target: str = ""
    now: dict[str, Node] = field(default_factory=dict)
    on_disk: dict[str, Node] = field(default_factory=dict)


Change = tuple[Node, str, "Node | None"]


class SimFiles:
    """See `Files`. Names last once their folder was synced, content once the file was."""

    def __init__(self, power: Power) -> None:
        self.power, self.root = power, Node("folder")
        self.pending: list[list[Change]] = []
        self.unsynced: list[Node] = []
        self.room = 1 << 30

    def kind(self, path: Path) -> Kind:
        node = self._find(path)
        return node.kind if node else "none"

    def read(self, path: Path) -> bytes:
        return self._need(path, "file").data

    def open(self, path: Path) -> BinaryIO:
        return io.BytesIO(self.read(path))

    def size(self, path: Path) -> int:
        return len(self.read(path))

    def names(self, folder: Path) -> list[str]:
        return sorted(self._need(folder, "folder").now)

    def target(self, link: Path) -> str:
        return self._need(link, "link").target

    def free(self, folder: Path) -> int:
        self._need(folder, "folder")
        return self.room

    def make(self, folder: Path) -> None:
        self.power.step()
        if self.kind(folder) != "none":
            raise FileExistsError(errno.EEXIST, "it is there", str(folder))
        self._name([(folder, Node("folder"))])

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        self.power.step()
        node = self._find(path)
        if node is None:
            node = Node("file")
            self._name([(path, node)])
        node.data = b""
        self.unsynced.append(node)
        for chunk in chunks:
            self.power.step()
            if len(chunk) > self.room:
                raise OSError(errno.ENOSPC, "no space left", str(path))
            node.data += chunk

    def link(self, path: Path, target: str) -> None:
        self.power.step()
        if self.kind(path) != "none":
            raise FileExistsError(errno.EEXIST, "it is there", str(path))
        self._name([(path, Node("link", target=target))])

    def rename(self, old: Path, new: Path) -> None:
        self.power.step()
        node, there = self._find(old), self._find(new)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "not there", str(old))
        if there is not None and "folder" in (there.kind, node.kind):
            raise OSError(errno.ENOTEMPTY, "in the way", str(new))
        self._name([(old, None), (new, node)])

    def unlink(self, path: Path) -> None:
        self.power.step()
        if self.kind(path) not in ("file", "link"):
            raise FileNotFoundError(errno.ENOENT, "not there", str(path))
        self._name([(path, None)])

    def rmdir(self, folder: Path) -> None:
        self.power.step()
        if self._need(folder, "folder").now:
            raise OSError(errno.ENOTEMPTY, "not empty", str(folder))
        self._name([(folder, None)])

    def sync(self, path: Path) -> None:
        self.power.step()
        node = self._find(path)
        if node is None or node.kind == "link":
            raise FileNotFoundError(errno.ENOENT, "not there", str(path))
        if node.kind == "file":
            node.lasting = node.data
            self.unsynced = [one for one in self.unsynced if one is not node]
            return
        mine = [op for op in self.pending if any(folder is node for folder, _, _ in op)]
        self.pending = [op for op in self.pending if op not in mine]
        _apply(mine)

    def follow(self, path: Path) -> bytes | None:
        """A file's content through links, as the reader sees it; None where there is none."""
        for _ in range(8):
            node, at = self.root, Path("/")
            for place, part in enumerate(path.parts[1:], 2):
                child = node.now.get(part) if node.kind == "folder" else None
                if child is None:
                    return None
                if child.kind == "link":
                    path = (at / child.target).joinpath(*path.parts[place:])
                    break
                node, at = child, at / part
            else:
                return node.data if node.kind == "file" else None
        return None

    def crash(self, loss: Loss, chance: random.Random) -> None:
        """What the disk has when the power is back."""
        if loss == "kill":
            return
        kept = {"lost": 0.0, "kept": 1.0, "torn": 0.5}[loss]
        touched = [folder for op in self.pending for folder, _, _ in op]
        _apply([op for op in self.pending if chance.random() < kept])
        for folder in touched:
            folder.now = dict(folder.on_disk)
        for node in self.unsynced:
            if loss == "torn":
                node.lasting = _torn(node, chance)
            elif loss == "kept":
                node.lasting = node.data
            node.data = node.lasting
        self.pending, self.unsynced = [], []

    def _name(self, changes: list[tuple[Path, Node | None]]) -> None:
        op: list[Change] = []
        for path, node in changes:
            folder = self._need(path.parent, "folder")
            op.append((folder, path.name, node))
            if node is None:
                folder.now.pop(path.name, None)
            else:
                folder.now[path.name] = node
        self.pending.append(op)

    def _find(self, path: Path) -> Node | None:
        node = self.root
        for part in path.parts[1:]:
            child = node.now.get(part)
            if child is None:
                return None
            node = child
        return node

    def _need(self, path: Path, kind: Kind) -> Node:
        node = self._find(path)
        if node is None or node.kind != kind:
            raise FileNotFoundError(errno.ENOENT, f"no {kind}", str(path))
        return node


def _apply(ops: Sequence[Sequence[Change]]) -> None:
    for op in ops:
        for folder, name, node in op:
            if node is None:
                folder.on_disk.pop(name, None)
            else:
                folder.on_disk[name] = node


def _torn(node: Node, chance: random.Random) -> bytes:
    half = node.data[: len(node.data) // 2]
    return chance.choice([node.lasting, node.data, half, b"", half + bytes(len(node.data) - len(half))])


@dataclass
class Side:
    """A root file system: what is in it, and what the boot loader thinks of it."""

    version: str
    whole: bool = True
    good: bool = True
    retries: int = RETRIES


class SimSlots:
    """See `BootSlots`: RAUC's order of calls, and a boot loader that counts boots until a side is marked good."""

    def __init__(self, power: Power, files: SimFiles, nature: Callable[[str], str]) -> None:
        self.power, self.files, self.nature = power, files, nature
        self.sides = {"A": Side("1.0"), "B": Side("0.9")}
        self.booted = self.primary = "A"
        self.writes = 0

    def look(self) -> Slots:
        sides = tuple(Slot(name, side.version, side.good) for name, side in self.sides.items())
        return Slots(self.booted, self.primary, sides)

    def install(self, bundle: Path, progress: Progress) -> None:
        words = self.files.read(bundle).decode(errors="replace").split()
        if words[:1] != ["signed"] or len(words) != 2:
            raise SlotError("signature verification failed; the bundle is not from us")
        name = "B" if self.booted == "A" else "A"
        side = self.sides[name]
        self.power.step()
        side.good = False
        for part in range(3):
            self.power.step()
            self.writes += 1
            side.version, side.whole = "", False
            progress(part + 1, 3)
        self.power.step()
        side.version, side.whole = words[1], True
        self.power.step()
        self.primary, side.good, side.retries = name, True, RETRIES

    def mark_good(self) -> None:
        self.power.step()
        side = self.sides[self.booted]
        side.good, side.retries = True, RETRIES

    def mark_bad(self, name: str) -> None:
        self.power.step()
        self.sides[name].good = False

    def activate(self, name: str) -> None:
        self.power.step()
        side = self.sides[name]
        self.primary, side.good, side.retries = name, True, RETRIES

    def boot(self) -> None:
        """Start a side, as the boot loader does. One that panics starts over, until its boots are used up."""
        for _ in range(3 * RETRIES):
            side = self.sides[self.primary]
            if not side.good or not side.retries:
                side.good = False
                other = "B" if self.primary == "A" else "A"
                assert self.sides[other].good and self.sides[other].retries, "brick: no side is left to start"
                self.primary = other
                side = self.sides[other]
            side.retries -= 1
            assert side.whole, "brick: a side that is written in part is started"
            if self.nature(side.version) != "panics":
                self.booted = self.primary
                return
        raise AssertionError("brick: it starts over for ever")


class Servers:
    """See `Repository`: whatever was `publish`ed, honestly told and sent."""

    def __init__(self, files: SimFiles) -> None:
        self.files = files
        self.targets: dict[str, Target] = {}
        self.blobs: dict[str, bytes] = {}

    def publish(self, unit: str, version: str, blob: bytes, **more: object) -> Target:
        digest = hashlib.sha256(blob).hexdigest()
        path = f"{unit.replace('/', '-')}-{version}.{'raucb' if unit == IMAGE else 'tar'}"
        target = Target(path, unit, version, len(blob), digest, **more)  # type: ignore[arg-type]
        self.targets[unit], self.blobs[path] = target, blob
        return target

    def wanted(self, car: Car) -> list[Target]:
        return list(self.targets.values())

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        part, blob = path.with_name(path.name + ".part"), self.blobs[target.path]
        if self.files.kind(path) != "file" or self.files.read(path) != blob:
            half = len(blob) // 2
            self.files.write(part, [blob[:half], blob[half:]])
            self.files.sync(part)
            self.files.rename(part, path)
        self.files.sync(path.parent)


@dataclass
class Board:
    """All of it. `natures`: what is wrong with a version, by unit and version; see `prove` and `_read`."""

    power: Power = field(default_factory=Power)
    natures: dict[tuple[str, str], str] = field(default_factory=dict)
    disk_type: type[Disk] = Disk
    boots: int = 0

    def __post_init__(self) -> None:
        self.files = SimFiles(self.power)
        self.slots = SimSlots(self.power, self.files, self.image_nature)
        self.servers = Servers(self.files)
        self.now_s = NOW_S
        self.damaged = False
        """The state was once found torn: it would be mended, but must never come to that."""
        self.begun = 0
        """Steps of this life when the boot loader had done its part."""
        self.untouched = 0
        """Boots in a row that were cut before our first step."""
        for folder in (DATA, SHOWN):
            self.files.make(folder)
            self.files.sync(folder.parent)

    def image_nature(self, version: str) -> str:
        return self.natures.get((IMAGE, version), "good")

    def agent(self) -> Agent:
        """A new process."""
        world = World(
            car=Car("car-1", "orin-nano"), places=Places(DATA, SHOWN), repository=self.servers, slots=self.slots,
            disk=self.disk_type(self.files), proof=self.prove, signed=signed, boot=f"boot-{self.boots}",
            clock_s=lambda: self.now_s, shadow=ShadowLimits(frames=10, plates=1), watch=2,
        )  # fmt: skip
        return Agent(world)

    def install(self, unit: str, version: str, blob: bytes) -> Agent:
        """What is published is taken, as far as the first installing goes."""
        self.servers.publish(unit, version, blob)
        agent = self.agent()
        agent.check()
        agent.download()
        agent.install()
        return agent

    def prove(self, unit: str, folder: Path | None) -> Verdict:
        """See `Proof`. A nature names where a version fails."""
        self.power.step()
        if unit == IMAGE:
            nature = self.image_nature(self.slots.sides[self.slots.booted].version)
            if nature == "hangs":
                raise Hang
            return Verdict(nature != "bad", "it reads no plates" if nature == "bad" else "")
        version = folder.name if folder else self.files.target(DATA / "models" / "current")
        wrong = self.natures.get((MODELS, version), "good") == ("golden" if folder else "watch")
        return Verdict(not wrong, "it reads no plates" if wrong else "")

    def start(self) -> None:
        """Power on."""
        self.boots += 1
        self.slots.boot()
        self.begun = self.power.steps
        self.whole()

    def whole(self) -> None:
        """What must hold at any moment: whole models in use, and whole lists with their own signatures."""
        files, state = self.files, self.files.follow(DATA / "update" / "state.json")
        if state is not None:
            try:
                decode(state)
            except UpdateError:
                self.damaged = True
        if files.kind(DATA / "models" / "current") == "link":
            version = files.target(DATA / "models" / "current")
            for name, wanted in model_files(version).items():
                assert files.follow(DATA / "models" / "current" / name) == wanted, f"models {version}: {name} is torn"
        shown = files.follow(SHOWN / "stolen.csv")
        if files.kind(SHOWN / "stolen.csv") != "none":
            known = {data: text for data, text in (list_pair(v) for v in ("1.0", "2.0", "3.0"))}
            assert shown in known, "the list is torn, or gone"
            assert files.follow(SHOWN / "stolen.csv.sig") == known[shown], "the list has another one's signature"

    def read(self) -> None:
        """The reader's shadow run of the set on trial, if there is one."""
        link = DATA / "models" / "trial"
        if self.files.kind(link) != "link":
            return
        version = self.files.target(link)
        differ = 9 if self.natures.get((MODELS, version)) == "shadow" else 0
        text = f'{{"version":"{version}","frames":20,"plates_both":9,"plates_old":9,"plates_new":9,' \
               f'"texts_same":{9 - differ},"texts_differ":{differ},"seconds":9.0}}'  # fmt: skip
        node = self.files._find(DATA / "models" / "trial.json") or Node("file")
        node.data = node.lasting = text.encode()
        self.files._name([(DATA / "models" / "trial.json", node)])

    def live(self) -> None:
        """From power on until there is nothing to do any more. Raises `Cut`."""
        for _ in range(12):
            self.start()
            agent = self.agent()
            if not agent.after_boot().reboot and not self._drive(agent):
                return
            self.files.crash("kept", random.Random(0))  # an orderly reboot syncs
        raise AssertionError("it never settles")

    def resume(self) -> None:
        """The process was killed and starts anew, without a boot."""
        self.whole()
        agent = self.agent()
        if agent.after_boot().reboot or self._drive(agent):
            self.files.crash("kept", random.Random(0))
            self.live()

    def _drive(self, agent: Agent) -> bool:
        """True: a reboot is wanted."""
        for _ in range(6):
            agent.check()
            agent.download()
            reboot = agent.install().reboot
            self.whole()
            self.read()
            reboot = agent.settle().reboot or reboot
            self.whole()
            if reboot or not agent.ledger.state.pending:
                return reboot
        raise AssertionError(f"it never settles: {agent.ledger.state.pending}")

    def versions(self) -> dict[str, str]:
        """What runs; looking costs no step."""
        at, steps = self.power.at, self.power.steps
        self.power.cut_at(-1)
        running = self.agent().car().running
        self.power.at, self.power.steps = at, steps
        return {name: version for name, version in running.items() if version}


def signed(data: bytes, signature: bytes | None, name: str) -> None:
    """A signature that tests can make."""
    if signature != signature_of(data):
        raise HotListError(f"{name}: changed since it was signed")


def signature_of(data: bytes) -> bytes:
    return hashlib.sha256(b"key" + data).hexdigest().encode()


def list_pair(version: str) -> tuple[bytes, bytes]:
    """A list and its signature."""
    data = f"plate,note\nB 123 XYZ,{version}\nCJ 44 ABC,{version}\n".encode()
    return data, signature_of(data)


def list_blob(version: str) -> bytes:
    data, signature = list_pair(version)
    return pack_files({"stolen.csv": data, "stolen.csv.sig": signature}, "list/stolen", version)


@lru_cache
def model_files(version: str) -> dict[str, bytes]:
    """A model set: a reader and its card, and a graph for the GPU."""
    model = f"a reader of version {version}".encode() * 9
    old = next(line for line in CARD.splitlines() if line.startswith("sha256"))
    card = CARD.replace(old, f'sha256 = "{hashlib.sha256(model).hexdigest()}"')
    return {"plate-reader.onnx": model, "plate-reader.toml": card.encode(), "engines/reader.onnx": model[:9]}


def model_blob(version: str) -> bytes:
    return pack_files(model_files(version), MODELS, version)


def image_blob(version: str) -> bytes:
    return f"signed {version}".encode()


BLOBS: dict[str, Callable[[str], bytes]] = {IMAGE: image_blob, MODELS: model_blob, "list/stolen": list_blob}
