"""The parts of the uplink by themselves: what is on its way and on disk, other programs' shapes, metrics."""

from __future__ import annotations

import json
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from helpers_sinks import make_event
from helpers_uplink import free_port, make_hit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_alpr.config import Config, PrivacyConfig, StoreConfig, WebhookConfig
from edge_alpr.errors import StoreError
from edge_alpr.ops.heartbeat import BoardBeat, CameraBeat, Heartbeat
from edge_alpr.service import Manager
from edge_alpr.sinks.outbox import FILE, OutboxFile, Saved, peek
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event, RegionGuess
from edge_alpr.uplink.metrics import DriveCollector, serving
from edge_alpr.uplink.outgoing import idempotency_key, outgoing
from edge_alpr.uplink.service import Uplink
from edge_alpr.uplink.shapes import DIALECTS
from edge_alpr.uplink.waiting import Waiting


class Way:
    """A target's way through a process that may end at any time; every second number may leave."""

    steps = ("note", "take", "put_back", "sent", "save", "fail", "crash")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.noted, self.ended, self.taken = 0, set[int](), list[int]()
        self.outbox = OutboxFile(folder)
        self.waiting = Waiting(self.outbox.load("a"))

    def note(self) -> None:
        self.waiting.note(self.noted + 2, [self.noted + 1])
        self.noted += 2

    def take(self) -> None:
        self.taken += [seq for seq in [self.waiting.take(0)] if seq is not None]

    def put_back(self) -> None:
        if self.taken:
            self.waiting.put_back(self.taken.pop())

    def sent(self) -> None:
        if self.taken:
            self.ended.add(self.taken[-1])
            self.waiting.settle(self.taken.pop(), "sent")

    def save(self) -> None:
        if (change := self.waiting.change()) is not None:
            self.outbox.save("a", change)

    def fail(self) -> None:
        if (change := self.waiting.change()) is not None:
            self.waiting.restore(change)

    def crash(self) -> None:
        self.outbox.close()
        self.outbox, self.taken = OutboxFile(self._folder), []
        self.waiting = Waiting(self.outbox.load("a"))
        self.noted = self.waiting.seen
        self.ended = {seq for seq in self.ended if seq <= self.noted}


