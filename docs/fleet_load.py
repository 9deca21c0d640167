"""Many cars against one mosquitto: is every event there, how late, and what does the broker take?

    python docs/fleet_load.py [--cars 500] [--events 40] [--seconds 120] [--away 20] [--processes 12] [--look 0.5]

Each car is the real thing from its store on: an event store that `--events` hits are appended to over `--seconds`,
and an uplink that looks every `--look` seconds (a car: 0.05) and tells them by MQTT. After a third of the time the
broker is stopped for `--away` seconds. One listener with a session that outlives its connection hears everything.
Stores lie in memory (/dev/shm): the disks of so many cars are not to be measured here. A process takes 45 cars at most:
paho's `select` takes no file over number 1023.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing as mp
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_alpr.config import Config, MqttConfig, StoreConfig
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Box, Candidate, Event, Match, Point
from edge_alpr.uplink.service import Uplink


@dataclass(frozen=True)
class Fleet:
    """What is asked for."""

    cars: int
    events: int
    seconds: float
    away: float
    processes: int
    look: float


@dataclass
class Heard:
    """What the listener heard: events with their delay in ms (negative: the broker was away), and who is online."""

    delays: dict[str, float] = field(default_factory=dict)
    repeated: int = 0
    size: int = 0
    online: set[str] = field(default_factory=set)

    def message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        """Take one message."""
        _, car, topic = message.topic.split("/")
        if topic == "available":
            (self.online.add if message.payload == b"online" else self.online.discard)(car)
        elif topic == "events":
            self.size += len(message.payload)
            event = json.loads(message.payload)
            self.repeated += event["uuid"] in self.delays
            self.delays.setdefault(event["uuid"], time.time() * 1000 - event["epoch_end"])


def hit(car: int, number: int) -> Event:
    """An event of a car, now; of the size of a real one."""
    now, plate = int(time.time() * 1000), f"B{number:04d}CAR"
    corners = (Point(500.5, 301.0), Point(619.0, 300.0), Point(619.5, 329.0), Point(501.0, 330.0))
    return Event(
        version=1, uuid=f"{car:08d}-0000-7000-8000-{number:012d}", state="confirmed", seq=0, device_id=f"car{car}",
        camera_id="camera0", timestamp="2026-01-02T10:00:01.400Z", clock_source="gps", epoch_start=now, epoch_end=now,
        plate=plate, score=0.97, candidates=tuple(Candidate(plate, 0.1 * n) for n in range(5)),
        char_scores=(0.99,) * 8, reads=12, agreement=0.92, box=Box(500, 300, 620, 330), coordinates=corners,
        track_id=number, gps={"lat": 44.43, "lon": 26.1, "speed_kmh": 48.0}, match=Match("stolen", plate, "exact"),
        processing_time_ms={"detect": 4.1, "read": 1.2}, models={"detector": "cpu:1f3a", "reader": "cpu:77b0"},
    )  # fmt: skip


def drive(cars: range, fleet: Fleet, port: int, folder: Path, signals: tuple[Signal, Signal]) -> None:
    """Some of the cars, in a process of their own; `signals`: begin, end."""
    begin, end = signals
    logging.disable()  # that the broker is away is known
    threads, uplinks = [], []
    with ExitStack() as stack:
        stores = {car: stack.enter_context(EventStore(folder / str(car), StoreConfig())) for car in cars}
        for car in cars:
            link = MqttConfig(host="127.0.0.1", port=port, tls=False, topic=f"load/car{car}", discovery="",
                              client_id=f"car{car}", tracked_object_update=False)  # fmt: skip
            store = StoreConfig(path=str(folder / str(car)), device_id=f"car{car}")
            uplinks.append(Uplink(Config(store=store, mqtt=link), look_s=fleet.look))
            threads.append(threading.Thread(target=uplinks[-1].run))
            threads[-1].start()
        begin.wait()
        start = time.monotonic()
        plan = sorted((random.uniform(0, fleet.seconds), car, n) for car in cars for n in range(fleet.events))
        for due, car, number in plan:
            time.sleep(max(0.0, start + due - time.monotonic()))
            stores[car].append(hit(car, number))
        end.wait()
        for uplink in uplinks:
            uplink.stop()
        for thread in threads:
            thread.join()


def start_broker(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """A mosquitto that keeps sessions over a restart."""
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", "log_dest none",
             f"persistence_location {folder}/", "max_queued_messages 1000000"]  # fmt: skip
    if os.geteuid() == 0:
        lines.append("user root")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
    return subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")])


def listen(heard: Heard, port: int) -> mqtt.Client:
    """Hear everything from now on."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda c, *_: c.subscribe("load/#", qos=1)
    client.on_message = heard.message
    while True:
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.05)
    client.loop_start()
    return client


