"""Looking one event up while another process may be writing the store."""

from __future__ import annotations

from pathlib import Path

from edge_alpr.config import StoreConfig
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event


def find_event(folder: Path, uuid: str, config: StoreConfig | None = None) -> Event | None:
    """The event of this uuid in the store `folder`, in its latest state that names a picture, else in its latest.

    None where there is none, or no store. Raises `StoreError`.
    """
    if not (folder / FILE).exists():
        return None
    with StoreView(folder, config) as view:
        states = view.states(uuid)[::-1]
    return next((state for state in states if state.images.plate), states[0] if states else None)
