"""A real gpsd fed with a drive by gpsfake, and what the client makes of it, of garbage and of a gpsd that goes away."""

from __future__ import annotations

import json
import math
import os
import pty
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers_nmea import BEGIN, Moment, drive, log, sentences
from helpers_parts import missing
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.config import PositionConfig, parse_config
from edge_alpr.errors import ConfigError
from edge_alpr.position import Position
from edge_alpr.position.receiver import Receiver
from edge_alpr.position.reports import Heard

S = 10**9
GPSFAKE = Path(__file__).parent / "standin_gpsfake.py"
FUZZ = int(os.environ.get("EDGE_ALPR_FUZZ", "1"))
"""So many times the usual number of examples."""
HEARD = Heard(100 * S, 1_780_300_800 * S)


def until(done: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What `done` returns once it is true."""
    end = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- a real gpsd


def gpsd() -> str:
    return shutil.which("gpsd", path="/usr/sbin:/usr/bin") or missing("no gpsd (package gpsd)")


@contextmanager
def fake(recording: Path, cycle_s: float, port: int | None = None) -> Iterator[int]:
    """gpsd on the port that is returned, its receiver the recording, over and over; a sentence each `cycle_s`."""
    gpsd()
    if not Path("/usr/lib/python3/dist-packages/gps/fake.py").is_file():
        missing("no gpsfake (package python3-gps)")
    port = port or free_port()
    command = ["/usr/bin/python3", str(GPSFAKE), str(recording), str(port), str(cycle_s)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(port: int, stale_s: float = 5.0) -> Position:
    return Position(PositionConfig(gpsd=f"127.0.0.1:{port}", stale_s=stale_s))


def now(position: Position) -> dict[str, float]:
    return position.live(time.monotonic_ns()).gps


def test_a_drive_is_heard_with_its_places_speeds_and_headings(tmp_path: Path) -> None:
    moments = list(drive(180))
    (tmp_path / "drive.nmea").write_bytes(log(moments))
    truth = {(round(m.lat, 5), round(m.lon, 5)): m for m in moments}
    heard: dict[float, Moment] = {}
    with fake(tmp_path / "drive.nmea", 0.005) as port, listening(port) as position:
        speeds = set()
        end = time.monotonic() + 15
        while len(heard) < 60 and time.monotonic() < end:
            gps = now(position)
            if gps and (moment := truth.get((round(gps["lat"], 5), round(gps["lon"], 5)))):
                heard[gps["lat"] + gps["lon"]] = moment
                assert 0 <= gps["age_s"] < 5 and 0 < gps.get("accuracy_m", 19) < 100
                speeds.add((round(gps["speed_kmh"]), gps["heading"]))
            time.sleep(0.002)
    assert len(heard) >= 60, "the places of the drive"
    assert {0, 10, 50} <= {speed for speed, _ in speeds}
    assert {90.0, 180.0, 270.0} <= {heading for _, heading in speeds}


def test_the_time_of_the_satellites_sets_a_clock_that_was_never_set(tmp_path: Path) -> None:
    (tmp_path / "drive.nmea").write_bytes(log(drive(120)))
    with fake(tmp_path / "drive.nmea", 0.02) as port, listening(port) as position:
        estimate = until(position.receiver.time)
    began_s, now_s = BEGIN.timestamp(), (estimate.offset_ns + estimate.at_ns) / 1e9
    assert (estimate.source, estimate.error_ms) == ("gps", 1000.0)
    assert began_s <= now_s <= began_s + 120


def test_a_fix_that_is_lost_is_no_position_any_more_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "tunnel.nmea").write_bytes(log(drive(120, lost=range(40, 80))))
    with fake(tmp_path / "tunnel.nmea", 0.01) as port, listening(port) as position:
        assert until(lambda: now(position))["lat"] == pytest.approx(44.43, abs=0.05)
        assert position.status == ""
        until(lambda: not now(position))
        assert position.speed_kmh() is None and position.status == "no GPS fix"
        until(lambda: now(position))


def test_without_a_fix_there_is_no_position_and_no_time(tmp_path: Path) -> None:
    (tmp_path / "garage.nmea").write_bytes(log(drive(60, lost=range(60))))
    with fake(tmp_path / "garage.nmea", 0.005) as port, listening(port) as position:
        until(lambda: position.receiver.no_fix_ns)
        assert not now(position) and position.receiver.time() is None


def test_garbage_between_the_sentences_is_passed_over(tmp_path: Path) -> None:
    lines = []
    for place, moment in enumerate(drive(120)):
        lines += [sentence.encode() for sentence in sentences(moment)]
        lines.append((b"$GPRMC,,,", b"\x00\xff\xfe" * 9, b"$GPGGA,999999.00,9999.0,N,99999.0,E,1*00", b"{")[place % 4])
    (tmp_path / "bad.nmea").write_bytes(b"\r\n".join(lines) + b"\r\n")
    with fake(tmp_path / "bad.nmea", 0.005) as port, listening(port) as position:
        places = set()
        end = time.monotonic() + 15
        while len(places) < 10 and time.monotonic() < end:
            places.add(tuple(now(position).get(key, 44.4) for key in ("lat", "lon")))
            time.sleep(0.01)
        assert len(places) >= 10
        assert all(44 < lat < 45 for lat, _ in places)


def test_a_gpsd_that_is_started_late_and_again_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "drive.nmea").write_bytes(log(drive(120)))
    port = free_port()
    with listening(port, stale_s=0.3) as position:
        until(lambda: "no position until it is back" in caplog.text)
        for _ in range(2):
            with fake(tmp_path / "drive.nmea", 0.01, port):
                until(lambda: now(position))
            until(lambda: position.status == "no gpsd" and not now(position))
    assert caplog.text.count("no position until it is back") <= 3, "once each time it is gone"


class Wire:
    """A gpsd whose receiver is this test: what is written comes over its serial line."""

    def __init__(self, port: int) -> None:
        self._end, self._other = pty.openpty()
        os.set_blocking(self._end, False)
        command = [gpsd(), "-N", "-n", "-S", str(port), os.ttyname(self._other)]
        self._gpsd = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def write(self, data: bytes) -> None:
        """All of it, as fast as gpsd takes it; what gpsd tells its receiver is thrown away."""
        while data:
            with suppress(BlockingIOError):
                os.read(self._end, 4096)
            with suppress(BlockingIOError):
                data = data[os.write(self._end, data) :]
            assert self._gpsd.poll() is None, "gpsd is gone"

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._gpsd.terminate()
        self._gpsd.wait(5)
        os.close(self._end)
        os.close(self._other)


def damaged(sentence: str, cut: int, put: bytes) -> bytes:
    """A sentence with something else put into it at a place, its checksum made right again: gpsd takes it for good."""
    inside = sentence.encode()[1:-3]
    at = cut % (len(inside) + 1)
    body = inside[:at] + put + inside[at + len(put) :]
    total = 0
    for byte in body:
        total ^= byte
    return b"$" + body + f"*{total:02X}".encode()


SAID = [line for moment in drive(40) for line in sentences(moment)]
numbers = st.sampled_from([b"", b"-", b"9999999999", b"-1", b"nan", b"1e999", b"91", b",", b",,,,", b"\x00", b"\xff"])
nmea = st.one_of(
    st.builds(damaged, st.sampled_from(SAID), st.integers(0, 100), st.one_of(numbers, st.binary(max_size=8))),
    st.sampled_from([line.encode() for line in SAID]),
    st.binary(max_size=120),
)


def test_whatever_a_receiver_says_the_next_good_fix_is_heard() -> None:
    moments = list(drive(40))
    with Wire(port := free_port()) as wire, listening(port) as position:

        def back() -> bool:
            wire.write(log(moments[25:26]))
            gps = now(position)
            return bool(gps) and abs(gps["lat"] - moments[25].lat) < 1e-5

        until(back)

        @settings(max_examples=40 * FUZZ, deadline=None)
        @given(st.lists(nmea, min_size=1, max_size=30))
        def fuzz(lines: list[bytes]) -> None:
            wire.write(b"\r\n".join(lines) + b"\r\n")
            gps = now(position)
            assert all(math.isfinite(value) for value in gps.values())
            assert abs(gps.get("lat", 0)) <= 90 and abs(gps.get("lon", 0)) <= 180
            position.clock.epoch_ms()

        fuzz()
        until(back)


# --- what gpsd might say


def tpv(**changes: object) -> dict[str, object]:
    return {
        "class": "TPV", "device": "/dev/ttyS0", "mode": 3, "time": "2026-06-01T08:00:30.250Z", "lat": 44.43,
        "lon": 26.1, "speed": 10.0, "track": 270.0, "eph": 4.5,
    } | changes  # fmt: skip


def told(*messages: dict[str, object] | bytes) -> Receiver:
    receiver = Receiver(5.0)
    for message in messages:
        receiver.take(message if isinstance(message, bytes) else json.dumps(message).encode(), HEARD)
    return receiver


def test_a_report_in_its_units() -> None:
    fix = told(tpv()).fix(100 * S)
    assert fix is not None
    assert (fix.lat, fix.lon, fix.speed_kmh, fix.heading, fix.accuracy_m) == (44.43, 26.1, 36.0, 270.0, 4.5)


@pytest.mark.parametrize(
    "changes", [{"mode": 1}, {"mode": 0}, {"lat": 91.0}, {"lon": -181.0}, {"lat": None}, {"lat": "44.43"}]
)
def test_what_is_no_fix(changes: dict[str, object]) -> None:
    assert told(tpv(**changes)).fix(100 * S) is None


@pytest.mark.parametrize("year", ["1980-01-06", "2006-10-16", "2125-01-01", "soon"])
def test_a_receiver_that_lost_count_of_its_weeks_is_no_clock(year: str) -> None:
    receiver = told(tpv(time=f"{year}T08:00:30.000Z"))
    assert receiver.time() is None and receiver.fix(100 * S) is not None


def test_a_pulse_per_second_is_surer_than_sentences_and_of_sentences_the_quickest_counts() -> None:
    second = 1_780_300_800
    late = [tpv(time=f"2026-06-01T07:59:59.{fraction}00Z") for fraction in (300, 800, 500)]
    time_ = told(*late).time()
    assert time_ is not None and time_.offset_ns + 100 * S == second * S - S // 5
    pulse = {"class": "PPS", "real_sec": second, "real_nsec": 0, "clock_sec": second - 1, "clock_nsec": 900_000_000}
    time_ = told(*late, pulse, *late).time()
    assert time_ is not None and (time_.error_ms, time_.offset_ns + 100 * S) == (1.0, second * S + S // 10)


def test_a_pulse_from_before_the_clock_was_set_says_nothing() -> None:
    pulse = {"class": "PPS", "real_sec": 1_780_300_800, "real_nsec": 0, "clock_sec": 50, "clock_nsec": 0}
    assert told(pulse).time() is None


def test_an_event_has_the_fix_of_its_moment() -> None:
    receiver = Receiver(2.0)
    for second in range(10):
        line = json.dumps(tpv(lat=44.0 + second / 100)).encode()
        receiver.take(line, Heard(second * S, HEARD.system_ns))
    for at_s, lat in ((3.4, 44.03), (3.6, 44.04), (9.9, 44.09), (-1.5, 44.0)):
        fix = receiver.fix(int(at_s * S))
        assert fix is not None and fix.lat == pytest.approx(lat)
    assert receiver.fix(int(11.1 * S)) is None and receiver.fix(-3 * S) is None


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({}))
keys = st.sampled_from(["mode", "time", "lat", "lon", "speed", "track", "eph", "real_sec", "real_nsec", "clock_sec"])
messages = st.builds(
    lambda kind, changes: json.dumps(tpv(clock_nsec=0, **changes) | {"class": kind}).encode(),
    st.sampled_from(["TPV", "PPS", "SKY", "VERSION", ""]),
    st.dictionaries(keys, values),
)


@settings(max_examples=200 * FUZZ, deadline=None)
@given(st.lists(st.one_of(messages, st.binary(max_size=200)), max_size=10))
def test_nothing_that_gpsd_says_ends_the_client_or_makes_a_number_that_is_none(lines: list[bytes]) -> None:
    receiver = told(*lines)
    receiver.time()
    fix = receiver.fix(100 * S)
    if fix is not None:
        assert abs(fix.lat) <= 90 and abs(fix.lon) <= 180
        assert fix.speed_kmh is None or 0 <= fix.speed_kmh <= 1000
        assert fix.heading is None or 0 <= fix.heading < 360


@contextmanager
def somebody(says: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on the port returned that says so to each who connects, until the end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    with connection:
                        says(connection)
                except OSError:
                    if server.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield int(server.getsockname()[1])


def test_lines_come_whole_however_they_were_cut() -> None:
    line = json.dumps(tpv()).encode() + b"\r\n"

    def says(connection: socket.socket) -> None:
        for place in range(0, len(line), 7):
            connection.sendall(line[place : place + 7])
            time.sleep(0.001)
        connection.recv(1000)
        connection.recv(1000)

    with somebody(says) as port, listening(port) as position:
        assert until(lambda: now(position))["lat"] == 44.43


def test_one_that_floods_without_a_line_is_hung_up_on(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []

    def says(connection: socket.socket) -> None:
        for _ in range(1000):
            connection.sendall(b"x" * 65_536)
            sent.append(65_536)

    with somebody(says) as port, listening(port):
        until(lambda: "that is no gpsd" in caplog.text)
    assert sum(sent) < 30_000_000


def test_at_the_end_nobody_is_waited_for() -> None:
    with somebody(lambda connection: time.sleep(30)) as port, listening(port) as position:
        time.sleep(0.2)
        begin = time.monotonic()
        position.__exit__(None, None, None)
        assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("text", ["gps", "127.0.0.1", ":2947", "127.0.0.1:", "127.0.0.1:0", "h:70000", "h:x"])
def test_an_address_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"position\.gpsd: .* is no HOST:PORT; as a rule it is 127\.0\.0\.1:2947"):
        parse_config(f'[position]\ngpsd = "{text}"\n', "test")


def test_addresses() -> None:
    assert PositionConfig(gpsd="[::1]:2947").address == ("::1", 2947)
    assert PositionConfig(gpsd="gps.local:1").address == ("gps.local", 1)
