"""Real RAUC, cut off in the middle of installations: the board always starts a whole side, and the next try succeeds.

A few moments by default; EDGE_ALPR_RAUC_CUTS=N tries N (each about a second).
"""

from __future__ import annotations

import collections
import itertools
import os
import random
import subprocess
import time
from collections.abc import Iterator

import pytest
from helpers_rauc import RAUC, Factory, Machine, machine, need_rauc, sha256

from edge_alpr.ota.rauc import RaucSlots

CUTS = int(os.environ.get("EDGE_ALPR_RAUC_CUTS", "3"))
VERSIONS = ("1.1.0", "1.2.0")


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    need_rauc()
    return Factory(tmp_path_factory.mktemp("factory"), size=12 << 20)


@pytest.fixture
def board(factory: Factory) -> Iterator[Machine]:
    with machine(factory.ca() / "ca.pem") as made:
        yield made


class Drive:
    """One board through many installations, each cut off once at a random moment, then done again."""

    def __init__(self, board: Machine, factory: Factory) -> None:
        self.board, self.randomly = board, random.Random(7)
        self.bundles = {version: factory.bundle(version) for version in VERSIONS}
        images = {version: factory.root_fs(version) for version in VERSIONS}
        self.whole = {version: (path.stat().st_size, sha256(path)) for version, path in images.items()}
        self.seen: collections.Counter[str] = collections.Counter()

    @property
    def slots(self) -> RaucSlots:
        """To and fro between two versions is fine here."""
        (self.board.root / "run/edge-alpr-older-allowed").touch()
        return self.board.slots(older=True)

    def is_whole(self, side: str, version: str) -> bool:
        length, digest = self.whole[version]
        return sha256(self.board.side(side), length) == digest

    def prepare(self) -> None:
        """The first update, in peace."""
        self.slots.install(self.bundles["1.1.0"], lambda done, size: None)
        assert self.board.reboot() == "B"
        self.slots.mark_good()

    def round(self, how: str) -> None:
        """What runs is whole and proved. The other version is installed, cut off; what starts is whole; then again."""
        now = self.slots.look()
        old = next(slot.version for slot in now.slots if slot.name == now.booted)
        new = VERSIONS[1 - VERSIONS.index(old)]
        other = {"A": "B", "B": "A"}[now.booted]
        before = sha256(self.board.side(now.booted))
        command, pipe = [RAUC, "install", self.bundles[new]], subprocess.PIPE
        with subprocess.Popen(command, env=self.board.own, stdout=pipe, stderr=subprocess.STDOUT) as client:
            self.wait(client)
            CUT[how](self.board, client)
        assert sha256(self.board.side(now.booted)) == before, "the side that runs was written"
        if how == "power":
            started = self.board.reboot()
            self.seen["the new side starts" if started == other else "the old side starts"] += 1
            assert self.is_whole(started, new if started == other else old)
            if started == other:
                self.slots.mark_good()
                return
        good = {slot.name: slot.good for slot in self.slots.look().slots}
        self.seen["the other side is good" if good[other] else "the other side is condemned"] += 1
        self.slots.install(self.bundles[new], lambda done, size: None)
        assert self.is_whole(other, new)
        assert self.board.reboot() == other
        self.slots.mark_good()

    def wait(self, client: subprocess.Popen[bytes]) -> None:
        """Until a random step of the installation, and a bit longer: as it begins, while it writes, as it ends.

        RAUC 1.8 tells of 18 steps, and writes after the 14th; 1.13 tells of each percent too, some 70 in all.
        """
        assert client.stdout is not None
        steps = self.randomly.choice((self.randomly.randint(0, 13), 14, self.randomly.randint(60, 80)))
        for _ in itertools.islice(client.stdout, steps):
            pass
        time.sleep(self.randomly.uniform(0, 0.04))


def _power(board: Machine, client: subprocess.Popen[bytes]) -> None:
    board.cut()
    client.kill()


def _service(board: Machine, client: subprocess.Popen[bytes]) -> None:
    board.kill_rauc()
    client.wait(timeout=60)
    board.serve()


def _client(board: Machine, client: subprocess.Popen[bytes]) -> None:
    client.kill()


CUT = {"power": _power, "service": _service, "client": _client}


def test_cut_off_at_any_moment(board: Machine, factory: Factory):
    drive = Drive(board, factory)
    drive.prepare()
    for number in range(CUTS):
        drive.round(list(CUT)[number % len(CUT)])
    print(f"{CUTS} installations cut off: {dict(drive.seen)}")
    if CUTS >= 60:
        assert set(drive.seen) >= {"the old side starts", "the new side starts", "the other side is condemned"}
