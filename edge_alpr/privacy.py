"""What may leave the car. Pure; see `[privacy]`."""

from __future__ import annotations

from edge_alpr.config import PrivacyConfig
from edge_alpr.types import Event


def may_leave(event: Event, privacy: PrivacyConfig) -> bool:
    """Whether an event may be told outside the car: by default only one that hit a list."""
    return privacy.share == "all" or (privacy.share == "hits" and event.match is not None)
