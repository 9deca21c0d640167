"""`edge-alpr update`: when it may, what it proves, what people and programs are told."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from ota_world import BLOBS, Board, model_blob, model_files
from typer.testing import CliRunner

from edge_alpr.cli import app
from edge_alpr.config import Config, StoreConfig, UpdateConfig, parse_config
from edge_alpr.errors import ConfigError, UnsignedListError, UpdateError, UpdateUnreachableError
from edge_alpr.ops.heartbeat import BoardBeat, CameraBeat, Heartbeat
from edge_alpr.ota.agent import Agent
from edge_alpr.ota.shadow import Outcome, ShadowLimits, judge
from edge_alpr.ota.state import UNSURE
from edge_alpr.ota.told import updates_told
from edge_alpr.ota.types import IMAGE, MODELS, Car, Progress, Target, Verdict
from edge_alpr.update import wiring
from edge_alpr.update.lock import locked
from edge_alpr.update.policy import Vehicle, may_download, may_install, may_reboot
from edge_alpr.update.proof import DeviceProof, Watch
from edge_alpr.update.service import Hands, Pause, Updater
from edge_alpr.update.vehicle import VehicleWatch
from edge_alpr.uplink.beats import outward
from edge_alpr.uplink.metrics import DriveCollector

LIST = "list/stolen"
PARKED = Vehicle(speed_kmh=0.4, ignition=True, still_s=301.0, volts=12.6)
CONFIG = UpdateConfig(battery_file="/sys/volts")
BEAT = Heartbeat(
    device_id="car-1", timestamp="", running=True, error="", keeping_up=True, uptime_s=9.0, interval_s=5.0,
    cameras=(CameraBeat(camera_id="front", frames=50, fps=10.0, dropped=0, restarts=0, last_restart="", lost=""),),
    p50_ms=9.0, p99_ms=20.0, level=None, board=BoardBeat(watts=None, celsius=None, power_mode=None), rss_mb=200.0,
    confirmed=0, withdrawn=0, models={}, software="0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "change", "config", "words"),
    [
        ("install", {}, {}, ""),
        ("install", {"speed_kmh": 50.0}, {}, "the car moves, 50 km/h"),
        ("install", {"speed_kmh": 50.0, "ignition": False}, {}, ""),
        ("install", {"speed_kmh": None, "ignition": None}, {}, "not known"),
        ("install", {"speed_kmh": None, "ignition": True}, {}, "not known"),
        ("install", {"speed_kmh": None}, {"parked_min": 0.0}, ""),
        ("install", {"still_s": 120.0}, {}, "stood for 2 of 5 minutes"),
        ("install", {"volts": 11.9}, {}, "the battery has 11.9 V, less than 12.2"),
        ("install", {"volts": None}, {}, "tells no voltage"),
        ("install", {"volts": None}, {"battery_file": ""}, ""),
        ("list", {"speed_kmh": 90.0, "volts": 11.0}, {}, ""),
        ("download", {"speed_kmh": 90.0}, {}, ""),
        ("download", {"speed_kmh": 90.0}, {"download": "parked"}, "the car moves"),
        ("download", {"volts": 11.0}, {}, "the battery has"),
        ("reboot", {}, {}, "waits for ignition off"),
        ("reboot", {"ignition": None}, {}, "not known"),
        ("reboot", {"ignition": False}, {}, ""),
        ("reboot", {"ignition": False, "volts": 11.0}, {}, "the battery has"),
        ("reboot", {"ignition": None}, {"reboot": "parked"}, ""),
        ("reboot", {"speed_kmh": 30.0}, {"reboot": "parked"}, "the car moves"),
        ("reboot", {"ignition": False}, {"reboot": "never"}, "next start"),
    ],
)
def test_the_policy_says_no_and_why(ask: str, change: dict[str, object], config: dict[str, object], words: str):
    vehicle, settings = replace(PARKED, **change), msgspec.structs.replace(CONFIG, **config)  # type: ignore[arg-type]
    asked: dict[str, Callable[[], str]] = {
        "install": lambda: may_install(settings, vehicle, MODELS),
        "list": lambda: may_install(settings, vehicle, LIST),
        "download": lambda: may_download(settings, vehicle),
        "reboot": lambda: may_reboot(settings, vehicle),
    }
    no = asked[ask]()
    assert words in no and bool(words) == bool(no)


def test_a_car_is_parked_only_as_long_as_somebody_looked(tmp_path: Path):
    now, speed = [0.0], [0.0]
    (tmp_path / "volts").write_text("12634\n")
    (tmp_path / "ignition").write_text("1\n")
    config = UpdateConfig(battery_file=str(tmp_path / "volts"), ignition_file=str(tmp_path / "ignition"))
    watch = VehicleWatch(config, lambda: speed[0], lambda: now[0])

    def at(second: float) -> Vehicle:
        now[0] = second
        return watch.look()

    assert at(0) == Vehicle(0.0, True, 0.0, pytest.approx(12.634))
    assert at(30).still_s == 30
    assert at(300).still_s == 0, "nobody knows what it did meanwhile"
    speed[0] = 40.0
    assert at(310).still_s is None
    (tmp_path / "ignition").write_text("0\n")
    assert (at(320).still_s, at(350).still_s) == (0, 30)
    (tmp_path / "volts").unlink()
    assert at(351).volts is None


def test_pauses_grow_while_it_fails():
    pause, waits = Pause(6 * 3600, random.Random(1)), []
    for _ in range(9):
        pause.went(False, 0.0)
        waits.append(pause.due_s)
    assert waits[0] < 80 and 2800 < waits[-1] < 4400
    assert all(after > before for before, after in pairwise(waits[:6]))
    pause.went(True, 0.0)
    assert pause.due_s > 4 * 3600


class Driven:
    """A car with the updater on a simulated board; time passes with each step."""

    def __init__(self, board: Board, config: UpdateConfig) -> None:
        self.board, self.vehicle, self.now_s = board, PARKED, 0.0
        self.said: list[str] = []
        self.reboots: list[str] = []
        hands = Hands(self._agent, lambda: self.vehicle, self.reboots.append, self.said.append, lambda: self.now_s)
        self.updater = Updater(config, hands, random.Random(1))

    @contextmanager
    def _agent(self) -> Iterator[Agent]:
        yield self.board.agent()

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.updater.step()
            self.board.read()
            self.now_s += 31.0


@pytest.fixture
def car() -> Driven:
    board = Board()
    board.live()
    for unit, blob in BLOBS.items():
        board.servers.publish(unit, "2.0", blob("2.0"))
    return Driven(board, UpdateConfig(url="https://x"))


def test_a_car_in_motion_takes_lists_and_fetches_the_rest(car: Driven):
    car.vehicle = Vehicle(speed_kmh=80.0, ignition=True)
    car.steps(5)
    assert car.board.versions() == {IMAGE: "1.0", LIST: "2.0"}
    assert car.said[-1] == "the car moves, 80 km/h"
    assert car.board.slots.writes == 0 and not car.reboots
    car.vehicle = PARKED
    car.steps(5)
    assert car.board.versions() == {IMAGE: "1.0", MODELS: "2.0", LIST: "2.0"}
    assert car.board.slots.primary == "B" and not car.reboots
    assert car.said[-1] == "image 2.0 starts with the next boot: it waits for ignition off"
    car.vehicle = replace(PARKED, ignition=False)
    car.steps(5)
    assert car.reboots == ["image 2.0 is installed"]
    car.board.live()
    assert car.board.versions() == {IMAGE: "2.0", MODELS: "2.0", LIST: "2.0"}


def test_servers_that_are_away_are_asked_less_and_less(car: Driven, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def away(car_: Car) -> Sequence[Target]:
        asked.append(car.now_s)
        raise UpdateUnreachableError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(car.board.servers, "wanted", away)
        car.steps(120)
    assert 4 <= len(asked) <= 8
    assert set(car.said) == {"no route to host"}, "also while it waits for the next try"
    car.now_s += 4000
    car.steps(8)
    assert car.board.versions()[LIST] == "2.0"


def test_a_lock_that_another_process_has_is_only_told(tmp_path: Path):
    board = Board()
    car = Driven(board, UpdateConfig(url="https://x"))

    @contextmanager
    def taken() -> Iterator[Agent]:
        with locked(tmp_path, 0.2):
            yield board.agent()

    car.updater._hands = replace(car.updater._hands, agent=taken)  # type: ignore[misc]
    code = "import sys, time; from pathlib import Path; from edge_alpr.update.lock import locked\n" \
           "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"  # fmt: skip
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        car.steps(1)
        assert "another process works on updates" in car.said[-1]
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path, 5.0):
        pass


# What is proven.


def proof(tmp_path: Path, golden: str, **more: float) -> DeviceProof:
    """A proof whose golden drive is this Python."""
    script = tmp_path / "golden.py"
    script.write_text(textwrap.dedent(golden))
    times: dict[str, float] = {"image_s": 0.5, "models_s": 0.5, "silence_s": 3.0, **more}
    return DeviceProof([sys.executable, str(script)], tmp_path / "heartbeat.json", **times)  # type: ignore[arg-type]


GOOD = """print('{"good": true, "why": "", "facts": {"p99_ms": 20.5}}')"""


@contextmanager
def reader(tmp_path: Path, *beats: dict[str, object]) -> Iterator[None]:
    """Writes heartbeats, the last one again and again with a new time."""
    stop = threading.Event()

    def write() -> None:
        for number in range(1000):
            change = dict(beats[min(number, len(beats) - 1)])
            uptime = change.pop("uptime_s", 10.0 + number)
            beat = msgspec.structs.replace(BEAT, timestamp=str(number), uptime_s=uptime, **change)
            part = tmp_path / "part"
            part.write_bytes(msgspec.json.encode(beat))
            part.replace(tmp_path / "heartbeat.json")
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_set_in_a_folder_is_proven_by_the_golden_drive_alone(tmp_path: Path):
    echo = "import json, sys; print(json.dumps({'good': False, 'why': ' '.join(sys.argv[1:]), 'facts': {}}))"
    verdict = proof(tmp_path, echo)(MODELS, Path("/models/2.0"))
    assert verdict == Verdict(False, "--models /models/2.0", {})


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        ("import sys; print('a broken wheel', file=sys.stderr); sys.exit(3)", "ended with 3: a broken wheel"),
        ("print('[]')", "ended with 0: it said nothing"),
        ("import time; time.sleep(60)", "did not end"),
    ],
)
def test_a_golden_drive_that_breaks_is_not_good(golden: str, words: str, tmp_path: Path):
    begun = time.monotonic()
    verdict = proof(tmp_path, golden, golden_s=1.0 if "sleep" in golden else 30.0)(MODELS, Path("/x"))
    assert not verdict.good and words in verdict.why
    assert time.monotonic() - begun < 30


def test_an_image_is_proven_by_the_golden_drive_and_a_reader_that_lives(tmp_path: Path):
    with reader(tmp_path, {}):
        assert proof(tmp_path, GOOD)(IMAGE, None) == Verdict(True, "", {"p99_ms": 20.5})
        assert proof(tmp_path, "1/0")(MODELS, None).good, "models in use need no golden drive"


def test_a_reader_that_gives_no_frames_or_ends_is_not_good(tmp_path: Path):
    with reader(tmp_path, {"cameras": ()}):
        assert proof(tmp_path, GOOD)(IMAGE, None).why == f"{UNSURE}no camera gave a frame"
    with reader(tmp_path, {}, {"error": "the store is full", "running": False}):
        assert proof(tmp_path, GOOD, models_s=9.0)(MODELS, None).why == "the reader ended: the store is full"
    assert "no heartbeat for 1 s" in proof(tmp_path, GOOD, silence_s=1.0)(MODELS, None).why


def test_a_reader_that_starts_again_and_again_is_found_at_once():
    watch = Watch()
    heard = [watch.hear(msgspec.structs.replace(BEAT, uptime_s=s)) for s in (90.0, 5.0, 30.0, 5.0)]
    assert heard == ["", "", "", "the reader started again and again"]


SEEN = Outcome("2.0", frames=300, plates_both=30, plates_old=30, plates_new=30, texts_same=30, p99_ms_old=20.0,
              p99_ms_new=25.0)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "good", "words"),
    [
        ({}, True, ""),
        ({"frames": 299}, None, ""),
        ({"plates_old": 19}, None, ""),
        ({"plates_old": 19, "seconds": 1e6}, False, "too little was seen"),
        ({"plates_new": 20}, False, "it found 20 plates where they found 30"),
        ({"texts_same": 20, "texts_differ": 10}, False, "10 of 30 texts differ"),
        ({"p99_ms_new": 31.0}, False, "a frame takes it 31.0 ms (p99) where the old models take 20.0"),
        ({"p99_ms_old": 0.0}, True, ""),
        ({"error": "no memory", "frames": 0}, False, "no memory"),
    ],
)
def test_what_the_run_beside_showed_is_judged(
    change: dict[str, object], good: bool | None, words: str
):
    verdict = judge(msgspec.structs.replace(SEEN, **change), ShadowLimits())
    assert (verdict.good if verdict else None) is good
    assert words in (verdict.why if verdict else "")


# What people meet: the commands, on real files.


class Folder:
    """A `Repository` in memory; files lie on the real disk."""

    def __init__(self, unit: str, version: str, blob: bytes) -> None:
        digest = hashlib.sha256(blob).hexdigest()
        self.targets = {unit: (Target(f"{version}.tar", unit, version, len(blob), digest), blob)}

    def wanted(self, car: Car) -> Sequence[Target]:
        return [target for target, _ in self.targets.values()]

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        path.write_bytes(self.targets[target.unit][1])
        progress(target.length, target.length)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `edge-alpr update …`; gives its exit code and what it said."""
    folder = Folder(MODELS, "2.0", model_blob("2.0"))
    monkeypatch.setattr(wiring, "_repository", lambda config, where: folder)
    monkeypatch.setattr(wiring, "golden_command", lambda *args: [sys.executable, "-c", GOOD])
    config = tmp_path / "car.toml"
    config.write_text(
        f'[store]\npath = "{tmp_path / "data"}"\n[update]\nurl = "https://example.org/updates"\n'
        "trial_frames = 0\nwatch_min = 0.005\nproof_s = 0.3\n"
    )

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["update", *words, "--config", str(config)])
        if done.exception and not isinstance(done.exception, SystemExit):
            return 2, str(done.exception)
        return done.exit_code, done.output

    return run


