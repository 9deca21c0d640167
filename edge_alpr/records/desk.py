"""What the commands of `edge-alpr events` do with the store; each thing done is noted in the audit log."""

from __future__ import annotations

import getpass
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_alpr import __version__
from edge_alpr.config import Config
from edge_alpr.records.page import Exhibit, Provenance, render
from edge_alpr.records.sealed_page import signed
from edge_alpr.records.tables import to_csv
from edge_alpr.sinks.audit import Audit, check_audit
from edge_alpr.sinks.deletion import Deleted
from edge_alpr.sinks.marks import NAMES, Marks
from edge_alpr.sinks.signing import Signer, open_signer
from edge_alpr.sinks.tally import purge
from edge_alpr.sinks.view import StoreView
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Event

FORMATS = ("csv", "jsonl", "html")


@dataclass(frozen=True, slots=True)
class Desk:
    """An open store, read only, with its marks."""

    view: StoreView
    marks: Marks
    config: Config

    def marked(self) -> dict[str, list[str]]:
        """The names of the marks of each passage that has any."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name in NAMES:
            for mark in self.marks.named(name):
                names[mark.uuid].append(name)
        return dict(names)

    def signer(self) -> Signer:
        """The device's key. Raises `KeyFileError`."""
        return open_signer(Path(self.config.store.signing_key))

    def audit(self) -> Audit:
        """The audit log, open for a line."""
        return Audit(self.view.folder, self.signer())

    def export(self, events: Sequence[Event], kind: str, name: str) -> bytes:
        """Events as a file of one of `FORMATS`; that it goes to `name` is noted before it is handed on."""
        audit = self.audit()
        content = _WRITERS[kind](self, events)
        what = {"format": kind, "file": name, "sha256": hashlib.sha256(content).hexdigest()}
        audit.note("export", [event.uuid for event in events], **what)
        return content

    def lock(self, events: Sequence[Event]) -> None:
        """Keep passages whatever the limits say."""
        for event in events:
            self.marks.set(event.uuid, "locked", "command")
        self.audit().note("lock", [event.uuid for event in events])

    def unlock(self, events: Sequence[Event]) -> None:
        """Passages go by the limits again."""
        for event in events:
            self.marks.clear(event.uuid, "locked")
        self.audit().note("unlock", [event.uuid for event in events])

    def purge(self, events: Sequence[Event]) -> Deleted:
        """Delete passages now; the note comes first, so that nothing goes without one."""
        audit, uuids = self.audit(), [event.uuid for event in events]
        audit.note("purge", uuids)
        return purge(self.view.folder, uuids)

    def exhibit(self, event: Event) -> Exhibit:
        """All that is kept of a passage."""
        states = tuple(self.view.states(event.uuid)) or (event,)  # none where the row's own uuid is damaged
        images = next((state.images for state in reversed(states) if state.images.plate), event.images)
        marks = tuple(mark.name for mark in self.marks.of(event.uuid))
        return Exhibit(states, self.view.picture(images.plate), self.view.picture(images.frame), marks)


@contextmanager
def open_desk(config: Config) -> Iterator[Desk]:
    """The configured store, for reading. Raises `StoreError`."""
    folder = Path(config.store.path).expanduser()
    with StoreView(folder, config.store) as view:
        yield Desk(view, Marks(folder), config)


def _csv(desk: Desk, events: Sequence[Event]) -> bytes:
    return to_csv(events, desk.marked()).encode()


def _jsonl(desk: Desk, events: Sequence[Event]) -> bytes:
    return b"".join(encode_event(state) + b"\n" for event in events[::-1] for state in desk.view.states(event.uuid))


def _html(desk: Desk, events: Sequence[Event]) -> bytes:
    signer, audit = desk.signer(), check_audit(desk.view.folder)
    exported = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    provenance = Provenance(exported, getpass.getuser(), __version__, signer.public, audit.lines, audit.head)
    return signed(render([desk.exhibit(event) for event in events], provenance), signer)


_WRITERS = {"csv": _csv, "jsonl": _jsonl, "html": _html}


def described(desk: Desk, event: Event) -> str:
    """A passage for people who want all of it: its newest state as indented JSON, its states and marks."""
    states = ", ".join(f"{state.state} (seq {state.seq})" for state in desk.view.states(event.uuid))
    marks = ", ".join(f"{mark.name} by {mark.who}" for mark in desk.marks.of(event.uuid)) or "none"
    text = json.dumps(json.loads(encode_event(event)), indent=2, ensure_ascii=False)
    return f"{text}\nstates: {states}\nmarks: {marks}"
