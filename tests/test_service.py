"""Under a service manager: units that hold, and a real drive that tells what becomes of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_parts import missing

from edge_alpr.config import Config, EventConfig, GovernorConfig, StoreConfig, changed, load_config
from edge_alpr.service import Manager, journal
from edge_alpr.update.reboot import FILE as REBOOT

UNITS = sorted((Path(__file__).resolve().parents[1] / "deploy" / "systemd").glob("*.service"))
ONCE = ("TimeoutStartSec=", "SuccessExitStatus=3")
"""What ends by itself; its exit code 3 is a verdict, 1 and 2 are faults."""
KEYLESS = ("edge-alpr-update", "edge-alpr-mark", "edge-alpr-prove", "edge-alpr-back")
"""What has no business with keys does not see them."""
EXPOSURE = 3.0
"""What `systemd-analyze security` may give at most."""


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_well_locked(unit: Path):
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", analyze("security", "--offline=true", str(unit)))
    assert found and float(found[1]) < EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_understood(unit: Path):
    complaints = [line for line in analyze("verify", str(unit)).splitlines() if unit.name in line]
    newer = ("is not executable", "Unknown key 'RestartSteps'", "Unknown key 'RestartMaxDelaySec'")
    assert [line for line in complaints if not any(words in line for words in newer)] == []
    text = unit.read_text(encoding="utf-8")
    lasting = ("Type=notify", "Restart=always", "StartLimitIntervalSec=0", "WatchdogSec=", "RestartMaxDelaySec=60")
    assert all(line in text for line in (ONCE if "Type=oneshot" in text else lasting))


def test_one_service_that_fails_stops_no_other():
    for unit in UNITS:
        assert not re.search(r"^(Requires|BindsTo|PartOf)=", unit.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_settings_of_the_units_need_no_home_and_keep_keys_apart(monkeypatch: pytest.MonkeyPatch):
    """The units see no home and begin in /: what is left at a default there would not be found, or copied along."""
    monkeypatch.delenv("HOME", raising=False)
    config = load_config(UNITS[0].parent / "edge-alpr.toml")
    keys = [config.store.key_file, config.store.signing_key, config.learning.key_file]
    paths = [*keys, config.store.path, config.models.engines]
    assert all(Path(path).is_absolute() for path in paths)
    assert not any(Path(key).is_relative_to(config.store.path) for key in keys)
    for unit in UNITS:
        found = re.search(r"^StateDirectory=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
        folders = [Path("/var/lib", name) for name in (found[1].split() if found else [])]
        used = [path for path in paths if path not in keys] if unit.stem in KEYLESS else paths
        assert all(any(Path(path).is_relative_to(folder) for folder in folders) for path in used), unit.name
        hidden = "InaccessiblePaths=-/var/lib/edge-alpr-keys" in unit.read_text(encoding="utf-8")
        assert hidden == (unit.stem in KEYLESS), unit.name


def test_a_reboot_is_asked_for_where_it_is_waited_for():
    unit = UNITS[0].parent / "edge-alpr-reboot.path"
    text = unit.read_text(encoding="utf-8")
    assert f"PathExists=/run/edge-alpr/{REBOOT}\n" in text and "Unit=reboot.target" in text
    assert analyze("verify", str(unit)).split() == []


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        yield listener


def until(told: socket.socket, word: str) -> list[str]:
    """All that is told until a message that begins with `word`."""
    heard: list[str] = []
    while not heard or not heard[-1].startswith(word):
        heard.append(told.recv(4096).decode())
    return heard


def test_a_drive_tells_when_it_is_ready_lives_reloads_and_stops(tmp_path: Path, told: socket.socket):
    config = tmp_path / "edge-alpr.toml"
    config.write_text(f'[store]\npath = "{tmp_path / "store"}"\n', encoding="utf-8")
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
    environment.pop("JOURNAL_STREAM", None)
    command = [sys.executable, "-m", "edge_alpr.cli", "-v", "run", "--no-display", "--config", str(config)]
    drive = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert until(told, "READY=1") == ["READY=1"]
        until(told, "WATCHDOG=1")
        config.write_text(config.read_text(encoding="utf-8") + "[event]\nconfirm_score = 0.9\n", encoding="utf-8")
        drive.send_signal(signal.SIGHUP)
        until(told, "RELOADING=1")
        until(told, "READY=1")
        config.write_text("[event]\nconfirm = 0.9\n", encoding="utf-8")
        drive.send_signal(signal.SIGHUP)
        until(told, "READY=1")
        time.sleep(0.3)
        drive.send_signal(signal.SIGTERM)
        until(told, "STOPPING=1")
        said = drive.communicate(timeout=30)[1]
    finally:
        drive.kill()
        drive.communicate()
    assert drive.returncode == 0
    said = " ".join(said.split())  # lines are wrapped, where depends on the folder's name
    assert "configuration read again: event" in said
    assert "the configuration stays as it was" in said and "unknown key 'event.confirm'" in said


def test_a_screen_passes_on_what_it_shows(tmp_path: Path, told: socket.socket, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    now = [0.0]
    manager = Manager({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "3000000"}, lambda: now[0])
    for moment in (0.0, 0.9, 1.0, 1.5, 2.1):
        now[0] = moment
        manager.alive()
    manager.status("")
    manager.status("hot: every second frame — 82 °C")
    manager.status("hot: every second frame — 82 °C")
    manager.status("")
    manager.stopping()
    assert until(told, "STOPPING") == [
        "WATCHDOG=1", "WATCHDOG=1", "STATUS=hot: every second frame — 82 °C", "STATUS=as usual", "STOPPING=1",
    ]  # fmt: skip


def test_without_a_manager_nothing_is_said():
    manager = Manager({})
    manager.ready()
    manager.alive()
    manager.stopping()
    assert journal({}) is None


def test_what_a_running_drive_takes_is_told_from_what_waits():
    before = Config()
    after = Config(event=EventConfig(cooldown_s=60), governor=GovernorConfig(watts=15), store=StoreConfig(path="x"))
    assert changed(before, after) == (["event", "governor"], ["store"])
