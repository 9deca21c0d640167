"""An image on its way: signed at the office, carried by a web server, written by real RAUC, proven or gone back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="pip install 'edge-alpr[repo]'")
pytest.importorskip("cryptography.hazmat.primitives.asymmetric.types", reason="pip install 'edge-alpr[repo]'")

from helpers_rauc import Factory, Machine, machine, need_rauc

from edge_alpr.ota.agent import Agent
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.fetch_pace import Link
from edge_alpr.ota.repository import TufRepositories
from edge_alpr.ota.types import IMAGE, Car, Verdict
from edge_alpr.ota.world import Places, World
from tests.helpers_repo import Operator, new_operator, web_server


@dataclass
class OnBoard:
    """The agent of a board with real RAUC: a new one after each boot, as the process is."""

    board: Machine
    url: str
    folder: Path
    good: bool = True
    """What a proof finds."""
    boots: int = 1

    def agent(self) -> Agent:
        def proof(unit: str, folder: Path | None) -> Verdict:
            return Verdict(self.good, "" if self.good else "the golden drive read 3 of 10 plates")

        def signed(data: bytes, signature: bytes | None, name: str) -> None:
            pass

        places = Places(self.folder / "data", self.folder / "lists")
        servers = TufRepositories(Link(self.url, reserve_bytes=0), self.folder / "trust", places.update / "tuf")
        return Agent(World(Car("car-1", "orin-nano"), places, servers, self.board.slots(), Disk(RealFiles()), proof,
                           signed, f"boot-{self.boots}", time.time))  # fmt: skip

    def take(self) -> None:
        """From the question to the written side."""
        self.agent().check()
        assert not self.agent().download().troubles
        assert self.agent().install().reboot

    def start(self) -> tuple[str, bool]:
        """The side that starts, and whether it is left again at once."""
        side = self.board.reboot()
        self.boots += 1
        return side, self.agent().after_boot().reboot


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    need_rauc()
    return Factory(tmp_path_factory.mktemp("factory"))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Operator, str]]:
    operator = new_operator(tmp_path / "desk")
    with web_server(operator.public) as url:
        yield operator, url


def release(operator: Operator, factory: Factory, version: str) -> None:
    """Signed twice: by the key of bundles, and into the repositories."""
    bundle = factory.bundle(version)
    operator("add", str(bundle), "--unit", "image", "--version", version, "--board", "orin-nano")
    operator("rollout", "start", f"image-{version}", "--target", f"image/{bundle.name}", "--share", "1")


def test_an_image_is_taken_and_kept_and_the_next_one_goes_back(servers: tuple[Operator, str], factory: Factory,
                                                              tmp_path: Path):  # fmt: skip
    operator, url = servers
    operator("trust", str(tmp_path / "trust"))
    with machine(factory.ca() / "ca.pem") as board:
        car = OnBoard(board, url, tmp_path)
        release(operator, factory, "1.1.0")
        car.take()
        assert (board.slots().look().booted, board.slots().look().primary) == ("A", "B")
        assert car.start() == ("B", False)
        assert car.agent().car().running[IMAGE] == "1.1.0"
        assert [car.start() for _ in range(4)] == [("B", False)] * 4, "it was marked good: no boot counts against it"

        release(operator, factory, "1.2.0")
        car.take()
        car.good = False
        assert car.start() == ("A", True)
        car.good = True
        assert [car.start() for _ in range(2)] == [("B", False)] * 2
        ended = car.agent().ledger.state.results[IMAGE]
        assert (ended.version, ended.result) == ("1.2.0", "back")
        assert "3 of 10" in ended.why
        car.agent().check()
        assert not car.agent().ledger.state.pending, "a version that failed here is not tried again"
