"""The power is cut before every step of every update, and again while it is being mended. No cut may leave a brick.

CI runs a sample; `EDGE_ALPR_POWER_RUNS=100000 pytest tests/test_ota_power.py -k cut -s` as many as one likes.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pytest
from ota_world import BLOBS, DATA, LOSSES, RETRIES, Board, Cut, Hang, Loss, SimFiles, SimSlots

from edge_alpr.ota import state as states
from edge_alpr.ota.disk import PART, Disk
from edge_alpr.ota.images import Images
from edge_alpr.ota.lists import HotList
from edge_alpr.ota.types import IMAGE, MODELS, Progress, Slot

RUNS = int(os.environ.get("EDGE_ALPR_POWER_RUNS", "1600"))
LIST = "list/stolen"
ALL = (IMAGE, MODELS, LIST)
Natures = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Scenario:
    """What is wanted, what is wrong with it, and what must run in the end."""

    updates: tuple[str, ...]
    ends: Mapping[str, str]
    natures: Natures = field(default_factory=dict)
    fresh: bool = False
    """Nothing but the image is installed before."""
    rollback: str = ""
    """Instead of an update, this unit goes back."""


OLD = {IMAGE: "1.0", MODELS: "1.0", LIST: "1.0"}
SCENARIOS = {
    "image": Scenario((IMAGE,), OLD | {IMAGE: "2.0"}),
    "models": Scenario((MODELS,), OLD | {MODELS: "2.0"}),
    "list": Scenario((LIST,), OLD | {LIST: "2.0"}),
    "all": Scenario(ALL, {unit: "2.0" for unit in ALL}),
    "first": Scenario(ALL, {unit: "2.0" for unit in ALL}, fresh=True),
    "image-bad": Scenario((IMAGE,), OLD, {(IMAGE, "2.0"): "bad"}),
    "image-panics": Scenario((IMAGE,), OLD, {(IMAGE, "2.0"): "panics"}),
    "image-hangs": Scenario((IMAGE,), OLD, {(IMAGE, "2.0"): "hangs"}),
    "image-repairs": Scenario((IMAGE,), {IMAGE: "2.0"}, {(IMAGE, "1.0"): "bad"}, fresh=True),
    "models-golden": Scenario((MODELS,), OLD, {(MODELS, "2.0"): "golden"}),
    "models-shadow": Scenario((MODELS,), OLD, {(MODELS, "2.0"): "shadow"}),
    "models-watch": Scenario((MODELS,), OLD, {(MODELS, "2.0"): "watch"}),
    "first-models-watch": Scenario((MODELS,), {IMAGE: "1.0"}, {(MODELS, "2.0"): "watch"}, fresh=True),
    "image-back": Scenario((IMAGE,), OLD, rollback=IMAGE),
    "models-back": Scenario((MODELS,), OLD, rollback=MODELS),
    "list-back": Scenario((LIST,), OLD, rollback=LIST),
}  # fmt: skip


def published(board: Board, units: tuple[str, ...], version: str) -> None:
    for unit in units:
        board.servers.publish(unit, version, BLOBS[unit](version))


@lru_cache
def before(name: str, disk: type[Disk] = Disk) -> bytes:
    """The board just before the first cut."""
    scenario = SCENARIOS[name]
    board = Board(natures=dict(scenario.natures), disk_type=disk)
    board.slots.sides["B"].good = name != "image-repairs"  # there is nothing to go back to
    board.live()
    if not scenario.fresh:
        published(board, (MODELS, LIST), "1.0")
        board.live()
    board.servers.targets.clear()
    published(board, scenario.updates, "2.0")
    if scenario.rollback:
        board.live()
        board.servers.targets.clear()
    board.files.crash("kept", random.Random(0))
    return pickle.dumps(board)


def begin(board: Board, scenario: Scenario) -> None:
    """The first power-on; a rollback is asked for once, and again where it was cut short."""
    if scenario.rollback:
        board.start()
        agent = board.agent()
        agent.after_boot()
        if board.versions()[scenario.rollback] == "2.0":
            agent.rollback(scenario.rollback)
        board.files.crash("kept", random.Random(0))
    board.live()


def run(name: str, cuts: list[tuple[int, Loss]], seed: int = 0, disk: type[Disk] = Disk) -> tuple[Board, list[int]]:
    """Live through some cuts, each so many steps after power-on; the board in the end, and the steps of each life.

    It ends before where as many boots in a row were cut before our first step as the boot loader counts: what it does
    then is not ours to mend.
    """
    scenario, board = SCENARIOS[name], pickle.loads(before(name, disk))
    chance, left, steps = random.Random(seed), list(cuts), []
    life: Callable[[], None] = lambda: begin(board, scenario)  # noqa: E731
    while True:
        at, loss = left[0] if left else (-1, "lost")
        board.power.cut_at(at)
        board.begun = -1
        try:
            life()
        except Hang:
            steps.append(board.power.steps)
            board.files.crash("lost", chance)
            life = board.live
        except Cut:
            steps.append(board.power.steps)
            left.pop(0)
            board.untouched = board.untouched + 1 if board.power.steps == board.begun else 0
            if board.untouched == RETRIES:
                return board, steps
            board.files.crash(loss, chance)
            asked = scenario.rollback and board.versions().get(scenario.rollback) == "2.0"
            life = (lambda: begin(board, scenario)) if asked and loss != "kill" else board.live
            life = board.resume if loss == "kill" else life
        else:
            steps.append(board.power.steps)
            return board, steps


def judge(name: str, board: Board, cuts: list[tuple[int, Loss]]) -> None:
    scenario, told = SCENARIOS[name], f"{name} {cuts}"
    if board.untouched == RETRIES:
        return
    assert not board.damaged, told
    board.whole()
    found = board.versions()
    if scenario.rollback and any(loss == "kill" for _, loss in cuts):  # whoever asked must ask again
        for unit in ALL:
            assert found[unit] in (OLD[unit], "2.0"), told
    else:
        assert found == scenario.ends, told
    assert board.slots.sides[board.slots.booted].good and board.slots.primary == board.slots.booted, told
    left = [path for path in _all(board.files, DATA) if Path(path).name.startswith((".part-", ".gone-"))]
    assert left == [], told
    names = board.files.names(DATA / "update" / "downloads") if scenario.updates and not scenario.rollback else []
    assert names == [], told


def _all(files: SimFiles, folder: Path) -> list[str]:
    found = []
    for name in files.names(folder):
        found.append(str(folder / name))
        if files.kind(folder / name) == "folder":
            found += _all(files, folder / name)
    return found


def cuts_of(name: str, runs: int) -> list[list[tuple[int, Loss]]]:
    """Each step with each loss, then second and third cuts at random. Where `runs` is too few, evenly chosen ones."""
    steps = run(name, [])[1][0]
    single: list[list[tuple[int, Loss]]] = [[(at, loss)] for at in range(steps) for loss in LOSSES]
    chance = random.Random(name)
    more: list[list[tuple[int, Loss]]] = []
    half = max(runs - len(single), runs // 2)
    while len(more) < half:
        first = chance.randrange(steps)
        later = [chance.randrange(max(8, steps - first // 2)) for _ in range(chance.choice((1, 1, 2)))]
        more.append([(at, chance.choice(LOSSES)) for at in (first, *later)])
    room = runs - len(more)
    return single[:: max(1, -(-len(single) // max(1, room)))] + more


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_cut_leaves_no_brick(name: str):
    cuts = cuts_of(name, RUNS // len(SCENARIOS))
    cut = left_out = 0
    for seed, some in enumerate(cuts):
        board, lives = run(name, some, seed)
        judge(name, board, some)
        cut += len(lives) - 1
        left_out += board.untouched == RETRIES
    assert left_out < len(cuts) / 100
    print(f"{name}: {run(name, [])[1][0]} steps, {len(cuts)} runs, {cut} cuts, {left_out} left out, 0 bricks")


class NoFileSync(Disk):
    """A file of a version is not brought to the disk before its folder gets its name."""

    def fill(self, path: Path, chunks: Iterator[bytes]) -> None:
        self.files.write(path, chunks)


class NoStateSync(Disk):
    """The state is not brought to the disk before it gets its name."""

    def put(self, path: Path, data: bytes) -> None:
        part = path.with_name(PART + path.name)
        self.files.write(part, [data])
        self.land(part, path)


class InPlace(Disk):
    """The state is written over the old one."""

    def put(self, path: Path, data: bytes) -> None:
        self.files.write(path, [data])
        self.files.sync(path)
        self.files.sync(path.parent)


class TwoSteps(Disk):
    """A link is taken away, then made anew."""

    def point(self, link: Path, target: str) -> None:
        if self.said(link) and self.said(link) != target:
            self.files.unlink(link)
            self.files.sync(link.parent)
        super().point(link, target)


def primary_first(self: SimSlots, bundle: Path, progress: Progress) -> None:
    """The boot loader is told before the side is written."""
    side = self.sides["B"]
    self.power.step()
    self.primary, side.good, side.retries, side.whole = "B", True, 3, False
    self.power.step()
    side.version, side.whole = self.files.read(bundle).decode().split()[1], True


def good_unproven(self: Images, booted: Slot) -> bool:
    """Marked good before it is proven."""
    self._slots.mark_good()
    self._ledger.save(states.proven(self._ledger.state, booted.name, booted.version))
    return False


def one_by_one(self: HotList, version: str) -> None:
    """The list and its signature are copied into the reader's folder, one after the other."""
    disk = self.versions.disk
    for name in ("stolen.csv.sig", "stolen.csv"):
        disk.put(self._shown / name, disk.files.read(self.versions.folder / version / name))


@pytest.mark.parametrize(
    ("name", "disk", "patch"),
    [
        ("models", NoFileSync, None),
        ("models", NoStateSync, None),
        ("image", InPlace, None),
        ("list", TwoSteps, None),
        ("image", Disk, (SimSlots, "install", primary_first)),
        ("image-bad", Disk, (Images, "_try", good_unproven)),
        ("list", Disk, (HotList, "_show", one_by_one)),
    ],
    ids=lambda value: getattr(value, "__name__", "") or (value[2].__name__ if isinstance(value, tuple) else None),
)  # fmt: skip
def test_a_mistake_would_be_found(
    name: str, disk: type[Disk], patch: tuple[type, str, Callable[..., object]] | None, monkeypatch: pytest.MonkeyPatch
):
    if patch:
        monkeypatch.setattr(*patch)
    before.cache_clear()
    try:
        with pytest.raises(AssertionError):
            for seed, some in enumerate(cuts_of(name, 300)):
                judge(name, run(name, some, seed, disk)[0], some)
    finally:
        before.cache_clear()
