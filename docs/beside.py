"""All that runs in a car beside the reader, as processes, and somebody who listens: for all_on.py and shift.py.

The screen is looked at by a client that takes every event and every live picture, as the page does; it draws nothing.
The sound's player notes what it was to play, and plays nothing; speech is made where espeak-ng is installed.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from typing_extensions import Self

NICE = {"display": 3, "sound": 0, "uplink": 7}
"""As much of the processor's time as `CPUWeight` gives the units in deploy/systemd."""
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Ports:
    """Where the parts meet."""

    mqtt: int = field(default_factory=free_port)
    display: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)


def write_config(folder: Path, ports: Ports, more: str) -> Path:
    """The settings of all processes, with all links on; `more` are further tables."""
    player = folder / "player"
    player.write_text(f'#!/bin/sh\necho "$(date +%s.%N) $(basename "$1")" >> {folder}/played\n', encoding="utf-8")
    player.chmod(0o755)
    (folder / "played").touch()
    path = folder / "car.toml"
    path.write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {ports.mqtt}\ntls = false\n'
        f'[metrics]\nlisten = "127.0.0.1:{ports.metrics}"\n'
        f'[display]\nport = {ports.display}\nruntime = "{folder}/run"\n'
        f'[sound]\nplayer = "{player}"\n{more}',
        encoding="utf-8",
    )
    return path


@dataclass(frozen=True)
class Usage:
    """Of a process so far: processor seconds, its ended children's included, and resident KB."""

    cpu_s: float
    rss_kb: int


def usage(pid: int) -> Usage:
    """By the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return Usage(sum(map(int, fields[11:15])) / _TICKS, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024)


class Broker:
    """A mosquitto that keeps sessions over its restarts."""

    def __init__(self, folder: Path, port: int) -> None:
        self._file = folder / "mosquitto.conf"
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", "log_dest none",
                 f"persistence_location {folder}/", "max_queued_messages 1000000"]  # fmt: skip
        if os.geteuid() == 0:
            lines.append("user root")
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Be there."""
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """Be away."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        """None while it is away."""
        return self._process.pid if self._process else None


class MqttEar:
    """Counts the events that came by MQTT, by `uuid`, `state` and `seq`."""

    def __init__(self, port: int) -> None:
        self.heard: Counter[tuple[str, str, int]] = Counter()
        self.beats = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "ear", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("edge-alpr/#", qos=1)
        self._client.on_message = self._take
        while True:
            try:
                self._client.connect("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.05)
        self._client.loop_start()

    def close(self) -> None:
        """Hear no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/events"):
            event = json.loads(message.payload)
            self.heard[event["uuid"], event["state"], event["seq"]] += 1
        self.beats += message.topic.endswith("/stats")


class ScreenEye:
    """Looks at the screen: all events by `seq`, and each live picture as it comes. Comes back when the server does."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[int] = Counter()
        self.pictures = self.picture_bytes = self.connections = 0
        self._port, self._last, self._closing = port, "", threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look away."""
        self._closing.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError, http.client.HTTPException):
                self._look()
            self._closing.wait(0.5)

    def _look(self) -> None:
        stream = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        stream.request("GET", "/stream", headers={"Last-Event-ID": self._last} if self._last else {})
        answer, kind = stream.getresponse(), ""
        self.connections += 1
        while not self._closing.is_set() and (line := answer.readline()):
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key == "id":
                self._last = value
            elif key == "event":
                kind = value
            elif key == "data":
                self._take(kind, json.loads(value))
        stream.close()

    def _take(self, kind: str, told: Any) -> None:
        if kind == "all":
            self.seen.update({event["seq"]: 1 for event in told["events"] if event["seq"] not in self.seen})
        elif kind == "event":
            self.seen[told["seq"]] += 1
        elif kind == "live" and told is not None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            connection.request("GET", "/live.jpg")
            size = len(connection.getresponse().read())
            self.pictures += size > 0
            self.picture_bytes += size
            connection.close()


class Scraper:
    """Asks for the metrics every 5 s, as Prometheus would."""

    def __init__(self, port: int) -> None:
        self.scrapes = 0
        self._port, self._closing = port, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._closing.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closing.wait(5):
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/metrics")
                self.scrapes += b"edge_alpr_running" in connection.getresponse().read()
                connection.close()


class Beside:
    """Everything, while it is held. What the processes say is in `folder`/NAME.log."""

    def __init__(self, folder: Path, config: Path, ports: Ports) -> None:
        self._stack = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self.broker = Broker(folder, ports.mqtt)
            self._stack.callback(self.broker.stop)
            self.ear = self._closed(MqttEar(ports.mqtt))
            for name in NICE:
                self._start(name, folder, config)
            self.eye = self._closed(ScreenEye(ports.display))
            self.scraper = self._closed(Scraper(ports.metrics))
        except BaseException:
            self._stack.close()
            raise

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name; the broker where it is there."""
        broker = {"broker": self.broker.pid} if self.broker.pid else {}
        return {**{name: process.pid for name, process in self._processes.items()}, **broker}

    def ended(self) -> list[str]:
        """Those that should be there, and are not."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, name: str, folder: Path, config: Path) -> None:
        log = self._stack.enter_context((folder / f"{name}.log").open("wb"))
        command = ["nice", "-n", str(NICE[name]), sys.executable, "-m", "edge_alpr.cli", name, "--config", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        self._processes[name] = process
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

    def _closed(self, listener: Any) -> Any:
        self._stack.callback(listener.close)
        return listener
