"""The stored events for people: looked at, exported, locked, purged, and accounted for."""
