"""A real broker, a real server, and the uplink as a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from helpers_parts import missing
from helpers_sinks import make_event
from paho.mqtt.enums import CallbackAPIVersion

from edge_alpr.config import Config, StoreConfig
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.types import Event, Match
from edge_alpr.uplink.service import Uplink

PASSWORD = "of the tests"
_PATIENCE_S = 20.0


def make_hit(number: int = 1, **changes: Any) -> Event:
    """An event that hit a list."""
    match = Match("stolen", f"B{number:04d}XO", "exact")
    return make_event(number, **{"match": match, **changes})


def wait_for(true: Callable[[], Any], seconds: float = _PATIENCE_S) -> Any:
    """What `true` returns as soon as it is true."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests, with a server's and a client's certificate."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_authority(folder: Path) -> Authority:
    ca_key, ca = _certificate("test authority", None)
    files = {"ca": ca}
    for name in ("server", "client"):
        key, files[name] = _certificate(name, (ca_key, ca))
        encoded = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(key.private_bytes(*encoded))
    for name, certificate in files.items():
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Authority(*(folder / name for name in names))


def _certificate(name: str, issuer: tuple[Any, x509.Certificate] | None) -> tuple[Any, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(issuer[0] if issuer else key, hashes.SHA256())


class Mosquitto:
    """A broker on a free port of loopback; persistent sessions outlive a restart."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self._program = _program("mosquitto")
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        self._file, self._log = folder / "mosquitto.conf", folder / "mosquitto.log"
        lines = [f"listener {self.port} 127.0.0.1", *settings, "persistence true", f"persistence_location {folder}/",
                 "max_queued_messages 100000", "log_dest stderr"]  # fmt: skip
        if not any(line.startswith("allow_anonymous") for line in settings):
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._file)], stderr=log, stdout=log)
        wait_for(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It hears nothing any more, and nobody notices."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """What it has not written is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reload(self) -> None:
        """Read passwords and rights anew."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Mosquitto:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def password_file(path: Path, *users: str) -> Path:
    """A broker's file of users, all with the same password."""
    path.touch(mode=0o600)
    for user in users:
        command = [_program("mosquitto_passwd"), "-b", str(path), user, PASSWORD]
        subprocess.run(command, check=True, capture_output=True)
    return path


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or missing(f"no {name} here")


class Listener:
    """Hears a broker's topics, in a session that outlives its connections."""

    def __init__(self, port: int, topic: str = "#", tls: Authority | None = None, user: str = "") -> None:
        self.heard: list[tuple[str, Any, bool]] = []
        """(topic, payload: JSON as objects, else text, retained)"""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"listener-{uuid4()}", clean_session=False)
        if tls:
            context = ssl.create_default_context(cafile=str(tls.ca))
            context.load_cert_chain(tls.client, tls.client_key)
            self._client.tls_set_context(context)
        if user:
            self._client.username_pw_set(user, PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._ready = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(_PATIENCE_S)

    def of(self, end: str) -> list[Any]:
        """The payloads of topics that end so."""
        return [payload for topic, payload, _ in self.heard if topic.endswith(end)]

    def uuids(self) -> list[str]:
        return [event["uuid"] for event in self.of("/events")]

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        text = message.payload.decode()
        payload = json.loads(text) if text[:1] == "{" else text
        self.heard.append((message.topic, payload, bool(message.retain)))


@dataclass
class HookServer:
    """A server that remembers what was posted, and answers with `answers` first, then with 200."""

    url: str = ""
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def events(self) -> list[Any]:
        """The JSON bodies that got a 200."""
        return [json.loads(body) for _, body in self.posts if body[:1] == b"{"]


@contextmanager
def hook_server(port: int = 0) -> Iterator[HookServer]:
    told = HookServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.times.append(time.monotonic())
            status, headers = told.answers.pop(0) if told.answers else (200, {})
            if status == 200:
                told.posts.append((dict(self.headers), body))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running(config: Config) -> Iterator[None]:
    """The uplink in a thread."""
    uplink = Uplink(config)
    thread = threading.Thread(target=uplink.run)
    thread.start()
    try:
        yield
    finally:
        uplink.stop()
        thread.join()


def store_events(folder: Path, *events: Event, pictures: Pictures | None = None) -> list[Event]:
    """Stored in `folder`/store, by a reader that has ended."""
    with EventStore(folder / "store", StoreConfig()) as store:
        return [store.append(event, pictures) for event in events]


def start_uplink(config: Path, *arguments: str) -> subprocess.Popen[str]:
    """`edge-alpr uplink` as a process of its own."""
    code = "from edge_alpr.cli import main; main()"
    command = [sys.executable, "-c", code, "uplink", "--config", str(config), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write_config(folder: Path, text: str) -> Path:
    """A configuration whose store is `folder`/store."""
    path = folder / "car.toml"
    path.write_text(f'[store]\npath = "{folder}/store"\ndevice_id = "car-7"\n{text}', encoding="utf-8")
    return path
