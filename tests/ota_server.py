"""The fleet's side for tests: two real TUF repositories in a folder, and a web server that can be told to misbehave."""

from __future__ import annotations

import fnmatch
import re
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

THRESHOLDS = {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}
KEYS = {"root": 3, "targets": 2, "snapshot": 1, "timestamp": 1}
DAYS = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 1}
ROLES = ("root", "targets", "snapshot", "timestamp")
ONLINE = ("targets", "snapshot", "timestamp")


def in_days(days: float) -> datetime:
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)


class TufRepo:
    """One TUF repository under `folder`: `metadata/` and `targets/`, consistent snapshots, all its keys at hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {role: [CryptoSigner.generate_ed25519() for _ in range(KEYS[role])] for role in KEYS}
        self.roles: dict[str, Metadata[Any]] = {
            "root": Metadata(Root(expires=in_days(DAYS["root"]), consistent_snapshot=True)),
            "targets": Metadata(Targets()),
            "snapshot": Metadata(Snapshot()),
            "timestamp": Metadata(Timestamp()),
        }
        for role, signers in self.keys.items():
            for signer in signers:
                self.roles["root"].signed.add_key(signer.public_key, role)
            self.roles["root"].signed.roles[role].threshold = THRESHOLDS[role]
        (folder / "metadata").mkdir(parents=True)
        self.publish(ONLINE, bump=False)
        self.write_root(self.keys["root"])

    def twin(self, folder: Path | None = None) -> TufRepo:
        """Another publisher with the same keys, of the same files or of a copy: this one does not know what it does."""
        other = object.__new__(TufRepo)
        other.folder, other.keys = folder or self.folder, {role: list(keys) for role, keys in self.keys.items()}
        other.roles = {role: Metadata.from_bytes(metadata.to_bytes()) for role, metadata in self.roles.items()}
        return other

    def put(self, path: str, data: bytes, custom: Mapping[str, Any], files: bool = True) -> TargetFile:
        """Tell of a target; `publish` makes it public."""
        target = TargetFile.from_data(path, data, ["sha256"])
        target.unrecognized_fields["custom"] = dict(custom)
        self.roles["targets"].signed.targets[path] = target
        if files:
            folder, _, name = path.rpartition("/")
            file = self.folder / "targets" / folder / f"{target.hashes['sha256']}.{name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return target

    def publish(
        self,
        roles: Sequence[str] = ONLINE,
        *,
        bump: bool = True,
        days: Mapping[str, float] | None = None,
        signers: Mapping[str, Sequence[CryptoSigner]] | None = None,
    ) -> None:
        """Sign and write new versions of these roles. `days` until they expire; `signers` instead of the right ones."""
        for role in (role for role in ONLINE if role in roles):
            metadata = self.roles[role]
            metadata.signed.version += bump
            metadata.signed.expires = in_days({**DAYS, **(days or {})}[role])
            if role == "snapshot":
                metadata.signed.meta["targets.json"] = self._meta("targets")
            elif role == "timestamp":
                metadata.signed.snapshot_meta = self._meta("snapshot")
            data = signed_bytes(metadata, {**self.keys, **(signers or {})}[role])
            name = f"{role}.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
            (self.folder / "metadata" / name).write_bytes(data)

    def rotate(self, role: str, signers: Sequence[CryptoSigner] | None = None, days: float = 365) -> None:
        """Replace the keys of a role by a new root, signed by the old and the new root keys, or by `signers`."""
        root, old = self.roles["root"].signed, self.keys["root"]
        for signer in self.keys[role]:
            root.revoke_key(signer.public_key.keyid, role)
        self.keys[role] = [CryptoSigner.generate_ed25519() for _ in self.keys[role]]
        for signer in self.keys[role]:
            root.add_key(signer.public_key, role)
        root.version += 1
        root.expires = in_days(days)
        both = old if role != "root" else [*old, *self.keys["root"]]
        self.write_root(both if signers is None else signers)

    def write_root(self, signers: Sequence[CryptoSigner]) -> None:
        """Write the root as it is now, signed by these."""
        metadata = self.roles["root"]
        file = self.folder / "metadata" / f"{metadata.signed.version}.root.json"
        file.write_bytes(signed_bytes(metadata, signers))

    def _meta(self, role: str) -> MetaFile:
        return MetaFile(self.roles[role].signed.version)


def signed_bytes(metadata: Metadata[Any], signers: Sequence[CryptoSigner]) -> bytes:
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


class Fleet:
    """Director and image repository under one folder, as deploy/repo lays them out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.director = TufRepo(folder / "director")
        self.image = TufRepo(folder / "image")

    @property
    def both(self) -> tuple[TufRepo, TufRepo]:
        return self.director, self.image

    def twin(self, folder: Path | None = None) -> Fleet:
        """Somebody with the fleet's keys and folder, or with a copy of the folder."""
        other = object.__new__(Fleet)
        other.folder = folder or self.folder
        other.director, other.image = (repo.twin(other.folder / repo.folder.name) for repo in self.both)
        return other

    def ship_roots(self, folder: Path) -> Path:
        """What a device has from the bench: the first root of both."""
        for repo in self.both:
            (folder / repo.folder.name).mkdir(parents=True, exist_ok=True)
            shipped = (repo.folder / "metadata" / "1.root.json").read_bytes()
            (folder / repo.folder.name / "root.json").write_bytes(shipped)
        return folder

    def release(self, version: str, data: bytes, *, unit: str = "models", path: str = "", **custom: Any) -> str:
        """Make a target, tell it to all cars (unless `share=`, `boards=`… say otherwise), publish. Returns its path.

        TUF's canonical JSON has no fractions: a share is a string.
        """
        path = path or f"{unit}/{unit.rpartition('/')[2]}-{version}.tar"
        files = custom.pop("files", True)
        known = {"unit": unit, "version": version, "boards": custom.pop("boards", []), "needs": custom.pop("needs", "")}
        self.image.put(path, data, known, files)
        self.director.put(path, data, {**known, "rollout": f"{unit}-{version}", "share": "1", **custom}, files=False)
        self.publish()
        return path

    def publish(self) -> None:
        for repo in self.both:
            repo.publish()


