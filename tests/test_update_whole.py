"""From the office to a car that drives: `deploy/repo` signs, a web server carries, `edge-alpr update` takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="pip install 'edge-alpr[repo]'")
pytest.importorskip("cryptography.hazmat.primitives.asymmetric.types", reason="pip install 'edge-alpr[repo]'")

from helpers_display import environment, playing
from helpers_sets import put_set

from edge_alpr.config import StoreConfig
from edge_alpr.sinks.view import StoreView
from tests.helpers_repo import Operator, new_operator, web_server

PATIENCE_S = 300.0
LISTED = "7XKM482"
"""A plate of the sample drive."""


@dataclass(frozen=True)
class Device:
    """A car's data partition and settings, and the commands that are run there."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "car.toml"

    def begin(self, operator: Operator, url: str) -> Device:
        self.folder.mkdir()
        operator("trust", str(self.folder / "trust"))
        self.config.write_text(
            f'[source]\nuri = "sample://drive"\n'
            f'[store]\ndevice_id = "car-1"\npath = "{self.folder}"\nsigning_key = "{self.folder}/signing-key"\n'
            f'[models]\nshelf = "{self.folder}/models"\nthreads = 1\n[output]\nheartbeat_s = 1.0\n'
            '[event]\ncooldown_s = 1\n[governor]\nenabled = false\n'
            f'[update]\nurl = "{url}"\nroots = "{self.folder}/trust"\nparked_min = 0\nwatch_min = 0.05\n'
            "trial_frames = 20\ntrial_plates = 5\n",
            encoding="utf-8",
        )
        return self

    def update(self, *words: str, status: int = 0) -> str:
        """A command; what it printed."""
        settings = () if words[0] == "pack" else ("--config", str(self.config))
        command = [sys.executable, "-m", "edge_alpr.cli", "update", *words, *settings]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment(),
                              check=False)  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        return json.loads(self.update("status", "--json"))  # type: ignore[no-any-return]

    def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for it."""
        end_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end_s, what
            time.sleep(0.2)

    def readers(self, since: int = 0) -> set[str]:
        """The reading networks of the newest events; after the event `since`."""
        return {event.models["reader"] for event in self.told() if event.seq > since + 3}

    def shadow(self) -> dict[str, Any]:
        """What the reader says of the set that it runs beside."""
        path = self.folder / "models" / "trial.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def told(self) -> list[Any]:
        with StoreView(self.folder, StoreConfig(path=str(self.folder))) as view:
            return view.newest(8)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, str]]:
    folder = tmp_path_factory.mktemp("fleet")
    operator = new_operator(folder / "desk")
    with web_server(operator.public) as url:
        yield operator, url


@contextmanager
def driving(device: Device) -> Iterator[subprocess.Popen[str]]:
    """The reader, at a camera's pace, over and over."""
    with playing(device.config, 600) as drive:
        device.until(lambda: drive.poll() is not None or (device.folder / "heartbeat.json").exists(), "no heartbeat")
        assert drive.poll() is None
        yield drive


@pytest.mark.slow
def test_new_models_and_a_list_reach_a_car_while_it_drives_and_go_back(servers: tuple[Operator, str], tmp_path: Path):
    operator, url = servers
    device = Device(tmp_path / "car").begin(operator, url)
    new = put_set(tmp_path / "sets", "2030.1")
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    (stolen / "stolen.csv").write_text(f"plate\n{LISTED}\n", encoding="utf-8")
    for folder, unit, version in ((new, "models", "2030.1"), (stolen, "list/stolen", "1")):
        archive = tmp_path / f"{folder.name}.tar"
        device.update("pack", str(folder), "--unit", unit, "--version", version, "--out", str(archive))
        operator("add", str(archive), "--unit", unit, "--version", version)
        operator("rollout", "start", unit.replace("/", "-"), "--target", f"{unit}/{archive.name}", "--share", "1")

    with driving(device) as drive:
        device.until(device.readers, "nothing is told")
        old = device.readers()
        for command in ("check", "download", "install"):
            device.update(command)
        device.until(lambda: device.shadow().get("plates_old", 0) >= 5 and device.shadow()["frames"] >= 20, "no trial")
        device.update("run", "--limit", "6")
        ends = {one["unit"]: one["last"]["result"] for one in device.state()["units"] if one["last"]}
        assert ends == {"models": "good", "list/stolen": "good"}
        assert (device.folder / "models" / "current").readlink() == Path("2030.1")
        device.until(lambda: device.readers() - old, "the new models do not read")
        device.until(lambda: any(event.match for event in device.told()), "the list does not hit")
        device.update("rollback", "models")
        now = device.told()[0].seq
        device.until(lambda: device.readers(now) == old, "the old models do not read again")
        assert drive.poll() is None
