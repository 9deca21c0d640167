"""What is painted on a car: tail, side and nose."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.drive.brush import (
    BLACK,
    CHROME,
    DULL,
    GLASS,
    GLOSSY,
    PLASTIC,
    RED,
    SATIN,
    TYRE,
    Brush,
    Colour,
    Skin,
    rounded,
    shade,
)  # fmt: skip
from training.drive.mesh import Shape


@dataclass(frozen=True, slots=True)
class Heights:
    """Where things sit on a kind of car, in metres above the road."""

    bumper: float
    belt: float
    roof: float
    plate_rear: float
    plate_front: float
    lamp: tuple[float, float, float, float]
    """Tail lamp on the right: x0, y0, x1, y1."""


HEIGHTS = {
    "hatch": Heights(0.60, 1.01, 1.39, 0.74, 0.46, (0.60, 0.72, 0.92, 1.00)),
    "sedan": Heights(0.61, 1.02, 1.37, 0.77, 0.46, (0.44, 0.74, 0.94, 0.91)),
    "suv": Heights(0.72, 1.155, 1.53, 0.88, 0.56, (0.63, 0.80, 0.96, 1.12)),
    "van": Heights(0.55, 1.15, 1.76, 0.78, 0.50, (0.80, 0.74, 0.99, 1.16)),
}


def tail_skin(kind: str, shape: Shape, paint: Colour, plate: tuple[float, float]) -> Skin:
    """The rear: window, hatch or boot lid, lamps, bumper, recess for a `plate` of width, height in metres."""
    at = HEIGHTS[kind]
    brush = Brush(-1.05, 1.05, paint)
    seam = shade(paint, 0.22)
    low = min(r[0] for r in shape.rings)
    edge = shape.at(at.belt + 0.02)[2]
    top = shape.at(at.roof)[2]
    # below the bumper line: a dark apron with reflectors and an exhaust
    brush.polygon(rounded(-1.05, 0, 1.05, low + 0.155, 0.02), PLASTIC, DULL)
    brush.line([(-1.05, low + 0.155), (1.05, low + 0.155)], BLACK, 0.008)
    brush.polygon(rounded(0.58, low + 0.07, 0.76, low + 0.10, 0.01), (40, 34, 130), SATIN, both=True)
    brush.polygon(rounded(-0.60, low + 0.0, -0.48, low + 0.05, 0.02), BLACK, DULL)
    # bumper top shadow and highlight
    brush.line([(-1.05, at.bumper + 0.004), (1.05, at.bumper + 0.004)], seam, 0.010)
    brush.line([(-1.05, at.bumper - 0.018), (1.05, at.bumper - 0.018)], shade(paint, 1.22), 0.010, GLOSSY)
    _lid(brush, kind, at, paint, edge)
    _window(brush, kind, at, edge, top)
    _tail_lamps(brush, at)
    width, height = plate
    recess = rounded(
        -width / 2 - 0.07,
        at.plate_rear - height / 2 - 0.035,
        width / 2 + 0.07,
        at.plate_rear + height / 2 + 0.045,
        0.03,
    )
    brush.polygon(recess, shade(paint, 0.50), SATIN)
    bar = at.plate_rear + height / 2 + 0.03
    brush.polygon(rounded(-width / 2 - 0.05, bar, width / 2 + 0.05, bar + 0.035, 0.012), shade(paint, 0.25), SATIN)
    brush.line([(-width / 2 - 0.04, bar + 0.033), (width / 2 + 0.04, bar + 0.033)], CHROME, 0.006, GLOSSY)
    badge = min(at.belt - 0.06, bar + 0.085)
    brush.disc((0, badge), 0.034, shade(CHROME, 0.55), GLOSSY)
    brush.disc((0, badge), 0.026, CHROME, GLOSSY)
    brush.disc((0, badge), 0.016, shade(paint, 0.35), GLOSSY)
    return brush.done()


def _lid(brush: Brush, kind: str, at: Heights, paint: Colour, edge: float) -> None:
    seam = shade(paint, 0.22)
    reach = at.lamp[0] + (0.05 if kind == "sedan" else 0.0)
    foot = at.bumper + 0.01
    if kind == "van":
        brush.line([(0, foot - 0.04), (0, at.roof + 0.08)], seam, 0.012)
        for y in (0.70, 1.22):
            brush.polygon(rounded(0.84, y, 0.93, y + 0.03, 0.006), PLASTIC, DULL, both=True)
        brush.polygon(rounded(0.05, 0.98, 0.10, 1.08, 0.01), PLASTIC, DULL)
        for x0, x1 in ((0.10, 0.72), (-0.72, -0.10)):
            panel = rounded(x0, 0.92, x1, 1.13, 0.04)
            brush.line(np.concatenate([panel, panel[:1]]), shade(paint, 0.80), 0.012, GLOSSY)
        return
    brush.line(
        [(reach - 0.01, foot), (reach, at.lamp[1]), (reach, at.lamp[3]), (edge, at.belt)], seam, 0.008, both=True
    )
    crease = at.belt - 0.055
    brush.line([(-reach, crease), (reach, crease)], shade(paint, 0.72), 0.012, GLOSSY)


def _window(brush: Brush, kind: str, at: Heights, edge: float, top: float) -> None:
    foot, head = at.belt + 0.025, at.roof - 0.01
    inner, upper = edge - 0.075, top - 0.045
    if kind == "van":
        brush.polygon(rounded(0.06, 1.20, 0.76, 1.66, 0.05), BLACK, SATIN, both=True)
        brush.polygon(rounded(0.09, 1.23, 0.73, 1.63, 0.04), GLASS, GLOSSY, both=True)
        return
    window = [(-inner, foot), (-upper, head), (upper, head), (inner, foot)]
    brush.polygon(window, BLACK, GLOSSY)
    inset = 0.025
    glass = [(-inner + 0.03, foot + inset), (-upper + 0.02, head - inset), (upper - 0.02, head - inset)]
    brush.polygon([*glass, (inner - 0.03, foot + inset)], GLASS, GLOSSY)
    _cabin(brush, foot + inset, head - inset, inner)
    if kind != "sedan":
        brush.line([(0.02, foot + 0.01), (-0.32, foot + 0.045)], BLACK, 0.016, DULL)
    brush.polygon(rounded(-0.13, head - 0.02, 0.13, head, 0.008), RED, SATIN, lamp=(0, 255, 0))


def _cabin(brush: Brush, foot: float, head: float, inner: float) -> None:
    """Head rests and the light of the far windows, seen faintly through the glass."""
    span = head - foot
    brush.polygon(
        rounded(-inner * 0.62, foot + span * 0.35, inner * 0.62, head - span * 0.16, 0.05), (52, 48, 44), GLOSSY
    )
    for x in (-0.36, 0.36):
        brush.polygon(rounded(x - 0.12, foot, x + 0.12, foot + span * 0.62, 0.05), (16, 15, 14), GLOSSY)
    brush.polygon(rounded(-inner * 0.8, foot, inner * 0.8, foot + span * 0.25, 0.04), (15, 14, 14), GLOSSY)


def _tail_lamps(brush: Brush, at: Heights) -> None:
    x0, y0, x1, y1 = at.lamp
    high, wide = y1 - y0, x1 - x0
    brush.polygon(rounded(x0 - 0.008, y0 - 0.008, x1 + 0.1, y1 + 0.008, 0.05), BLACK, GLOSSY, both=True)
    brush.polygon(rounded(x0, y0, x1 + 0.1, y1, 0.045), RED, GLOSSY, both=True, lamp=(70, 60, 0))
    if high > wide * 0.8:
        brush.polygon(
            rounded(x0 + 0.02, y0 + high * 0.55, x1, y1 - 0.02, 0.03), (46, 34, 178), GLOSSY, True, (210, 255, 0)
        )
        brush.polygon(rounded(x0 + 0.02, y0 + 0.02, x1, y0 + high * 0.26, 0.02), (150, 150, 160), GLOSSY, True)
        brush.polygon(rounded(x0 + 0.02, y0 + high * 0.3, x1, y0 + high * 0.5, 0.02), (40, 110, 190), GLOSSY, True)
    else:
        brush.polygon(
            rounded(x0 + wide * 0.45, y0 + 0.02, x1, y1 - 0.02, 0.03), (46, 34, 178), GLOSSY, True, (210, 255, 0)
        )
        brush.polygon(rounded(x0 + 0.03, y0 + 0.03, x0 + wide * 0.28, y1 - 0.05, 0.02), (150, 150, 160), GLOSSY, True)


def nose_skin(kind: str, shape: Shape, paint: Colour, plate: tuple[float, float]) -> Skin:
    """The front, seen from the front: bonnet edge, headlights, grille, bumper, windscreen."""
    at = HEIGHTS[kind]
    brush = Brush(-1.05, 1.05, paint)
    low = min(r[0] for r in shape.rings)
    edge, top = shape.at(at.belt + 0.02)[2], shape.at(at.roof)[2]
    lamp_y = at.belt - 0.30
    brush.polygon(rounded(-1.05, 0, 1.05, low + 0.09, 0.02), PLASTIC, DULL)
    brush.polygon(rounded(-0.60, low + 0.06, 0.60, low + 0.20, 0.05), BLACK, DULL)
    brush.polygon(rounded(0.62, low + 0.10, 0.80, low + 0.21, 0.04), BLACK, DULL, both=True)
    brush.disc((0.70, low + 0.155), 0.036, (170, 170, 172), GLOSSY)
    brush.disc((-0.70, low + 0.155), 0.036, (170, 170, 172), GLOSSY)
    grille = [(-0.46, lamp_y + 0.075), (0.46, lamp_y + 0.075), (0.38, lamp_y - 0.05), (-0.38, lamp_y - 0.05)]
    brush.polygon(grille, BLACK, DULL)
    for k in range(3):
        brush.line([(-0.42, lamp_y - 0.02 + 0.035 * k), (0.42, lamp_y - 0.02 + 0.035 * k)], (70, 70, 70), 0.008)
    brush.line([*grille, grille[0]], CHROME, 0.010, GLOSSY)
    brush.disc((0, lamp_y + 0.02), 0.05, CHROME, GLOSSY)
    brush.disc((0, lamp_y + 0.02), 0.036, shade(CHROME, 0.4), GLOSSY)
    eye = [
        (0.47, lamp_y - 0.055),
        (0.49, lamp_y + 0.065),
        (0.80, lamp_y + 0.125),
        (0.95, lamp_y + 0.13),
        (0.93, lamp_y - 0.02),
    ]
    brush.polygon(eye, (60, 58, 56), GLOSSY, both=True)
    for x in (0.60, 0.76):
        for side in (-1, 1):
            brush.disc((side * x, lamp_y + 0.03), 0.05, (205, 205, 205), GLOSSY)
    brush.lamps[..., 2] = 0
    for side in (-1, 1):
        spot = rounded(side * 0.68 - 0.14, lamp_y - 0.03, side * 0.68 + 0.14, lamp_y + 0.08, 0.05)
        cv2.fillPoly(brush.lamps, [brush.pixels(spot)], (0, 0, 255), cv2.LINE_AA, 4)
    seam_y = at.belt - 0.11
    brush.line([(-0.9, seam_y - 0.03), (-0.5, seam_y), (0.5, seam_y), (0.9, seam_y - 0.03)], shade(paint, 0.3), 0.008)
    foot, head = at.belt + 0.01, at.roof - 0.015
    brush.polygon([(-edge + 0.06, foot), (-top + 0.05, head), (top - 0.05, head), (edge - 0.06, foot)], GLASS, GLOSSY)
    _cabin(brush, foot + 0.02, head - 0.02, edge - 0.08)
    brush.line([(-0.55, foot + 0.015), (0.02, foot + 0.05)], BLACK, 0.014, DULL)
    width, height = plate
    holder = rounded(
        -width / 2 - 0.03,
        at.plate_front - height / 2 - 0.03,
        width / 2 + 0.03,
        at.plate_front + height / 2 + 0.03,
        0.015,
    )
    brush.polygon(holder, PLASTIC, DULL)
    return brush.done()


def side_skin(kind: str, shape: Shape, paint: Colour) -> Skin:
    """Either flank: windows, doors, wheels and their arches; the skin's x is the car's z."""
    at = HEIGHTS[kind]
    length = shape.length
    brush = Brush(-0.1, length + 0.1, paint)
    low = min(r[0] for r in shape.rings)
    seam = shade(paint, 0.25)
    brush.polygon(rounded(-0.1, 0, length + 0.1, low + 0.10, 0.01), PLASTIC, DULL)
    _side_windows(brush, kind, shape, at)
    doors = (shape.axles[0] + 0.42, (shape.axles[0] + shape.axles[1]) / 2 + 0.08, shape.axles[1] - 0.42)
    for z in doors:
        brush.line([(z, low + 0.1), (z, at.belt)], seam, 0.008)
    for z in doors[:2]:
        brush.polygon(rounded(z + 0.08, at.belt - 0.14, z + 0.26, at.belt - 0.11, 0.012), shade(paint, 0.6), GLOSSY)
    brush.line([(0.1, at.belt - 0.09), (length - 0.5, at.belt - 0.16)], shade(paint, 0.78), 0.014, GLOSSY)
    x0, y0, _, y1 = at.lamp
    brush.polygon(rounded(-0.1, y0, 0.30 if x0 < 0.6 else 0.24, y1, 0.04), RED, GLOSSY, lamp=(120, 120, 0))
    brush.polygon(rounded(length - 0.42, at.belt - 0.33, length, at.belt - 0.19, 0.05), (150, 150, 150), GLOSSY)
    for axle in shape.axles:
        _side_wheel(brush, axle, shape.wheel_radius)
    return brush.done()


def _side_windows(brush: Brush, kind: str, shape: Shape, at: Heights) -> None:
    rear_low, front_low, _ = shape.at(at.belt + 0.03)
    rear_top, front_top, _ = shape.at(at.roof - 0.02)
    first = 2.5 if kind == "van" else rear_low + 0.32
    first_top = 2.5 if kind == "van" else rear_top + 0.24
    outline = [(first, at.belt + 0.02), (first_top, at.roof - 0.03), (front_top - 0.12, at.roof - 0.03)]
    brush.polygon([*outline, (front_low - 0.34, at.belt + 0.02)], GLASS, GLOSSY)
    if kind == "van":
        return
    middle = (shape.axles[0] + shape.axles[1]) / 2 + 0.08
    for z in (middle, shape.axles[0] + 0.34):
        brush.line([(z, at.belt), (z - 0.06, at.roof)], BLACK, 0.06, SATIN)
    brush.line([(first, at.belt + 0.015), (front_low - 0.3, at.belt + 0.015)], CHROME, 0.012, GLOSSY)


def _side_wheel(brush: Brush, axle: float, radius: float) -> None:
    hub = (axle, radius)
    brush.disc(hub, radius + 0.07, BLACK, 0)
    brush.disc(hub, radius, TYRE, 10)
    brush.disc(hub, radius * 0.68, (70, 70, 70), SATIN)
    brush.disc(hub, radius * 0.64, (36, 36, 36), SATIN)
    for k in range(5):
        turn = 2 * np.pi * k / 5 + 0.3
        tip = (axle + radius * 0.6 * np.cos(turn), radius + radius * 0.6 * np.sin(turn))
        brush.line([hub, tip], (158, 158, 156), radius * 0.17, SATIN)
    brush.disc(hub, radius * 0.14, (120, 120, 120), SATIN)
