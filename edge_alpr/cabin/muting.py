"""Whether the driver wants quiet: muted by hand for a while, or in the silent hours. Kept over a restart."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import msgspec

from edge_alpr.cabin.alerts import is_silent
from edge_alpr.config import SoundConfig

FILE = "sound.json"
_MOST_S = 24 * 3600.0


class _Kept(msgspec.Struct):
    muted_until_s: float = 0.0
    """Seconds since 1970, UTC."""


class Muting:
    """Its state is a file in the store's folder, so that another process can mute; a damaged one mutes nobody."""

    def __init__(self, folder: Path, config: SoundConfig) -> None:
        self._path = folder.expanduser() / FILE
        self._config = config

    def mute(self, minutes: float | None = None) -> None:
        """For so many minutes, or as configured; 0: hear all again. Raises `OSError`."""
        seconds = 60 * (self._config.mute_minutes if minutes is None else minutes)
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(_Kept(time.time() + seconds)))
        beside.replace(self._path)

    def toggle(self) -> None:
        """Mute, or hear all again. Raises `OSError`."""
        self.mute(0 if self.muted else None)

    @property
    def muted(self) -> bool:
        """By hand, and not over yet; a clock that was set back by more than a day mutes nobody."""
        try:
            until_s = msgspec.json.decode(self._path.read_bytes(), type=_Kept).muted_until_s
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return 0 < until_s - time.time() <= _MOST_S

    @property
    def quiet(self) -> bool:
        """Muted, or in the silent hours."""
        return self.muted or is_silent(self._config.silent_hours, datetime.now().time())

