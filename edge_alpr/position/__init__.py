"""Where the car is and what time it is: a GPS receiver behind gpsd, and a clock that says how good it is."""

from __future__ import annotations

from edge_alpr.position.whereabouts import Position, open_position

__all__ = ["Position", "open_position"]
