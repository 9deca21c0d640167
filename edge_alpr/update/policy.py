"""Whether the car may download, install or reboot now. Pure; each no says why, and what would make it a yes."""

from __future__ import annotations

from dataclasses import dataclass

from edge_alpr.config import UpdateConfig
from edge_alpr.ota.types import LIST

STANDS_KMH = 3.0
"""Slower than this is standing: a receiver's speed is never quite 0."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """How the car is now; None for what is not known."""

    speed_kmh: float | None = None
    ignition: bool | None = None
    still_s: float | None = None
    """How long it has stood, or its ignition has been off, as far as was seen; None: it moves, or nobody knows."""
    volts: float | None = None


def may_download(config: UpdateConfig, vehicle: Vehicle) -> str:
    """Why not; empty: it may."""
    return _battery(config, vehicle) or (_parked(config, vehicle) if config.download == "parked" else "")


def may_install(config: UpdateConfig, vehicle: Vehicle, unit: str) -> str:
    """Why not; empty: it may. A list is taken while driving: it costs nothing, and its news matter at once."""
    return "" if unit.startswith(LIST) else _battery(config, vehicle) or _parked(config, vehicle)


def may_reboot(config: UpdateConfig, vehicle: Vehicle) -> str:
    """Why not; empty: it may."""
    if config.reboot == "never":
        return 'the board\'s next start starts it (update.reboot = "never")'
    if config.reboot == "ignition-off" and vehicle.ignition is None:
        return "whether the ignition is off is not known (set update.ignition_file); the board's next start starts it"
    if config.reboot == "ignition-off" and vehicle.ignition:
        return "it waits for ignition off"
    return _battery(config, vehicle) or _parked(config, vehicle)


def still(vehicle: Vehicle) -> bool | None:
    """Whether the car stands at this moment; None: nobody knows. An ignition that is off counts before a speed."""
    if vehicle.ignition is False:
        return True
    return None if vehicle.speed_kmh is None else vehicle.speed_kmh < STANDS_KMH


def _parked(config: UpdateConfig, vehicle: Vehicle) -> str:
    if not config.parked_min:
        return ""
    stands = still(vehicle)
    if stands is None:
        return "whether the car stands is not known: set position.gpsd or update.ignition_file, or parked_min = 0"
    if not stands:
        return f"the car moves, {vehicle.speed_kmh or 0:.0f} km/h"
    minutes, wanted = (vehicle.still_s or 0.0) / 60, config.parked_min
    return "" if minutes >= wanted else f"the car has stood for {minutes:.0f} of {wanted:g} minutes"


def _battery(config: UpdateConfig, vehicle: Vehicle) -> str:
    if not config.battery_file:
        return ""
    if vehicle.volts is None:
        return f"{config.battery_file} tells no voltage"
    low = vehicle.volts < config.battery_min_v
    return f"the battery has {vehicle.volts:.1f} V, less than {config.battery_min_v:g}" if low else ""
