"""What a GPS receiver says on a drive that never was: NMEA 0183 sentences, once a second, and the truth behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

BEGIN = datetime(2026, 6, 1, 8, 0, 0, tzinfo=timezone.utc)
_LAT, _LON = 44.4300, 26.1000
_METRES_A_DEGREE = 111_194.9


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of the drive; `has_fix` is False where the receiver has lost its satellites."""

    at: datetime
    lat: float
    lon: float
    speed_kmh: float
    heading: float
    has_fix: bool = True


def drive(seconds: int, lost: range = range(0)) -> Iterator[Moment]:
    """Two streets, a turn to the right every 40 s, a stop of 10 s before each; no fix in the seconds `lost`."""
    lat, lon = _LAT, _LON
    for second in range(seconds):
        heading = 90.0 * (1 + second // 40) % 360
        speed_kmh = 0.0 if second % 40 >= 30 else min(50.0, 10.0 * (second % 40))
        metres = speed_kmh / 3.6
        lat += metres * math.cos(math.radians(heading)) / _METRES_A_DEGREE
        lon += metres * math.sin(math.radians(heading)) / (_METRES_A_DEGREE * math.cos(math.radians(lat)))
        yield Moment(BEGIN + timedelta(seconds=second), lat, lon, speed_kmh, heading, second not in lost)


def sentences(moment: Moment) -> list[str]:
    """RMC, GGA and GSA of a second, without the line's end."""
    clock, day = moment.at.strftime("%H%M%S.00"), moment.at.strftime("%d%m%y")
    knots = f"{moment.speed_kmh / 1.852:.2f}"
    if not moment.has_fix:
        bodies = [f"GPRMC,{clock},V,,,,,,,{day},,,N", f"GPGGA,{clock},,,,,0,00,99.9,,,,,,", "GPGSA,A,1" + "," * 15]
        return [_checked(body) for body in bodies]
    place = f"{_angle(moment.lat, 2)},{'NS'[moment.lat < 0]},{_angle(moment.lon, 3)},{'EW'[moment.lon < 0]}"
    return [
        _checked(f"GPRMC,{clock},A,{place},{knots},{moment.heading:.1f},{day},,,A"),
        _checked(f"GPGGA,{clock},{place},1,08,1.0,80.0,M,36.0,M,,"),
        _checked("GPGSA,A,3,02,05,09,12,15,18,21,25,,,,,1.8,1.0,1.5"),
    ]


def log(moments: Iterable[Moment]) -> bytes:
    """A recording of these seconds, as `gpsfake` plays it."""
    return b"".join(line.encode() + b"\r\n" for moment in moments for line in sentences(moment))


def _angle(degrees: float, digits: int) -> str:
    """`44.5` becomes `4430.00000`."""
    whole = int(abs(degrees))
    return f"{whole:0{digits}d}{(abs(degrees) - whole) * 60:08.5f}"


def _checked(body: str) -> str:
    total = 0
    for char in body.encode():
        total ^= char
    return f"${body}*{total:02X}"