def test_models_are_checked_fetched_installed_and_rolled_back(told: Callable[..., tuple[int, str]], tmp_path: Path):
    data = tmp_path / "data"
    assert told("check") == (0, f"models 2.0: to be fetched and installed, {len(model_blob('2.0')) / 1e6:.1f} MB\n")
    assert told("download") == (0, "nothing is left to fetch\n")
    assert told("install") == (0, "nothing is left to install\n")
    assert "2.0 in use, being watched" in told("status")[1]
    assert (data / "models" / "current" / "plate-reader.onnx").read_bytes() == model_files("2.0")["plate-reader.onnx"]
    assert "its verdict is still out" in json.loads(told("check", "--json")[1])[0]["waits"]
    assert [one.result for one in updates_told(data, Path("/none")).update] == ["trial"]
    assert told("rollback", "models")[0] == 0
    assert not (data / "models" / "current").exists() and not (data / "models" / "2.0").exists()
    code, said = told("check")
    assert code == 1 and "refused: it did not do here: asked for" in said
    status = json.loads(told("status", "--json")[1])
    models = next(one for one in status["units"] if one["unit"] == MODELS)
    assert models["last"]["result"] == "back" and models["pending"] is None and models["running"] == ""
    assert updates_told(data, Path("/none")).update[0].why == "asked for"
    code, said = told("rollback", "models")
    assert code == 2 and "the set that came with the image is in use" in said


