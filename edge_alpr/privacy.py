"""What may leave the car: the one place that says so. Every link out asks here before it sends."""

from __future__ import annotations

from edge_alpr.config import PrivacyConfig
from edge_alpr.types import Event


def is_hit(event: Event) -> bool:
    """Whether this state of a passage hits, or hit, a hot list.

    A hit that is withdrawn still counts: who heard of it must hear that it was none, which may take days.
    """
    return event.match is not None


def may_leave(event: Event, privacy: PrivacyConfig) -> bool:
    """Whether a link may send this event: text, pictures and place.

    With `share = "hits"` only what hits a hot list, and the word that such a hit is withdrawn.
    """
    if privacy.share == "all":
        return True
    return privacy.share == "hits" and event.match is not None
