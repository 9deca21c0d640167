"""Events posted to a real server: signed, once by id, again until it takes them, and nothing that may not leave."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from helpers_sinks import make_event, one_line
from helpers_uplink import (
    HookServer,
    hook_server,
    make_hit,
    running,
    start_uplink,
    store_events,
    wait_for,
    write_config,
)
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from edge_alpr.config import Config, StoreConfig, load_config, parse_config
from edge_alpr.errors import LinkError
from edge_alpr.sinks.outbox import Saved, peek
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.uplink.service import Uplink
from edge_alpr.uplink.webhook import LaterError, RefusedError, judge, wanted_pause_s

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_NOTHING = Saved()


@pytest.fixture
def server() -> Iterator[HookServer]:
    with hook_server() as told:
        yield told


def _config(folder: Path, server: HookServer, more: str = "", top: str = "") -> Config:
    hook = f'{top}[[webhooks]]\nname = "police"\nurl = "{server.url}"\nmax_pause_s = 0.5\n{more}'
    return load_config(write_config(folder, hook))


def test_a_hit_is_posted_signed_and_with_a_key_that_tells_a_repetition(tmp_path: Path, server: HookServer):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    (stored,) = store_events(tmp_path, make_hit(1))
    Uplink(_config(tmp_path, server, f'secret_file = "{secret}"\n')).run(20, once=True)
    ((headers, body),) = server.posts
    assert Verifier(SECRET).verify(body, headers)["plate"] == stored.plate
    assert headers["Idempotency-Key"] == headers["webhook-id"] == f"{stored.uuid}-confirmed-{stored.seq}"
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(SECRET).verify(body + b" ", headers)


def test_only_hits_leave_and_one_that_does_not_hold_is_taken_back(tmp_path: Path, server: HookServer):
    wrong = make_hit(1, state="possible")
    stored = store_events(tmp_path, make_event(8), wrong, make_event(1, plate="SECRET"), make_hit(2))
    Uplink(_config(tmp_path, server)).run(20, once=True)
    assert [(e["uuid"], e["state"], e["plate"], e["seq"]) for e in server.events] == [
        (wrong.uuid, "possible", wrong.plate, stored[1].seq),
        (wrong.uuid, "withdrawn", wrong.plate, stored[2].seq),
        (stored[3].uuid, "confirmed", stored[3].plate, stored[3].seq),
    ]


@pytest.mark.parametrize(("share", "told"), [("all", 2), ("hits", 1), ("nothing", 0)])
def test_the_owner_says_what_is_shared(share: str, told: int, tmp_path: Path, server: HookServer):
    store_events(tmp_path, make_event(1), make_hit(2))
    Uplink(_config(tmp_path, server, top=f'[privacy]\nshare = "{share}"\n')).run(20, once=True)
    assert len(server.posts) == told


def test_a_busy_server_is_asked_again_when_it_wants_and_in_order(tmp_path: Path, server: HookServer):
    server.answers = [(503, {"Retry-After": "1"}), (500, {}), (200, {}), (429, {})]
    stored = store_events(tmp_path, make_hit(1), make_hit(2))
    Uplink(_config(tmp_path, server)).run(20, once=True)
    assert [event["uuid"] for event in server.events] == [event.uuid for event in stored]
    assert server.times[1] - server.times[0] >= 1
    assert server.times[2] - server.times[1] < 1


def test_what_a_server_refuses_is_put_aside_counted_and_told(tmp_path: Path, server: HookServer):
    server.answers = [(422, {})]
    stored = store_events(tmp_path, make_hit(1), make_hit(2))
    config = _config(tmp_path, server)
    Uplink(config).run(20, once=True)
    states, letters = peek(tmp_path / "store")
    assert [event["uuid"] for event in server.events] == [stored[1].uuid]
    assert states["webhook-police"].outcomes == {"refused": 1, "sent": 1}
    assert [(letter.seq, letter.reason) for letter in letters] == [(stored[0].seq, "HTTP 422")]
    Uplink(config).run(20, once=True)
    assert len(server.times) == 2


def test_a_redirect_is_not_followed(tmp_path: Path, server: HookServer):
    with hook_server() as elsewhere:
        server.answers = [(302, {"Location": elsewhere.url})] * 50
        store_events(tmp_path, make_hit(1))
        with pytest.raises(LinkError, match=r"1 for webhook-police \(HTTP 302\)"):
            Uplink(_config(tmp_path, server)).run(1, once=True)
        assert elsewhere.times == []


def test_pictures_go_along_where_they_are_wanted(tmp_path: Path, server: HookServer):
    store_events(tmp_path, make_hit(1), pictures=Pictures(b"small jpeg", b"big jpeg"))
    Uplink(_config(tmp_path, server, "pictures = true\n")).run(20, once=True)
    headers, body = server.posts[0]
    assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert all(part in body for part in (b'name="json"', b'name="plate"', b"small jpeg", b'name="frame"', b"big jpeg"))


def test_an_uplink_that_runs_tells_in_order_through_an_outage(tmp_path: Path, server: HookServer):
    config = _config(tmp_path, server)
    with EventStore(tmp_path / "store", StoreConfig()) as store, running(config):
        store.append(make_hit(1))
        wait_for(lambda: server.posts)
        server.answers = [(503, {})] * 3
        for number in range(2, 12):
            store.append(make_hit(number))
        wait_for(lambda: len(server.posts) == 11)
    assert [event["seq"] for event in server.events] == list(range(1, 12))


def test_what_retention_deletes_first_is_counted_and_no_error(tmp_path: Path, server: HookServer):
    server.answers = [(503, {})] * 1000
    config = _config(tmp_path, server)
    with EventStore(tmp_path / "store", StoreConfig()) as store:
        with running(config):
            for number in range(1, 5):
                store.append(make_hit(number))
            wait_for(lambda: server.times)
            wait_for(lambda: len(peek(tmp_path / "store")[0].get("webhook-police", _NOTHING).waiting) == 4)
        store._connection.execute("DELETE FROM events WHERE seq IN (1, 2)")
        server.answers.clear()
        Uplink(config).run(20, once=True)
    assert [event["seq"] for event in server.events] == [3, 4]
    assert peek(tmp_path / "store")[0]["webhook-police"].outcomes == {"gone": 2, "sent": 2}


def test_a_store_made_anew_is_told_from_its_start(tmp_path: Path, server: HookServer):
    with running(_config(tmp_path, server)):
        store_events(tmp_path, make_hit(1), make_hit(2))
        wait_for(lambda: len(server.posts) == 2)
        for file in (tmp_path / "store").glob("events.sqlite3*"):
            file.unlink()
        (stored,) = store_events(tmp_path, make_hit(3))
        wait_for(lambda: len(server.posts) == 3)
    assert stored.seq == 1
    assert [event["plate"] for event in server.events] == ["B0001XO", "B0002XO", "B0003XO"]


def test_once_from_the_command_line_says_what_still_waits(tmp_path: Path, server: HookServer):
    server.answers = [(503, {})] * 50
    store_events(tmp_path, make_hit(1))
    _config(tmp_path, server)
    process = start_uplink(tmp_path / "car.toml", "--once", "--limit", "1")
    _, trouble = process.communicate()
    assert process.returncode == 2
    assert trouble.strip() == "edge-alpr: events still wait: 1 for webhook-police (HTTP 503)"
    shown = start_uplink(tmp_path / "car.toml", "--status").communicate()[0]
    assert "webhook-police" in shown


def test_two_uplinks_do_not_send_twice(tmp_path: Path, server: HookServer):
    config = _config(tmp_path, server)
    with running(config):
        wait_for((tmp_path / "store" / "uplink.sqlite3").exists)
        process = start_uplink(tmp_path / "car.toml", "--once")
        assert "another `edge-alpr uplink` is at it" in process.communicate()[1]
        assert process.returncode == 2


def test_under_a_service_manager_it_tells_how_it_goes(tmp_path: Path, server: HookServer, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        server.answers = [(503, {})] * 1000
        store_events(tmp_path, make_hit(1))
        _config(tmp_path, server)
        process = start_uplink(tmp_path / "car.toml")
        assert told.recv(4096) == b"READY=1"
        _heard(told, b"STATUS=1 for webhook-police (HTTP 503)")
        _heard(told, b"WATCHDOG=1")
        (tmp_path / "car.toml").write_text("[webhook]\n")
        process.send_signal(signal.SIGHUP)
        _heard(told, b"RELOADING=1")
        _heard(told, b"READY=1")
        server.answers.clear()
        wait_for(lambda: server.posts)
        process.terminate()
        _heard(told, b"STOPPING=1")
        trouble = process.communicate()[1]
    assert process.returncode == 0
    assert "unknown key 'webhook'" in " ".join(trouble.split())


def _heard(told: socket.socket, message: bytes) -> None:
    while not told.recv(4096).startswith(message):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no link is configured"),
        ('[[webhooks]]\nname = "a"\nurl = "http://x"\nsecret_file = "/nowhere"\n', "webhook a: /nowhere cannot be"),
        ('[[webhooks]]\nname = "a"\nurl = "http://x"\nca_file = "/nowhere"\n', "webhook a: ca_file /nowhere"),
        ('[mqtt]\nhost = "x"\nca_file = "/nowhere"\n', "mqtt: certificates (/nowhere) cannot be used"),
        ('[mqtt]\nhost = "x"\nuser = "a"\npassword_file = "/nowhere"\n', "mqtt.password_file: /nowhere cannot be read"),
        ('[mqtt]\nhost = "broker..example"\n', "mqtt.host: 'broker..example' is no name of a host"),
        ('[metrics]\nlisten = "127.0.0.1:99999"\n', "metrics.listen 127.0.0.1:99999"),
    ],
)
def test_what_is_set_wrongly_is_told_in_one_line(text: str, message: str, tmp_path: Path):
    config = parse_config(f'[store]\npath = "{tmp_path}"\n{text}')
    with pytest.raises(LinkError) as caught:
        Uplink(config).run(1)
    assert message in one_line(caught.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, server: HookServer):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    with pytest.raises(LinkError, match=r"others may read .*; chmod 600"):
        Uplink(_config(tmp_path, server, f'secret_file = "{secret}"\n')).run(1)


@given(st.integers(100, 999), st.text(max_size=40))
def test_every_answer_is_judged(status: int, retry_after: str):
    try:
        judge(status, retry_after)
    except RefusedError:
        assert 400 <= status < 500
    except LaterError as error:
        assert not 200 <= status < 300
        assert error.after_s is None or 0 <= error.after_s <= 3600
    else:
        assert 200 <= status < 300


def test_a_pause_may_be_asked_for_by_date_and_is_an_hour_at_most():
    assert wanted_pause_s("7") == 7
    assert wanted_pause_s("999999999") == 3600
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30))
    assert 25 < (wanted_pause_s(soon) or 0) <= 31
    assert wanted_pause_s("soon") is None