def wait(true: Any, seconds: float) -> float:
    """Seconds until it was true, at most so many."""
    start = time.monotonic()
    while not true() and time.monotonic() - start < seconds:
        time.sleep(0.05)
    return time.monotonic() - start


def used(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """CPU seconds and resident KB of a process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[21]) * 4


def run(fleet: Fleet, folder: Path) -> int:
    """Drive the fleet, print what happened; 1 if an event is missing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard, spawn = Heard(), mp.get_context("spawn")
    broker, signals = start_broker(folder, port), (spawn.Event(), spawn.Event())
    client = listen(heard, port)
    parts = [range(first, fleet.cars, fleet.processes) for first in range(fleet.processes)]
    workers = [spawn.Process(target=drive, args=(part, fleet, port, folder, signals)) for part in parts]
    for worker in workers:
        worker.start()
    seconds = wait(lambda: len(heard.online) == fleet.cars, 60)
    say(f"{len(heard.online)} of {fleet.cars} cars online after {seconds:.1f} s")
    signals[0].set()
    start = time.monotonic()
    time.sleep(fleet.seconds / 3)
    before, delays = used(broker), dict(heard.delays)
    report("broker there", delays, fleet.seconds / 3)
    say(f"broker: {before[0]:.2f} s of CPU so far, {before[1] / 1024:.1f} MB resident")
    broker.terminate()
    broker.wait()
    time.sleep(fleet.away)
    broker = start_broker(folder, port)
    total = fleet.cars * fleet.events
    time.sleep(max(0.0, start + fleet.seconds - time.monotonic()))
    last = wait(lambda: len(heard.delays) == total, 600)
    back = {uuid: delay for uuid, delay in heard.delays.items() if uuid not in delays}
    report(f"after {fleet.away:.0f} s without it", back, fleet.seconds * 2 / 3)
    say(f"all events there {last:.1f} s after the last was stored; broker {used(broker)[1] / 1024:.1f} MB resident")
    size = heard.size / (len(heard.delays) + heard.repeated)
    say(f"{total} events of {size:.0f} bytes, {total - len(heard.delays)} lost, {heard.repeated} told twice")
    signals[1].set()
    for worker in workers:
        worker.join()
    client.disconnect()
    client.loop_stop()
    broker.terminate()
    broker.wait()
    return int(len(heard.delays) != total)


def say(text: str) -> None:
    """At once, also into a file."""
    print(text, flush=True)


def report(when: str, delays: dict[str, float], seconds: float) -> None:
    """From stored to heard."""
    p50, p99, most = np.percentile(list(delays.values()), (50, 99, 100))
    say(f"{when}: {len(delays)} events ({len(delays) / seconds:.0f} a second), "
          f"stored to heard {p50:.0f} ms p50, {p99:.0f} ms p99, {most:.0f} ms at most")  # fmt: skip


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cars", type=int, default=500)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--away", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--look", type=float, default=0.5)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        return run(Fleet(**vars(parser.parse_args())), Path(folder))


if __name__ == "__main__":
    raise SystemExit(main())
