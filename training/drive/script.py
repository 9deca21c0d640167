"""Who drives where and when: the ego car, ten others, and the light. Everything follows from the frame number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.drive.mesh import SHAPES
from training.drive.plates import Plate
from training.drive.shading import Lamps, Pose
from training.drive.skins import HEIGHTS
from training.drive.street import tunnel_share
from training.drive.view import Camera, Light, look

FPS, FRAMES = 30, 600
Keys = tuple[tuple[float, ...], ...]
STEP_S = 1 / 120
TIMES = np.arange(-1.0, FRAMES / FPS + 1.0, STEP_S)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A car of the drive. `path` holds (second, metres ahead of the camera, metres right of the road's middle).

    Both are of the plate. A parked car has `parked` = (metres along the road, metres right, heading in degrees).
    `brakes` are spans of seconds.
    """

    name: str
    kind: str
    paint: tuple[int, int, int]
    plate: Plate
    front: bool = False
    path: Keys = ()
    parked: tuple[float, float, float] | None = None
    brakes: tuple[tuple[float, float], ...] = ()


VEHICLES = (
    Vehicle("lead", "suv", (150, 146, 142), Plate("us", ("7XKM482",)), brakes=((0, 0.5),), path=(
        (0, 2.9, 0.35), (0.5, 2.9, 0.35), (1.5, 4.0, 0.35), (3, 5.2, 0.35), (5, 6.4, 0.3), (6.7, 7.2, 0.1),
        (8, 10.5, 0), (9.5, 22, 0), (12, 50, 0), (14, 78, 0), (16, 125, 0), (21, 260, 0))),
    Vehicle("parked-hatch", "hatch", (58, 44, 150), Plate("eu", ("XK TR 4829",)), parked=(13.0, 2.85, 0)),
    Vehicle("parked-slant", "hatch", (150, 112, 62), Plate("eu-din", ("JX 73K46",)), parked=(22.0, 2.35, 53)),
    Vehicle("oncoming-1", "hatch", (205, 206, 208), Plate("uk", ("XT62 HRV",)), front=True, path=(
        (-1, 29, -2.4), (0.8, 20.0, -2.4), (2.5, 12.0, -2.4), (4.4, 4.8, -2.4), (5.6, -2.0, -2.4), (6, -30, -2.4))),
    Vehicle("oncoming-2", "sedan", (52, 46, 44), Plate("eu-both", ("DU 374 KX",)), front=True, path=(
        (-1, 46, -2.4), (0.8, 36, -2.4), (2.5, 24.0, -2.4), (4.0, 14, -2.4), (6.2, 4.6, -2.4), (7.0, -2, -2.4),
        (7.5, -30, -2.4))),
    Vehicle("returning", "sedan", (118, 52, 28), Plate("eu-both", ("UA-482-KU",)), brakes=((16.6, 21),), path=(
        (-1, -60, -2.9), (7, -5, -2.9), (7.7, 1.5, -2.9), (8.9, 7.2, -2.9), (9.7, 9.4, -2.9), (10.6, 9.2, -2.9),
        (11.6, 6.6, -2.9), (12.2, 4.6, -2.9), (14.2, 4.4, -2.9), (15.0, 7.2, -2.9), (16.2, 9.0, -2.9),
        (17.6, 8.2, -2.9), (18.6, 7.7, -2.9), (21, 7.7, -2.9))),
    Vehicle("cutting-in", "suv", (58, 56, 52), Plate("square", ("XU 7", "K 294")), brakes=((16.5, 21),), path=(
        (-1, -60, 2.9), (7, -8, 2.9), (8.1, 4.5, 2.9), (9.0, 7.2, 2.6), (10.1, 5.6, 0.3), (11, 5.1, 0.1),
        (12.9, 5.2, 0), (14, 8, -0.2), (15, 11.5, -2.3), (16, 14.2, -2.9), (17.5, 14.2, -2.9), (18.6, 13.6, -2.9),
        (21, 13.6, -2.9))),
    Vehicle("overtaken", "hatch", (64, 92, 58), Plate("dark", ("VUX 638",)), path=(
        (-1, 140, 2.9), (8, 32, 2.9), (10.2, 15.5, 2.95), (11.4, 10.6, 2.95), (12.6, 8.0, 2.95), (13.8, 5.2, 2.95),
        (15, -2, 2.95), (16, -30, 2.95))),
    Vehicle("van", "van", (214, 214, 216), Plate("eu", ("4G7 2938",)), brakes=((14.9, 21),), path=(
        (-1, 300, 0), (10, 95, 0), (12, 58, 0), (14, 27, 0), (15.3, 13, 0), (16.4, 7.6, 0), (17.5, 4.3, 0),
        (18.3, 2.95, 0), (18.8, 2.8, 0), (21, 2.8, 0))),
    Vehicle("parked-last", "sedan", (170, 172, 176), Plate("eu-din", ("KT 83 XTU",)), parked=(125.3, 2.75, 0)),
)  # fmt: skip

EGO_SPEED: Keys = (
    (-1, 0), (0.9, 0), (2.6, 4.2), (3.8, 3.8), (5.8, 3.8), (8.8, 10.5), (14.3, 10.5), (17.6, 2.2),
    (18.7, 0), (21, 0))  # fmt: skip
EGO_SIDE: Keys = ((-1, 0.4), (5.5, 0.4), (8, 0.0), (15, 0.0), (18, 0.2), (21, 0.2))
BUMPS_S = (2.2, 4.9, 9.9, 12.4, 15.9)


