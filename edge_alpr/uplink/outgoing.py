"""What is told of an event outside the car. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_alpr.config import PrivacyConfig
from edge_alpr.privacy import may_leave
from edge_alpr.types import Event


def outgoing(event: Event, states: Sequence[Event], privacy: PrivacyConfig) -> Event | None:
    """The event as it leaves, or None. `states` are those of its passage, in order.

    Where an earlier state left because it hit a list, and this one hits none, the earlier one is taken back under this
    one's number: whoever was told hears that it does not hold, and nothing else of the plate.
    """
    if may_leave(event, privacy):
        return event
    told = [state for state in states if state.seq < event.seq and may_leave(state, privacy)]
    if privacy.share == "nothing" or not told or told[-1].state == "withdrawn":
        return None
    return replace(told[-1], state="withdrawn", seq=event.seq, timestamp=event.timestamp)


def idempotency_key(event: Event) -> str:
    """The same whenever this event is told again, and of no other."""
    return f"{event.uuid}-{event.state}-{event.seq}"
