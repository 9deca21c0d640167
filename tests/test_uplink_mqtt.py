"""Events told to a real broker: over TLS, acknowledged, and all of them there however the link, the disk or the
process fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from helpers_sinks import make_event, small_disk
from helpers_uplink import (
    PASSWORD,
    Authority,
    Listener,
    Mosquitto,
    make_authority,
    make_hit,
    password_file,
    running,
    start_uplink,
    store_events,
    wait_for,
    write_config,
)

from edge_alpr.config import Config, StoreConfig, load_config
from edge_alpr.errors import LinkError, StoreFullError
from edge_alpr.ops.heartbeat import BoardBeat, Heartbeat
from edge_alpr.sinks.outbox import Saved, peek
from edge_alpr.sinks.store import EventStore
from edge_alpr.uplink.broker import Broker
from edge_alpr.uplink.service import Uplink
from edge_alpr.uplink.topics import Topics

BASE = "edge-alpr/car-7"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with Listener(broker.port) as listener:
        yield listener


def _config(folder: Path, broker: Mosquitto, more: str = "tls = false\n") -> Config:
    return load_config(write_config(folder, f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n{more}'))


def _beat(store: Path, confirmed: int) -> None:
    beat = Heartbeat(
        device_id="car-7", timestamp="2026-01-02T10:00:00Z", running=True, error="", keeping_up=True, uptime_s=60.0,
        interval_s=60.0, cameras=(), p50_ms=20.0, p99_ms=31.0, level=None,
        board=BoardBeat(watts=None, celsius=71.0, power_mode=None), rss_mb=200.0, confirmed=confirmed, withdrawn=0,
        models={}, software="1",
    )  # fmt: skip
    (store / "heartbeat.json").write_bytes(msgspec.json.encode(beat))


def test_a_hit_is_told_with_the_device_and_how_the_drive_is(tmp_path: Path, broker: Mosquitto, listener: Listener):
    config = _config(tmp_path, broker)
    with EventStore(tmp_path / "store", StoreConfig()) as store:
        _beat(tmp_path / "store", 1)
        with running(config):
            wait_for(lambda: listener.of(f"{BASE}/available") == ["online"])
            start = time.monotonic()
            store.append(make_event(1))
            stored = store.append(make_hit(2))
            wait_for(lambda: listener.of(f"{BASE}/tracked_object_update"))
            assert time.monotonic() - start < 2
            _beat(tmp_path / "store", 5)
            wait_for(lambda: [beat["confirmed"] for beat in listener.of(f"{BASE}/stats")][-1:] == [5])
        wait_for(lambda: listener.of(f"{BASE}/available")[-1] == "offline")
    (event,), (update,) = listener.of(f"{BASE}/events"), listener.of("/tracked_object_update")
    assert (event["uuid"], event["seq"], event["match"]["list"]) == (stored.uuid, stored.seq, "stolen")
    assert (update["type"], update["id"], update["plate"]) == ("lpr", stored.uuid, stored.plate)
    assert listener.of(f"{BASE}/stats")[-1]["uplink"]["mqtt"] == {"waiting": 0, "sent": 1}
    (device,) = listener.of("homeassistant/device/edge_alpr_car-7/config")
    parts = device["components"]
    assert {part["platform"] for part in parts.values()} == {"sensor", "binary_sensor", "event"}
    assert len({part["unique_id"] for part in parts.values()}) == len(parts)
    assert parts["plate"]["state_topic"] == f"{BASE}/events"


def test_the_broker_is_who_it_says_and_asks_who_we_are(tmp_path: Path, authority: Authority):
    """TLS both ways and a password; then the last will of a process that is killed."""
    users = password_file(tmp_path / "users", "car", "ear")
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = (f"cafile {authority.ca}", f"certfile {authority.server}", f"keyfile {authority.server_key}",
                "require_certificate true", "allow_anonymous false", f"password_file {users}")  # fmt: skip
    right = (f'ca_file = "{authority.ca}"\ncert_file = "{authority.client}"\nkey_file = "{authority.client_key}"\n'
             f'user = "car"\npassword_file = "{secret}"\n')  # fmt: skip
    (stored,) = store_events(tmp_path, make_hit(1))
    with Mosquitto(tmp_path / "broker", *settings) as broker, Listener(broker.port, "#", authority, "ear") as listener:
        for wrong in (right.replace("ca_file", "#"), right.replace("cert_file", "#"), right.replace('"car"', '"bus"')):
            with pytest.raises(LinkError, match="1 for mqtt"):
                Uplink(_config(tmp_path, broker, wrong)).run(0.7, once=True)
        assert listener.heard == []
        _config(tmp_path, broker, right)
        process = start_uplink(tmp_path / "car.toml")
        wait_for(lambda: listener.uuids() == [stored.uuid])
        wait_for(lambda: listener.of("/available") == ["online"])
        process.kill()
        process.communicate()
        wait_for(lambda: listener.of("/available") == ["online", "offline"])


def test_nothing_is_lost_while_the_broker_is_away_and_processes_are_killed(tmp_path: Path, broker: Mosquitto):
    """The broker is away, or hears nothing any more; the uplink is killed; and the reader goes on storing."""
    _config(tmp_path, broker)
    with Listener(broker.port, f"{BASE}/events") as listener, EventStore(tmp_path / "store", StoreConfig()) as store:
        for turn, fail in enumerate((lambda: None, broker.stop, lambda: None, broker.freeze, broker.stop)):
            if fail == broker.stop:
                broker.stop()
            process = start_uplink(tmp_path / "car.toml")
            for number in range(40):
                store.append(make_hit(100 * turn + number))
                time.sleep(0.02)
                if number == 35 and fail == broker.freeze:
                    wait_for(lambda: set(listener.uuids()) >= {event.uuid for event in store.after(0, 1000)})
                    broker.freeze()
            if fail == broker.freeze:
                time.sleep(0.6)  # what is under way is on the way for long enough to be taken for sent
            if turn != 4:
                process.kill()
                process.communicate()
            if fail == broker.freeze:
                broker.kill()
            if fail in (broker.stop, broker.freeze):
                broker.start()
        expected = [event.uuid for event in store.after(0, 1000)]
        wait_for(lambda: set(listener.uuids()) == set(expected))
        wait_for(lambda: peek(tmp_path / "store")[0]["mqtt"].waiting == ())
        process.terminate()
        assert "Traceback" not in process.communicate()[1]
        assert process.returncode == 0
    assert len(listener.uuids()) < 2 * len(expected)


def test_a_disk_that_is_full_holds_nothing_up(
    tmp_path: Path, broker: Mosquitto, listener: Listener, caplog: pytest.LogCaptureFixture
):
    """What is on its way is then kept in memory, and on the disk as soon as there is room."""
    with small_disk(tmp_path / "store", 8192) as folder, EventStore(folder, StoreConfig()) as store:
        stored = [store.append(make_hit(number)) for number in range(100)]  # its log has room in itself now
        with running(_config(tmp_path, broker)):
            wait_for(lambda: peek(folder)[0].get("mqtt", Saved()).outcomes.get("sent") == 100)
            disk = os.statvfs(folder)
            (folder / "filler").write_bytes(bytes(disk.f_bavail * disk.f_frsize))
            with suppress(StoreFullError):
                for number in range(100, 105):
                    stored.append(store.append(make_hit(number)))
            assert len(stored) > 100
            wait_for(lambda: len(set(listener.uuids())) == len(stored))
            wait_for(lambda: "kept in memory only" in caplog.text)
            (folder / "filler").unlink()
            wait_for(lambda: peek(folder)[0]["mqtt"].outcomes == {"sent": len(stored)})
    assert listener.uuids() == [event.uuid for event in stored]


def test_a_broker_that_denies_the_right_gets_the_events_once_it_grants_it(tmp_path: Path):
    """A broker of MQTT 5 says so; it takes the message and throws it away for a client of 3.1.1."""
    rights = tmp_path / "rights"
    rights.write_text("topic read #\n")
    rights.chmod(0o600)
    (stored,) = store_events(tmp_path, make_hit(1))
    with Mosquitto(tmp_path / "broker", f"acl_file {rights}") as broker, Listener(broker.port) as listener:
        config = _config(tmp_path, broker)
        with pytest.raises(LinkError, match=r"1 for mqtt \(the broker refuses events: Not authorized\)"):
            Uplink(config).run(1.5, once=True)
        rights.write_text("topic readwrite #\n")
        broker.reload()
        Uplink(config).run(10, once=True)
        wait_for(lambda: listener.uuids() == [stored.uuid])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_that_dies_by_a_fault_is_noticed(tmp_path: Path, broker: Mosquitto):
    config = _config(tmp_path, broker).mqtt
    client = Broker(config, Topics.of(config, "car-7"), lambda: 1 // 0)  # what is said after connecting

    def dead() -> bool:
        try:
            return bool(client.check())
        except LinkError:
            return True

    wait_for(dead)
    client.close()


def test_an_older_broker_and_another_base_do_too(tmp_path: Path, broker: Mosquitto, listener: Listener):
    store_events(tmp_path, make_hit(1))
    more = 'tls = false\nprotocol = "3.1.1"\ntopic = "frigate"\nshape = "openalpr"\ndiscovery = ""\n'
    Uplink(_config(tmp_path, broker, more)).run(10, once=True)
    wait_for(lambda: listener.of("frigate/events"))
    assert listener.of("frigate/events")[0]["group"]["best_plate_number"] == "B0001XO"
