"""What gpsd says, made sense of: one line of its JSON protocol in, a fix and a time out. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

import msgspec

from edge_alpr.position.estimate import EARLIEST_NS, Estimate

_KMH = 3.6
_FASTEST_KMH = 1000.0
_LATEST_NS = EARLIEST_NS + 50 * 365 * 86_400 * 10**9
"""A receiver that says less or more has lost count of its weeks."""
_SERIAL_MS = 1000.0
"""A receiver's sentences come up to so long after the second that they speak of."""
_PULSE_MS = 1.0
"""gpsd stamps a pulse per second to a few microseconds; the rest is the clock's own change until we hear of it."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the receiver was at `at_ns` of the monotonic clock; None for what it does not tell."""

    at_ns: int
    lat: float
    lon: float
    speed_kmh: float | None = None
    heading: float | None = None
    """Degrees clockwise from true north, 0 to under 360."""
    accuracy_m: float | None = None
    """gpsd's estimate: 95 % of the fixes are nearer to the truth."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one line told."""

    fix: Fix | None = None
    time: Estimate | None = None
    no_fix: bool = False
    """The receiver says that it does not know where it is."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When a line came: by the monotonic clock and by the system's, in ns."""

    monotonic_ns: int
    system_ns: int


class _Header(msgspec.Struct, rename={"kind": "class"}):
    kind: str


class _Tpv(msgspec.Struct):
    mode: int = 0
    time: str | None = None
    lat: float | None = None
    lon: float | None = None
    speed: float | None = None
    track: float | None = None
    eph: float | None = None


class _Pps(msgspec.Struct):
    real_sec: int
    real_nsec: int
    clock_sec: int
    clock_nsec: int


_header = msgspec.json.Decoder(_Header)
_tpv = msgspec.json.Decoder(_Tpv)
_pps = msgspec.json.Decoder(_Pps)
NOTHING = Report()


def understand(line: bytes, heard: Heard) -> Report:
    """What a line of gpsd tells; nothing of the kinds not needed here. Raises `ValueError` where it is garbage."""
    try:
        kind = _header.decode(line).kind
        if kind == "TPV":
            return _position(_tpv.decode(line), heard)
        return Report(time=_pulse(_pps.decode(line), heard)) if kind == "PPS" else NOTHING
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error


def _position(tpv: _Tpv, heard: Heard) -> Report:
    if tpv.mode < 2:  # its time is then of a clock of its own
        return Report(no_fix=True)
    if tpv.lat is None or tpv.lon is None:
        return NOTHING
    fix = _fix(tpv, heard.monotonic_ns)
    return Report(fix, _time(tpv.time, heard)) if fix else Report(no_fix=True)


def _fix(tpv: _Tpv, at_ns: int) -> Fix | None:
    assert tpv.lat is not None and tpv.lon is not None
    if not (abs(tpv.lat) <= 90 and abs(tpv.lon) <= 180):
        return None
    speed = None if tpv.speed is None else tpv.speed * _KMH
    known = tpv.track is not None and math.isfinite(tpv.track)
    heading = round(tpv.track, 1) % 360.0 if known and tpv.track is not None else None  # 359.96 is 0
    return Fix(at_ns, tpv.lat, tpv.lon, _within(speed, _FASTEST_KMH), heading, _within(tpv.eph, 1e6))


def _within(value: float | None, most: float) -> float | None:
    """The value where it is from 0 to `most`, else None: a receiver that says so does not know."""
    return value if value is not None and 0 <= value <= most else None


def _time(text: str | None, heard: Heard) -> Estimate | None:
    utc_ns = _utc_ns(text or "")
    return None if utc_ns is None else _estimate(utc_ns - heard.monotonic_ns, heard, _SERIAL_MS)


def _pulse(pps: _Pps, heard: Heard) -> Estimate | None:
    real_ns = pps.real_sec * 10**9 + pps.real_nsec
    pulse_ns = pps.clock_sec * 10**9 + pps.clock_nsec
    ahead_ns = real_ns - pulse_ns
    """How much the true time is ahead of the system's."""
    if not EARLIEST_NS < real_ns < _LATEST_NS or abs(heard.system_ns - pulse_ns) > 10**9:  # it was set meanwhile
        return None
    return _estimate(ahead_ns + heard.system_ns - heard.monotonic_ns, heard, _PULSE_MS)


def _estimate(offset_ns: int, heard: Heard, error_ms: float) -> Estimate:
    return Estimate("gps", offset_ns, heard.monotonic_ns, error_ms)


def _utc_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of `2026-06-01T08:00:30.000Z`; None where it is no such time, or no plausible one."""
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z") + "+00:00")
    except ValueError:
        return None
    since = moment.astimezone(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    utc_ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    return utc_ns if EARLIEST_NS < utc_ns < _LATEST_NS else None
