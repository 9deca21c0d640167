"""What the server knows, and the browsers that hear of it: one bounded queue each. Lives on the event loop's thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from edge_alpr.display.shown import Shown

RING = 512
"""Events kept, so that a browser that comes back hears what it missed."""
SNAPSHOT = 100
"""Events that a new browser is given."""
MOST_BROWSERS = 16
_QUEUE = 1024
"""Messages that may wait for a browser; one that is slower starts anew."""


@dataclass(frozen=True, slots=True)
class Message:
    """A server-sent event; `id` is where a browser that comes back goes on."""

    kind: str
    body: bytes
    id: str = ""

    def encoded(self) -> bytes:
        """As it goes over the line."""
        place = f"id: {self.id}\n" if self.id else ""
        return f"{place}event: {self.kind}\ndata: ".encode() + self.body + b"\n\n"


@dataclass(slots=True)
class Known:
    """All that is known of one store. A page is drawn from this alone."""

    generation: str = "0"
    """Another store has another one."""
    events: deque[Shown] = field(default_factory=lambda: deque(maxlen=RING))
    marks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    status: object = None
    live: object = None


class Hub:
    """Takes news and hands them to all browsers."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = settings
        self._known = Known()
        self._queues: set[asyncio.Queue[Message | None]] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        """Browsers that are connected."""
        return len(self._queues)

    def restart(self, generation: str, events: Iterable[Shown]) -> None:
        """Another store, or the first one: `events` are its newest, oldest first."""
        self._known.generation = generation
        self._known.events = deque(events, maxlen=RING)
        self._send(self._snapshot())

    def event(self, news: Shown) -> None:
        """One more event."""
        self._known.events.append(news)
        self._send(self._told(news))

    def marks(self, marks: dict[str, tuple[str, ...]]) -> None:
        """All marks as they are now."""
        before, self._known.marks = self._known.marks, marks
        changed = {uuid: marks.get(uuid, ()) for uuid in before.keys() | marks.keys()
                   if before.get(uuid) != marks.get(uuid)}  # fmt: skip
        if changed:
            self._send(Message("marks", msgspec.json.encode(changed)))

    def status(self, status: object) -> None:
        """How the drive is; also tells the browsers that the server lives."""
        self._known.status = status
        self._send(Message("status", msgspec.json.encode(status)))

    def live(self, facts: object) -> None:
        """There is a new live picture; None: there is none any more."""
        self._known.live = facts
        self._send(Message("live", msgspec.json.encode(facts)))

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for queue in self._queues:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(self, last_id: str) -> AsyncIterator[bytes]:
        """What a browser hears: what it missed since `last_id`, or all; then the news."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(_QUEUE)
        if self._closed or len(self._queues) >= MOST_BROWSERS:
            return
        self._queues.add(queue)
        try:
            yield b"retry: 500\n\n"
            for message in self._missed(last_id):
                yield message.encoded()
            while (news := await queue.get()) is not None:
                yield news.encoded()
        finally:
            self._queues.discard(queue)

    def _missed(self, last_id: str) -> list[Message]:
        known = self._known
        generation, _, place = last_id.rpartition("-")
        seqs = [event.seq for event in known.events]
        if generation != known.generation or not place.isdecimal() or int(place) not in seqs:
            return [self._snapshot()]
        return [
            *(self._told(event) for event in known.events if event.seq > int(place)),
            Message("allmarks", msgspec.json.encode(known.marks)),
            Message("status", msgspec.json.encode(known.status)),
            Message("live", msgspec.json.encode(known.live)),
        ]

    def _snapshot(self) -> Message:
        known = self._known
        events = list(known.events)[-SNAPSHOT:]
        body = {"events": events, "marks": known.marks, "status": known.status, "live": known.live,
                "settings": self._settings}  # fmt: skip
        return Message("all", msgspec.json.encode(body), self._id(events[-1].seq) if events else "")

    def _told(self, event: Shown) -> Message:
        return Message("event", msgspec.json.encode(event), self._id(event.seq))

    def _id(self, seq: int) -> str:
        return f"{self._known.generation}-{seq}"

    def _send(self, message: Message) -> None:
        for queue in self._queues:
            if queue.full():  # it hears all of it when it comes back
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(message)
