"""The power is cut before every step of every update, and again while it is being mended. No cut may leave a brick.

CI runs a sample; `EDGE_ALPR_POWER_RUNS=100000 pytest tests/test_ota_power.py -k cut -s` as many as one likes.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pytest
from ota_world import BLOBS, DATA, LOSSES, Board, Cut, Hang, Loss, SimFiles

from edge_alpr.ota.disk import Disk
from edge_alpr.ota.types import IMAGE, MODELS

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
    """Live through some cuts, each so many steps after power-on; the board in the end, and the steps of each life."""
    scenario, board = SCENARIOS[name], pickle.loads(before(name, disk))
    chance, left, steps = random.Random(seed), list(cuts), []
    life: Callable[[], None] = lambda: begin(board, scenario)  # noqa: E731
    while True:
        at, loss = left[0] if left else (-1, "lost")
        board.power.cut_at(at)
        try:
            life()
        except Hang:
            steps.append(board.power.steps)
            board.files.crash("lost", chance)
            life = board.live
        except Cut:
            steps.append(board.power.steps)
            left.pop(0)
            board.files.crash(loss, chance)
            asked = scenario.rollback and board.versions().get(scenario.rollback) == "2.0"
            life = (lambda: begin(board, scenario)) if asked and loss != "kill" else board.live
            life = board.resume if loss == "kill" else life
        else:
            steps.append(board.power.steps)
            return board, steps


def judge(name: str, board: Board, cuts: list[tuple[int, Loss]]) -> None:
    scenario, told = SCENARIOS[name], f"{name} {cuts}"
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
    count = 0
    for seed, some in enumerate(cuts):
        board, lives = run(name, some, seed)
        judge(name, board, some)
        count += len(lives) > 1
    print(f"{name}: {len(cuts)} runs, {count} of them cut, 0 bricks; {run(name, [])[1][0]} steps without a cut")