def test_the_service_does_all_of_it(told: Callable[..., tuple[int, str]], tmp_path: Path):
    data, config = tmp_path / "data", tmp_path / "car.toml"
    config.write_text(config.read_text() + "parked_min = 0.0\n")
    data.mkdir()
    with reader(data, {}):
        assert told("run", "--limit", "0.1") == (0, "")
        agent = wiring.make_agent(parse_config(config.read_text()), config)
        agent.settle()
    assert updates_told(data, Path("/none")).versions == {MODELS: "2.0"}
    assert updates_told(data, Path("/none")).update[0].result == "good"


def test_the_proof_at_boot_keeps_an_image_that_reads(told: Callable[..., tuple[int, str]], tmp_path: Path):
    (tmp_path / "data").mkdir()
    assert told("prove", "--early") == (0, ""), "there is no other side to start"
    with reader(tmp_path / "data", {}):
        assert told("prove") == (0, "")
    assert told("prove", "--failed") == (0, "")


def test_what_is_packed_at_the_office_is_what_cars_take(tmp_path: Path):
    for name, data in model_files("2.0").items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)

    def packed(*words: str) -> str:
        out = ("--out", str(tmp_path / "set.tar"))
        done = CliRunner().invoke(app, ["update", "pack", str(tmp_path / "set"), *words, *out])
        return done.output if done.exit_code == 0 else str(done.exception)

    assert packed("--version", "2.0").endswith("set.tar: 0.01 MB\n")
    assert (tmp_path / "set.tar").read_bytes() == model_blob("2.0")
    assert "nothing to pack" in packed("--version", "2.0", "--unit", "image")
    assert "no name of a version" in packed("--version", "../2.0")
    (tmp_path / "set" / "plate-reader.onnx").write_bytes(b"another")
    assert "not the model that its card speaks of" in packed("--version", "2.1")
    assert (tmp_path / "set.tar").read_bytes() == model_blob("2.0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.tar"]


