"""Reads how the car is: speed from gpsd, ignition and battery from files of the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_alpr.config import UpdateConfig
from edge_alpr.device import sysfs
from edge_alpr.update.policy import Vehicle, still

_BLIND_S = 60.0
"""Who has not looked for so long does not know whether the car stood all the while."""


class VehicleWatch:
    """Ask it often: it knows how long the car stands from what it was told."""

    def __init__(
        self, config: UpdateConfig, speed_kmh: Callable[[], float | None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._speed_kmh, self._clock_s = config, speed_kmh, clock_s
        self._since_s: float | None = None
        self._looked_s = float("-inf")

    def look(self) -> Vehicle:
        """Now."""
        vehicle = Vehicle(self._speed_kmh(), self._ignition(), None, self._volts())
        now_s = self._clock_s()
        blind, self._looked_s = now_s - self._looked_s > _BLIND_S, now_s
        if blind or not still(vehicle):
            self._since_s = None
        if not still(vehicle):
            return vehicle
        self._since_s = now_s if self._since_s is None else self._since_s
        return replace(vehicle, still_s=now_s - self._since_s)

    def _ignition(self) -> bool | None:
        if not self._config.ignition_file:
            return None
        said = sysfs.text(Path(self._config.ignition_file))
        return None if said is None else said == self._config.ignition_on

    def _volts(self) -> float | None:
        if not self._config.battery_file:
            return None
        said = sysfs.number(Path(self._config.battery_file))
        return None if said is None else said * self._config.battery_v_per_unit