Fault = Callable[["Handler", bytes], None]
"""Answers a request in place of the server; gets what the file holds (empty where there is none)."""


@dataclass
class Server:
    """A static web server on loopback. `faults` maps a pattern of paths to what is done to requests for them."""

    folder: Path
    url: str
    faults: dict[str, Fault] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of bodies sent, by path."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header) of each request."""
    connections: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def sent_under(self, pattern: str) -> int:
        return sum(count for path, count in self.sent.items() if fnmatch.fnmatch(path, pattern))


class Handler(BaseHTTPRequestHandler):
    """Static files with ranges."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    world: Server

    def setup(self) -> None:
        self.world.connections += 1
        super().setup()

    def do_GET(self) -> None:
        world, name = self.world, self.path.lstrip("/")
        world.asked.append((name, self.headers.get("Range", "")))
        file = world.folder / name
        data = file.read_bytes() if file.is_file() else b""
        fault = next((fault for pattern, fault in world.faults.items() if fnmatch.fnmatch(name, pattern)), None)
        with suppress(ConnectionError):
            if fault is not None:
                fault(self, data)
            elif file.is_file():
                self.give(data)
            else:
                self.head(404, 12)
                self.wfile.write(b"not found :(")

    def give(self, data: bytes, ranges: bool = True) -> None:
        """The file, or the part of it that is asked for."""
        begin = self.begin() if ranges else 0
        if begin and begin >= len(data):
            self.head(416, 0, {"Content-Range": f"bytes */{len(data)}"})
            return
        self.head_of(data, begin)
        self.body(data[begin:])

    def begin(self) -> int:
        """Where the part that is asked for begins."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def head_of(self, data: bytes, begin: int) -> None:
        extra = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        self.head(206 if begin else 200, len(data) - begin, extra)

    def head(self, status: int, length: int | None, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (extra or {}).items():
            self.send_header(key, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.world.sent[self.path.lstrip("/")] += len(data)
        self.wfile.write(data)

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None: ...


class _Threads(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A car that hangs up is no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


@contextmanager
def serve(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve a folder until the end of the `with`."""
    world = Server(folder, "")
    http = _Threads(("127.0.0.1", 0), type("Of", (Handler,), {"world": world}))
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    world.url = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield world
    finally:
        world.stop.set()
        http.shutdown()
        http.server_close()


def status(code: int) -> Fault:
    return lambda handler, _: handler.head(code, 0)


def redirect(to: str) -> Fault:
    return lambda handler, _: handler.head(302, 0, {"Location": to})


def instead(other: bytes) -> Fault:
    """Another content in its place."""
    return lambda handler, _: handler.give(other)


def changed(change: Callable[[bytes], bytes]) -> Fault:
    return lambda handler, data: handler.give(change(data))


def no_ranges() -> Fault:
    """The whole file, whatever is asked for."""
    return lambda handler, data: handler.give(data, ranges=False)


def cut(after: int, times: int = 1) -> Fault:
    """The connection ends after so many bytes of an answer, the first `times` times."""
    left = [times]

    def fault(handler: Handler, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            handler.give(data)
            return
        begin = handler.begin()
        handler.head_of(data, begin)
        handler.body(data[begin : begin + after])
        handler.hang_up()

    return fault


def endless(block: bytes = b" " * 65536) -> Fault:
    """Bytes without an end, at most 64 MiB."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.head(200, None)
        handler.hang_up()
        handler.body(data)
        for _ in range(1024):
            handler.body(block)

    return fault


def drip(size: int, pause_s: float, head_only: bool = False) -> Fault:
    """A few bytes at a time, of the body, or of a header that does not end."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.hang_up()
        if head_only:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            data = b"x" * 60000
        else:
            handler.head(200, len(data))
        for begin in range(0, len(data), size):
            if handler.world.stop.wait(pause_s):
                return
            handler.wfile.write(data[begin : begin + size])

    return fault


def silent(seconds: float = 60) -> Fault:
    """Takes the request and says nothing."""

    def fault(handler: Handler, _: bytes) -> None:
        handler.hang_up()
        handler.world.stop.wait(seconds)

    return fault


def copy_of(repo: TufRepo) -> dict[str, bytes]:
    """All its metadata as served now, for a replay."""
    return {file.name: file.read_bytes() for file in sorted((repo.folder / "metadata").iterdir())}


def put_back(repo: TufRepo, files: Mapping[str, bytes]) -> None:
    """Serve these metadata files instead."""
    folder = repo.folder / "metadata"
    for file in folder.iterdir():
        file.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def wait_until(true: Callable[[], Any], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