def test_heartbeats_and_metrics_tell_what_came_of_updates(told: Callable[..., tuple[int, str]], tmp_path: Path):
    data = tmp_path / "data"
    for word in ("check", "download", "install"):
        told(word)
    beat = outward(BEAT, {}, datetime.now(timezone.utc), updates_told(data, Path("/none")))
    assert beat["versions"] == {MODELS: "2.0"}
    assert list(beat["update"]) == [{"unit": MODELS, "version": "2.0", "result": "trial", "why": ""}]
    names = {(metric.name, *sample.labels.values()) for metric in DriveCollector(tmp_path, {}, data).collect()
             for sample in metric.samples}  # fmt: skip
    assert {("edge_alpr_version_info", MODELS, "2.0"), ("edge_alpr_update_info", MODELS, "2.0", "trial")} <= names
    (data / "update" / "state.json").write_bytes(b"\0")
    (tmp_path / "os-release").write_text('ID=edge-alpr\nIMAGE_VERSION="1.4.0"\n')
    told_now = updates_told(data, tmp_path / "os-release")
    assert (told_now.versions, told_now.update) == ({MODELS: "2.0", IMAGE: "1.4.0"}, ())


def test_updates_are_off_without_an_address():
    done = CliRunner().invoke(app, ["update", "check"])
    assert isinstance(done.exception, UpdateError) and "set update.url" in str(done.exception)


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://example.org", "https:// x"])
def test_an_address_that_anybody_could_speak_for_is_refused(url: str):
    with pytest.raises(ConfigError, match=r"update\.url"):
        parse_config(f'[update]\nurl = "{url}"\n')


def test_lists_need_the_signature_that_imported_ones_need(tmp_path: Path):
    signed = wiring.signed_as(parse_config(f'[hotlists]\nkeys = "{tmp_path}"\nrequire_signature = true\n'))
    with pytest.raises(UnsignedListError, match="not signed"):
        signed(b"plate\nB123XYZ\n", None, "stolen.csv")
    wiring.signed_as(Config())(b"plate\n", None, "stolen.csv")


def test_a_board_is_known_by_its_device_tree(tmp_path: Path):
    (tmp_path / "tree").write_bytes(b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0")
    assert wiring.board_of(UpdateConfig(), tmp_path / "tree") == "orin-nano"
    assert wiring.board_of(UpdateConfig(), tmp_path / "none") == "pc"
    assert wiring.board_of(UpdateConfig(board="thor"), tmp_path / "tree") == "thor"


def test_the_lists_folder_and_the_data_folder_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    where = wiring.places(Config(store=StoreConfig(path="store")))
    assert where.data == Path(os.getcwd()) / "store" and where.lists == where.data / "hotlists"  # noqa: PTH109
