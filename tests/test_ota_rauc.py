"""The two sides of a board, with real RAUC: installed, tried, proved, gone back; and bundles that must not get in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_rauc import Factory, Machine, machine, need_rauc, sha256

from edge_alpr.errors import SlotError
from edge_alpr.ota.types import Slot, Slots


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    need_rauc()
    return Factory(tmp_path_factory.mktemp("factory"))


@pytest.fixture
def board(factory: Factory, tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "board", factory.ca() / "ca.pem") as made:
        yield made


def nothing(done: int, size: int) -> None:
    """Progress that nobody watches."""


def holds(board: Machine, side: str, factory: Factory, version: str) -> bool:
    image = factory.root_fs(version)
    return sha256(board.side(side), image.stat().st_size) == sha256(image)


def test_an_update_is_installed_tried_and_proved(board: Machine, factory: Factory):
    slots, heard = board.slots(), []
    assert slots.look() == Slots("A", "A", (Slot("A", "1.0.0", True), Slot("B", "", True)))

    bundle = factory.bundle("1.1.0")
    slots.install(bundle, lambda done, size: heard.append((done, size)))

    assert slots.look() == Slots("A", "B", (Slot("A", "1.0.0", True), Slot("B", "1.1.0", True)))
    assert holds(board, "B", factory, "1.1.0")
    assert heard == sorted(heard) and heard[-1] == (bundle.stat().st_size, bundle.stat().st_size)
    assert board.reboot() == "B"
    assert board.slots().look().booted == "B"
    board.slots().mark_good()
    assert [board.reboot() for _ in range(3)] == ["B", "B", "B"]