@given(st.lists(st.sampled_from(Way.steps), min_size=30, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_number_is_lost_on_its_way_whatever_happens(tmp_path: Path, steps: list[str]):
    """Each is told, or still waits, in memory and on disk: after any steps."""
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    way = Way(tmp_path)
    for step in steps:
        getattr(way, step)()
    way.save()
    saved = set(way.outbox.load("a").waiting)
    way.outbox.close()
    left = {seq for seq in iter(lambda: way.waiting.take(0), None) if seq is not None}
    assert left | way.ended | set(way.taken) == set(range(1, way.noted, 2))
    assert saved == left | set(way.taken)


def test_a_refusal_is_kept_with_its_reason_and_the_count_lasts(tmp_path: Path):
    with OutboxFile(tmp_path) as outbox:
        waiting = Waiting(outbox.load("a"))
        waiting.note(9, [3, 5])
        waiting.settle(waiting.take(0) or 0, "refused", "HTTP 422")
        outbox.save("a", waiting.change() or pytest.fail("no change"))
        assert waiting.change() is None
    states, letters = peek(tmp_path)
    assert states == {"a": Saved(9, (5,), {"refused": 1})}
    assert [(letter.target, letter.seq, letter.reason) for letter in letters] == [("a", 3, "HTTP 422")]


def test_a_damaged_file_is_put_aside_and_begun_anew(tmp_path: Path):
    (tmp_path / FILE).write_bytes(b"this is no database" * 500)
    with OutboxFile(tmp_path) as outbox:
        assert outbox.load("a") == Saved()
        with pytest.raises(StoreError, match="another `edge-alpr uplink` is at it"):
            OutboxFile(tmp_path)
    assert len(list(tmp_path.glob(f"{FILE}.corrupt-*"))) == 1
    assert oct((tmp_path / FILE).stat().st_mode & 0o777) == "0o600"


def test_no_text_of_an_event_is_in_the_file(tmp_path: Path):
    with OutboxFile(tmp_path) as outbox:
        waiting = Waiting(outbox.load("a"))
        waiting.note(1, [1])
        outbox.save("a", waiting.change() or pytest.fail("no change"))
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert "plate" not in " ".join(row[0] or "" for row in connection.execute("SELECT sql FROM sqlite_master"))


def test_what_was_told_is_taken_back_and_the_new_plate_is_kept():
    told, now = make_hit(1, state="possible", seq=1), make_event(1, plate="OTHER", seq=2)
    hits = PrivacyConfig()
    back = outgoing(now, [told, now], hits)
    assert back == replace(told, state="withdrawn", seq=2, timestamp=now.timestamp)
    assert idempotency_key(back) != idempotency_key(told)
    assert outgoing(now, [now], hits) is None
    assert outgoing(replace(now, seq=3), [told, replace(told, state="withdrawn", seq=2), now], hits) is None
    assert outgoing(now, [told, now], PrivacyConfig(share="nothing")) is None
    assert outgoing(now, [], PrivacyConfig(share="all")) == now


def _shape(name: str, event: Event) -> dict:
    return json.loads(DIALECTS[name].encode(event))


def test_openalpr_hears_of_a_group_and_of_an_alert():
    event = make_event(7, gps={"lat": 44.4, "lon": 26.1}, region=RegionGuess("ro", "Romania", 0.9))
    group = _shape("openalpr", event)
    assert group["data_type"] == "alpr_group"
    assert (group["best_plate_number"], group["best_confidence"], group["best_region"]) == ("B0007XO", 97.0, "ro")
    assert (group["epoch_start"], group["gps_latitude"], group["agent_uid"]) == (event.epoch_start, 44.4, "car-7")
    assert [c["plate"] for c in group["candidates"]] == ["B0007XO", "B0007X0"]
    alert = _shape("openalpr", make_hit(7))
    assert (alert["data_type"], alert["alert_list"], alert["plate_number"]) == ("alpr_alert", "stolen", "B0007XO")
    assert alert["group"]["best_uuid"] == event.uuid


def test_plate_recognizer_hears_lower_case():
    told = _shape("platerecognizer", make_event(7))
    (result,) = told["data"]["results"]
    assert (told["hook"]["event"], told["data"]["camera_id"]) == ("recognition", "camera0")
    assert (result["plate"], result["score"], result["box"]["xmin"]) == ("b0007xo", 0.97, 500)
    assert [c["plate"] for c in result["candidates"]] == ["b0007xo", "b0007x0"]


def test_a_store_that_cannot_be_read_is_told_once_and_stands_in_the_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    sealed = StoreConfig(path=str(tmp_path / "store"), encrypt=True, key_file=str(tmp_path / "key"))
    with EventStore(tmp_path / "store", sealed) as store:
        store.append(make_hit())
    config = Config(
        store=msgspec.structs.replace(sealed, key_file=str(tmp_path / "another")),
        webhooks=(WebhookConfig(name="police", url=f"http://127.0.0.1:{free_port()}/"),),
    )
    said: list[str] = []
    manager = Manager({})
    manager.status = said.append  # type: ignore[method-assign]
    Uplink(config, manager, look_s=0.01).run(1.5)
    told = [record.message for record in caplog.records if "the store cannot be looked at" in record.message]
    assert len(told) == 1 and "key" in told[0]
    assert "key" in said[-1]


@pytest.fixture
def metrics(tmp_path: Path) -> Iterator[int]:
    camera = CameraBeat(camera_id='front "left"', frames=600, fps=10.0, dropped=3, restarts=0, last_restart="", lost="")
    beat = Heartbeat(
        device_id="car-7", timestamp=datetime.now(timezone.utc).isoformat(), running=True, error="", keeping_up=False,
        uptime_s=60.0, interval_s=60.0, cameras=(camera,), p50_ms=20.0, p99_ms=31.0, level=None,
        board=BoardBeat(watts=None, celsius=71.0, power_mode=None), rss_mb=200.0, confirmed=4, withdrawn=1,
        models={}, software="1",
    )  # fmt: skip
    (tmp_path / "heartbeat.json").write_bytes(msgspec.json.encode(beat))
    waiting = Waiting(Saved(9, (5, 7), {"sent": 3}))
    with serving("127.0.0.1:0", DriveCollector(tmp_path, {"mqtt": waiting})) as port:
        yield port


def _get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_metrics_tell_the_drive_and_the_links(metrics: int, tmp_path: Path):
    lines = _get(metrics).splitlines()
    for line in (
        "edge_alpr_running 1.0", "edge_alpr_keeping_up 0.0", "edge_alpr_board_celsius 71.0",
        'edge_alpr_latency_seconds{quantile="0.99"} 0.031', 'edge_alpr_drive_events{state="confirmed"} 4.0',
        'edge_alpr_camera_frames_per_second{camera="front \\"left\\""} 10.0',
        'edge_alpr_uplink_waiting_events{target="mqtt"} 2.0',
        'edge_alpr_uplink_events_total{outcome="sent",target="mqtt"} 3.0',
    ):  # fmt: skip
        assert line in lines
    assert not any("watts" in line for line in lines)
    (tmp_path / "heartbeat.json").write_text("torn{")
    assert "edge_alpr_uplink_works" in _get(metrics)


@given(st.one_of(
    st.binary(max_size=300),
    st.builds(lambda method, path, rest: f"{method} {path} HTTP/1.1\r\n{rest}\r\n\r\n".encode(errors="replace"),
              st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "x"]),
              st.text(max_size=60).map(lambda text: "/" + text), st.text(max_size=60)),
))  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_no_request_breaks_the_metrics(metrics: int, request_: bytes):
    with socket.create_connection(("127.0.0.1", metrics), timeout=5) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert not answer.startswith((b"HTTP/1.0 5", b"HTTP/1.1 5")), answer[:200]
    assert "edge_alpr_running" in _get(metrics)
