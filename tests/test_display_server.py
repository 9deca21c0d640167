"""Whom the page's server lets in, what it answers to whatever is sent, and what its parts decide."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import pytest
from helpers_display import Reader, configured, screen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import assert_one_clear_line, edge_alpr

from edge_alpr.config import Config, DisplayConfig, parse_config
from edge_alpr.errors import ConfigError, DisplayError, RuntimeFolderError
from edge_alpr.runtime import runtime_folder
from edge_alpr.sinks.marks import Marks
from edge_alpr.types import Match

pytest.importorskip("uvicorn", reason="the page takes the extra `display`")

from edge_alpr.display.gate import Sessions
from edge_alpr.display.kiosk import Kiosk, kiosk_command
from edge_alpr.display.secret import Password, hash_password
from edge_alpr.sinks.audit import check_audit

FUZZ = int(os.environ.get("EDGE_ALPR_FUZZ_EXAMPLES", "150"))
SECRET = "open, sesame"
READ = "/", "/display.css", "/live.jpg", "/history", "/stream", "/pictures/x/plate"


Answer: TypeAlias = tuple[int, dict[str, str], bytes]


class Served:
    """A running server, and requests to it as any program may send them."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self.host = urlsplit(address).netloc

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Status, headers and body (the beginning of a stream). As from the page itself, unless headers say else."""
        connection = http.client.HTTPConnection(self.host, timeout=10)
        own = {"host": self.host, "origin": f"http://{self.host}", "content-type": "application/json"}
        sent = {name.replace("_", "-"): value for name, value in {**own, **headers}.items() if value is not None}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        for name, value in {**sent, "content-length": str(len(data))}.items():
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.endheaders(data)
        answer = connection.getresponse()
        streams = answer.headers.get_content_type() == "text/event-stream"
        content = b""
        while chunk := answer.read1(1 << 20) if streams else answer.read():
            content += chunk
            if streams and content.count(b"\n\n") > 1:
                break
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, content


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("open")
    with Reader(folder) as reader, screen(configured(folder, names=["car.local"])) as (address, _):
        reader.tell(1, "KA7788", pictured=True)
        yield Served(address, folder)


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("locked")
    with Reader(folder) as reader, screen(configured(folder, password=hash_password(SECRET))) as (address, _):
        reader.tell(1, "KA7788", pictured=True)
        yield Served(address, folder)


UUID = "0193e5a0-0000-7000-8000-000000000001"
MARK = {"uuid": UUID, "name": "acknowledged", "set": True}


def test_every_answer_keeps_others_out(served: Served):
    for path in (*READ, "/nothing", "/marks"):
        _, headers, _ = served.ask(path)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "evil.example:80@127.0.0.1", ""])
def test_a_foreign_name_pointed_here_is_not_served(served: Served, path: str, host: str):
    assert served.ask(path, host=host)[0] in (400, 403)


def test_names_that_are_configured_are_served(served: Served):
    port = urlsplit(f"//{served.host}").port
    assert served.ask("/", host=f"localhost:{port}")[0] == 200
    assert served.ask("/", host=f"CAR.local:{port}")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/marks", "/camera", "/login"])
def test_a_change_comes_from_this_page_only(served: Served, path: str, headers: dict[str, str | None]):
    assert served.ask(path, "POST", MARK, **headers)[0] == 403
    assert Marks(served.folder / "store").of(UUID) == []


def test_other_pages_cannot_even_show_a_picture(served: Served):
    assert served.ask(f"/pictures/{UUID}/plate")[0] == 200
    assert served.ask(f"/pictures/{UUID}/plate", sec_fetch_site="cross-site")[0] == 403


def test_marks_are_set_and_cleared_and_only_of_passages_that_are_there(served: Served):
    assert json.loads(served.ask("/marks", "POST", MARK)[2]) == {"marks": ["acknowledged"]}
    (mark,) = Marks(served.folder / "store").of(UUID)
    assert (mark.name, mark.who) == ("acknowledged", "screen")
    assert json.loads(served.ask("/marks", "POST", {**MARK, "set": False})[2]) == {"marks": []}
    noted = [json.loads(line) for line in (served.folder / "store" / "audit.jsonl").read_text().splitlines()]
    assert [one["action"] for one in noted[-2:] if one["by"] == "screen"] == ["acknowledged", "not acknowledged"]
    assert check_audit(served.folder / "store").problem == ""
    assert served.ask("/marks", "POST", {**MARK, "uuid": "nobody"})[0] == 404
    for wrong in ({}, {**MARK, "name": "nice"}, {**MARK, "more": 1}, [], b"{", b"\xff", b"x" * 9000):
        assert served.ask("/marks", "POST", wrong)[0] == 400


def test_history_refuses_what_it_cannot_take(served: Served):
    places = (0, -1, "x", 10**30, "9" * 5000)
    for query in ("only=some", f"plate={'A' * 33}", *(f"before={place}" for place in places)):
        assert served.ask(f"/history?{query}")[0] == 400
    assert [p["plate"] for p in json.loads(served.ask("/history?plate=a77")[2])["passages"]] == ["KA7788"]
    assert json.loads(served.ask("/history?plate=a78")[2])["passages"] == []


@pytest.mark.parametrize(
    "path", ["..%2f..%2fcar.toml/plate", f"{UUID}/..%2f..%2fmarks.sqlite3", f"{UUID}/uuid", "x/plate"]
)
def test_nothing_but_pictures_is_served_of_the_store(served: Served, path: str):
    status, _, body = served.ask(f"/pictures/{path}")
    assert status == 404
    assert b"SQLite" not in body


def test_a_stream_goes_on_where_it_was_left(served: Served):
    first = served.ask("/stream")[2]
    assert b"event: all" in first
    place = first.split(b"id: ")[1].split(b"\n")[0].decode()
    again = served.ask("/stream", last_event_id=place)[2]
    assert b"event: all\n" not in again
    for wrong in ("0-1", f"{place}0", "x", "-", place.rpartition("-")[0] + "-٣"):
        assert b"event: event" not in served.ask("/stream", last_event_id=wrong)[2]


# --- with a password


@pytest.mark.parametrize(
    "path", ["/history", "/stream", "/live.jpg", f"/pictures/{UUID}/plate", "/main.js", "/nothing"]
)
def test_without_the_password_there_is_nothing(locked: Served, path: str):
    for cookie in (None, f"edge-alpr-{urlsplit('//' + locked.host).port}=guess", "\xff"):
        assert locked.ask(path, cookie=cookie)[0] == 401
    assert locked.ask("/marks", "POST", MARK)[0] == 401
    assert locked.ask("/")[1]["location"] == "/login"


def test_the_password_opens_a_session_and_guessing_is_slow(locked: Served):
    status, headers, _ = locked.ask("/login", "POST", {"password": SECRET})
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert b"KA7788" in locked.ask("/history", cookie=cookie.partition(";")[0])[2]
    answers = [locked.ask("/login", "POST", {"password": f"guess {n}"})[0] for n in range(9)]
    assert answers[:5] == [403] * 5
    assert 429 in answers
    time.sleep(1.1)
    assert locked.ask("/login", "POST", {"password": SECRET})[0] == 200


def test_a_token_opens_one_session_once(locked: Served):
    assert locked.ask("/?token=guess")[1]["location"] == "/login"
    sessions = Sessions(Password(hash_password(SECRET)), 1)
    token = sessions.token()
    assert sessions.exchange(f"{token}x") is None
    assert sessions.exchange(token)
    assert sessions.exchange(token) is None


def test_a_hash_is_of_one_password_and_never_the_same_twice():
    line = hash_password(SECRET)
    assert Password(line).is_it(SECRET)
    assert not Password(line).is_it(SECRET + " ")
    assert not Password(line).is_it("x" * 100_000)
    assert hash_password(SECRET) != line
    assert SECRET not in line


@pytest.mark.parametrize(
    "line", ["secret", "scrypt$1$2$3$4$5", "scrypt$16384$8$1$$", "scrypt$16384$8$1$AAAA$AAAA", "$$$$$"]
)
def test_what_is_no_hash_is_refused(line: str):
    with pytest.raises(ConfigError, match="--hash-password"):
        Password(line)


def test_the_command_hashes_a_password_and_serves_others_only_with_one(tmp_path: Path):
    done = hashed(SECRET)
    line = parse_config(f"[display]\n{done.stdout}").display.password
    assert Password(line).is_it(SECRET)
    assert_one_clear_line(hashed("short"), "8 characters")
    assert_one_clear_line(edge_alpr("display", "--config", configured(tmp_path, host="0.0.0.0")), "--hash-password")


def hashed(password: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_alpr.cli", "display", "--hash-password"]
    return subprocess.run(command, input=f"{password}\n", check=False, capture_output=True, text=True, timeout=60)


def test_a_port_that_is_taken_is_told(served: Served, tmp_path: Path):
    port = str(urlsplit("//" + served.host).port)
    assert_one_clear_line(edge_alpr("display", "--config", configured(tmp_path), "--port", port), "--port")


# --- whatever is sent

_texts = st.one_of(st.text(max_size=40), st.sampled_from([UUID, "plate", "frame", "hits", "1", "KA7788", "locked"]))
_paths = st.one_of(
    st.sampled_from([*READ, "/marks", "/camera", "/login", f"/pictures/{UUID}/plate"]),
    st.builds(lambda a, b: f"/pictures/{quote(a, safe='')}/{quote(b, safe='')}", _texts, _texts),
    st.builds(lambda a: f"/{quote(a)}", _texts),
)
_queries = st.dictionaries(st.sampled_from(["only", "before", "plate", "token", "v"]), _texts, max_size=3)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=6,
)
_bodies = st.one_of(
    st.binary(max_size=200),
    _json,
    st.fixed_dictionaries({"uuid": _texts, "name": st.sampled_from(["wrong", "locked", "x"]), "set": st.booleans()}),
    st.fixed_dictionaries({"camera": _texts}),
    st.fixed_dictionaries({"password": _texts}),
)
_headers = st.dictionaries(
    st.sampled_from(["last_event_id", "cookie", "range", "accept", "if_none_match", "authorization", "forwarded"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60),
    max_size=3,
)


@settings(max_examples=FUZZ, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS"]), path=_paths, query=_queries, body=_bodies,
       headers=_headers)  # fmt: skip
def test_whatever_is_sent_is_answered_and_never_with_500(served: Served, method, path, query, body, headers):
    encoded = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    status, answered, _ = served.ask(f"{path}?{encoded}", method, body, **headers)
    assert status < 500
    assert "content-security-policy" in answered or status == 400


# --- parts


def test_the_kiosk_runs_what_is_there(tmp_path: Path):
    def which(*there: str) -> Any:
        return lambda name: f"/usr/bin/{name}" if name in there else None

    profile = tmp_path / "browser"
    desktop = kiosk_command("http://x/", profile, {"DISPLAY": ":0"}, which("chromium"))
    assert desktop[0] == "/usr/bin/chromium"
    assert "--kiosk" in desktop
    assert desktop[-1] == "http://x/"
    bare = kiosk_command("http://x/", profile, {}, which("chromium-browser", "cage"))
    assert bare[:3] == ["/usr/bin/cage", "--", "/usr/bin/chromium-browser"]
    with pytest.raises(DisplayError, match="install cage, and this will run: cage -- /usr/bin/chromium --kiosk"):
        kiosk_command("http://x/", profile, {}, which("chromium"))
    with pytest.raises(DisplayError, match="apt-get install chromium"):
        kiosk_command("http://x/", profile, {"DISPLAY": ":0"}, which())


def test_the_kiosk_starts_its_browser_again_and_ends_it(tmp_path: Path):
    started = tmp_path / "started"
    note = f"echo >> {started}"
    commands = iter([["no such browser"], ["sh", "-c", note], ["sh", "-c", f"{note}; sleep 60"]])
    with Kiosk(lambda: next(commands), pause_s=0.05):
        deadline = time.monotonic() + 20
        while not started.exists() or len(started.read_text()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5


def test_the_runtime_folder_is_ones_own(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'service'}:{tmp_path / 'other'}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder(Config()) == tmp_path / "service"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    folder = runtime_folder(Config())
    assert folder == tmp_path / "edge-alpr"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_folder(Config(display=DisplayConfig(runtime=str(tmp_path / "mine")))) == tmp_path / "mine"
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").touch()
    for wrong in ("link", "file", "file/below"):
        with pytest.raises(RuntimeFolderError, match="display"):
            runtime_folder(Config(display=DisplayConfig(runtime=str(tmp_path / wrong))))


def test_a_hit_is_told_to_the_stream_with_its_differences(served: Served, tmp_path: Path):
    with Reader(tmp_path) as reader, screen(configured(tmp_path)) as (address, _):
        reader.tell(1, "B123XY", match=Match("Stolen", "B1239XY", "distance", ()))
        other = Served(address, tmp_path)
        deadline = time.monotonic() + 10
        while not (found := json.loads(other.ask("/history?only=hits")[2])["passages"]) and time.monotonic() < deadline:
            time.sleep(0.05)
    alert = found[0]["alert"]
    assert alert["how"] == "nearly: none for 9"
    assert [cell["listed"] for cell in alert["cells"]] == list("B1239XY")


def test_the_service_manager_hears_that_the_page_is_served_and_lives(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(30)
        manager = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with screen(configured(tmp_path), **manager) as (address, _):
            assert told.recv(100) == b"READY=1"
            assert told.recv(100) == b"WATCHDOG=1"
            assert Served(address, tmp_path).ask("/")[0] == 200
        while told.recv(100) != b"STOPPING=1":
            pass


def test_what_the_store_forgets_leaves_the_screen(tmp_path: Path):
    with Reader(tmp_path) as reader, screen(configured(tmp_path)) as (address, _):
        reader.tell(1, "KA7788")
        served = Served(address, tmp_path)
        deadline = time.monotonic() + 30
        while b"KA7788" not in served.ask("/stream")[2]:
            assert time.monotonic() < deadline
        time.sleep(0.2)
        while b"KA7788" in served.ask("/stream")[2]:
            assert time.monotonic() < deadline, "still shown"
            with sqlite3.connect(tmp_path / "store" / "events.sqlite3") as connection:
                connection.execute("DELETE FROM events WHERE seq = 1 AND ? > 12", (30 - (deadline - time.monotonic()),))
            time.sleep(0.2)


def test_an_encrypted_store_is_read_with_its_own_key(tmp_path: Path):
    pytest.importorskip("cryptography", reason="encryption takes the extra `seal`")
    key = tmp_path / "keys" / "key"
    with Reader(tmp_path, encrypt=True, key_file=str(key)) as reader:
        config = configured(tmp_path)
        sealed = config.read_text().replace("[display]", f'encrypt = true\nkey_file = "{key}"\n[display]')
        config.write_text(sealed)
        with screen(config) as (address, _):
            reader.tell(1, "KA7788", pictured=True)
            served = Served(address, tmp_path)
            assert b"KA7788" in served.ask("/history")[2]
            assert served.ask(f"/pictures/{UUID}/plate")[2].startswith(b"\xff\xd8")
            assert served.ask("/marks", "POST", MARK)[0] == 200
