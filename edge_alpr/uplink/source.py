"""The store as a link sees it: it may not be there yet, and may be put aside for a new one at any time."""

from __future__ import annotations

from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event
from edge_alpr.uplink.outgoing import outgoing


class Source:
    """The events of a store that may leave the car. For one thread. All methods raise `StoreError`."""

    def __init__(self, config: Config) -> None:
        self._folder = Path(config.store.path).expanduser()
        self._privacy, self._config = config.privacy, config.store
        self._view: StoreView | None = None
        self._file = 0

    def changed(self) -> bool:
        """Whether there may be new events; takes some microseconds."""
        view = self._open()
        return view is not None and view.changed()

    def last_seq(self) -> int | None:
        """The highest `seq` ever given; None where there is no store yet."""
        view = self._open()
        return None if view is None else view.last_seq()

    def after(self, cursor: int, limit: int) -> list[tuple[int, Event | None]]:
        """The first events with a `seq` over `cursor`: their number, and how they leave, None where they do not."""
        view = self._open()
        return [] if view is None else [(event.seq, self._leaves(view, event)) for event in view.after(cursor, limit)]

    def event(self, seq: int) -> Event | None:
        """How the event of this number leaves; None where it is gone."""
        return dict(self.after(seq - 1, 1)).get(seq)

    def picture(self, name: str) -> bytes:
        """A picture that an event names; empty where it is gone."""
        view = self._open()
        return b"" if view is None else view.picture(name)

    def close(self) -> None:
        """Close the file."""
        if self._view is not None:
            self._view.close()
            self._view = None

    def _leaves(self, view: StoreView, event: Event) -> Event | None:
        alone = outgoing(event, (), self._privacy)
        if alone is not None or self._privacy.share != "hits" or event.state == "possible":
            return alone
        return outgoing(event, view.states(event.uuid), self._privacy)

    def _open(self) -> StoreView | None:
        try:
            file = (self._folder / FILE).stat().st_ino
        except OSError:
            self.close()
            return None
        if self._view is None or file != self._file:  # a damaged file is put aside for a new one
            self.close()
            self._view, self._file = StoreView(self._folder, self._config), file
        return self._view
