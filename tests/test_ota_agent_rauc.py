"""The agent with real RAUC: installed and kept, or back with its reason; the power cut while RAUC writes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ota_world import signed

from edge_alpr.ota.agent import Agent, unheard
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.types import IMAGE, BootSlots, Car, Progress, Target, Verdict
from edge_alpr.ota.world import Places, World

helpers_rauc = pytest.importorskip("helpers_rauc", reason="RAUC's part of the tests is not there")


class Bundles:
    """A `Repository` of one bundle."""

    def __init__(self, bundle: Path, version: str) -> None:
        blob = bundle.read_bytes()
        self.blob, digest = blob, hashlib.sha256(blob).hexdigest()
        self.target = Target(f"image-{version}.raucb", IMAGE, version, len(blob), digest, ("orin-nano",))

    def wanted(self, car: Car) -> Sequence[Target]:
        return [self.target]

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        path.write_bytes(self.blob)


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> helpers_rauc.Factory:
    helpers_rauc.need_rauc()
    return helpers_rauc.Factory(tmp_path_factory.mktemp("factory"))


@pytest.fixture
def board(factory: helpers_rauc.Factory) -> Iterator[helpers_rauc.Machine]:
    with helpers_rauc.machine(factory.ca() / "ca.pem") as made:
        yield made


class Device:
    """A board with an agent; each call is a new process. `good` is what a proof comes to."""

    def __init__(self, board: helpers_rauc.Machine, folder: Path) -> None:
        self.board, self.folder = board, folder
        self.good = Verdict(True)
        self.boots = 0
        self.bundles: Bundles | None = None
        folder.mkdir()

    def agent(self) -> Agent:
        slots: BootSlots = self.board.slots()
        assert self.bundles is not None
        world = World(
            car=Car("car-1", "orin-nano"), places=Places(self.folder, self.folder / "hotlists"),
            repository=self.bundles, slots=slots, disk=Disk(RealFiles()), proof=lambda unit, folder: self.good,
            signed=signed, boot=str(self.boots), clock_s=time.time,
        )  # fmt: skip
        return Agent(world)

    def reboot(self) -> str:
        self.boots += 1
        return self.board.reboot()

    def install(self, bundle: Path, version: str, progress: Progress = unheard) -> dict[str, str]:
        self.bundles = Bundles(bundle, version)
        agent = self.agent()
        agent.after_boot()
        agent.check()
        agent.download()
        return dict(agent.install(progress).troubles)


@pytest.fixture
def device(board: helpers_rauc.Machine, tmp_path: Path) -> Device:
    return Device(board, tmp_path / "data")


def test_an_image_is_installed_proven_and_kept_and_one_that_does_not_do_goes_back(
    device: Device, factory: helpers_rauc.Factory
):
    assert device.install(factory.bundle("1.1.0"), "1.1.0") == {}
    assert device.agent().status().waits_for_reboot
    assert device.reboot() == "B"
    assert not device.agent().after_boot().reboot
    assert [device.reboot() for _ in range(2)] == ["B", "B"]
    assert device.agent().car().running[IMAGE] == "1.1.0"

    device.good = Verdict(True)
    assert device.install(factory.bundle("1.2.0"), "1.2.0") == {}
    assert device.reboot() == "A"
    device.good = Verdict(False, "it reads no plates")
    assert device.agent().after_boot().reboot
    assert device.reboot() == "B"
    device.good = Verdict(True)
    assert not device.agent().after_boot().reboot
    result = device.agent().status().state.results[IMAGE]
    assert (result.version, result.result, result.why) == ("1.2.0", "back", "it reads no plates")
    assert "it did not do here" in device.agent().check()[0].refused


def test_a_bundle_that_rauc_refuses_leaves_the_board_as_it_was(device: Device, factory: helpers_rauc.Factory):
    troubles = device.install(factory.bundle("1.1.0", board="agx-orin"), "1.1.0")
    assert "the bundle is for edge-alpr-agx-orin" in troubles[IMAGE]
    assert device.reboot() == "A"
    assert not device.agent().after_boot().reboot
    assert device.agent().car().running[IMAGE] == "1.0.0"


def test_a_cut_while_rauc_writes_leaves_the_old_side_and_the_next_try_the_new_one(
    device: Device, factory: helpers_rauc.Factory
):
    cuts = []

    def cut(done: int, total: int) -> None:
        if done * 3 >= total and not cuts:
            cuts.append(done)
            device.board.cut()

    assert device.install(factory.bundle("1.1.0"), "1.1.0", cut)
    assert cuts and device.reboot() == "A"
    agent = device.agent()
    agent.after_boot()
    agent.check()
    agent.download()
    assert not agent.install().troubles
    assert device.reboot() == "B"
    assert not device.agent().after_boot().reboot
    assert device.agent().car().running[IMAGE] == "1.1.0"