def _curve(keys: Keys, column: int, soft_s: float = 0.35) -> NDArray[np.float64]:
    """A column of key values over TIMES, its corners rounded over about `soft_s`."""
    raw = np.interp(TIMES, [k[0] for k in keys], [k[column] for k in keys])
    reach = round(1.5 * soft_s / STEP_S)
    window = np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(np.pad(raw, reach, mode="edge"), window / window.sum(), mode="valid")


@lru_cache(maxsize=64)
def _track(keys: Keys, column: int) -> NDArray[np.float64]:
    return _curve(keys, column)


@lru_cache(maxsize=1)
def _ego_way() -> NDArray[np.float64]:
    way = np.cumsum(_track(EGO_SPEED, 1)) * STEP_S
    return way - np.interp(0.0, TIMES, way)


def _at(curve: NDArray[np.float64], second: float) -> float:
    return float(np.interp(second, TIMES, curve))


def ego_speed(second: float) -> float:
    """Metres a second."""
    return max(_at(_track(EGO_SPEED, 1), second), 0.0)


def ego_place(second: float) -> tuple[float, float]:
    """Metres right of the road's middle and along the road."""
    return _at(_track(EGO_SIDE, 1), second), _at(_ego_way(), second)


def _sway(second: float, seed: int) -> float:
    """Slow, repeatable wandering within about -1 to 1."""
    return sum(np.sin(second * f + seed * 1.7 + k * 2.1) / (k + 1) for k, f in enumerate((2.3, 5.1, 9.7, 16.3))) / 1.6


def camera(second: float) -> Camera:
    """Where the dash cam is, with the shake of the road and of bumps."""
    x, z = ego_place(second)
    shake = min(ego_speed(second) / 9, 1) ** 0.5
    nod, heave = 0.0, 0.0
    for start in BUMPS_S:
        since = second - start
        if since > 0:
            swing = np.exp(-since / 0.28) * np.sin(since * 2 * np.pi * 2.3)
            nod, heave = nod + 0.011 * swing, heave + 0.035 * swing
    squat = _at(np.gradient(_track(EGO_SPEED, 1), STEP_S), second)
    pitch = 0.030 + nod + 0.0012 * shake * _sway(second, 1) - 0.0018 * squat
    yaw = 0.002 * shake * _sway(second * 0.5, 2)
    roll = 0.004 * shake * _sway(second * 0.8, 3)
    return look((x, 1.28 + heave + 0.006 * shake * _sway(second, 4), z), yaw, pitch, roll)


def plate_height(vehicle: Vehicle) -> float:
    """Metres above the road."""
    at = HEIGHTS[vehicle.kind]
    return at.plate_front if vehicle.front else at.plate_rear


def pose(vehicle: Vehicle, second: float) -> Pose:
    """Where the car's own origin stands, so that its plate is where the path says."""
    if vehicle.parked is not None:
        z, x, degrees = vehicle.parked
        return Pose(x, z, float(np.radians(degrees)))
    x, ahead = (_at(_track(vehicle.path, c), second) for c in (2, 1))
    z = ego_place(second)[1] + ahead
    if vehicle.front:
        return Pose(x, z + SHAPES[vehicle.kind].length, np.pi)
    later = _at(_track(vehicle.path, 2), second + 0.1) - _at(_track(vehicle.path, 2), second - 0.1)
    way = max(ego_place(second + 0.1)[1] - ego_place(second - 0.1)[1], 0.6)
    return Pose(x, z, float(np.clip(np.arctan2(later, way), -0.12, 0.12)))


def plate_corners(vehicle: Vehicle, place: Pose) -> NDArray[np.float64]:
    """The plate's corners in the world (4, 3), clockwise as it is read from the top left."""
    width, height = vehicle.plate.size_m
    middle = plate_height(vehicle)
    ends = SHAPES[vehicle.kind].at(middle)
    x = np.array([-1, 1, 1, -1]) * width / 2
    y = middle + np.array([1, 1, -1, -1]) * height / 2
    if vehicle.front:
        return place.world(np.stack([-x, y, np.full(4, ends[1] + 0.012)], axis=1))
    return place.world(np.stack([x, y, np.full(4, ends[0] - 0.012)], axis=1))


def lamps(vehicle: Vehicle, second: float) -> Lamps:
    """Which lamps are lit and how brightly."""
    if vehicle.parked is not None:
        return Lamps()
    dusk = np.clip(second / 20, 0, 1)
    braking = any(start <= second < end for start, end in vehicle.brakes)
    return Lamps(tail=0.30 + 0.60 * dusk, brake=2.2 if braking else 0.0, head=4.0 if vehicle.front else 0.0)


def dusk_gain(second: float) -> NDArray[np.float32]:
    """How the light of the day fades, linear BGR."""
    share = np.clip(second / 20, 0, 1) ** 1.3
    return np.array([1 - 0.50 * share, 1 - 0.58 * share, 1 - 0.62 * share], np.float32)


def exposure(second: float) -> float:
    """What the camera's automatic makes of it: it opens in the tunnel, a little late."""
    return 1.15 + 0.75 * float(tunnel_share(ego_place(second - 0.35)[1] + 7.0)) + 0.35 * np.clip(second / 20, 0, 1)


def light_at(z: float, second: float) -> Light:
    """The light on a car at `z` metres along the road."""
    gain = dusk_gain(second)
    inside = float(tunnel_share(z))
    zenith, horizon = np.array((0.44, 0.33, 0.25)) * gain, np.array((0.62, 0.58, 0.57)) * gain
    sun = np.array((0.42, 0.55, 0.68)) * gain
    direction = np.array((-0.55, 0.42, -0.72))
    direction /= np.linalg.norm(direction)
    own = 0.3 * max(inside, float(np.clip(second / 20, 0, 1)))
    return Light(tuple(zenith), tuple(horizon), tuple(sun), tuple(direction), inside, own)
