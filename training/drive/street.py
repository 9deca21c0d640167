"""Paints the street: road, house fronts, tunnel, sky, trees. All from one seed; sRGB, unlit, metres."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drive.strips import Image, Strip

ROAD_FROM, ROAD_TO, ROAD_HALF = -8.0, 330.0, 13.0
TUNNEL = (52.0, 98.0)
TUNNEL_HALF, TUNNEL_HIGH = 5.6, 4.9
STOP_LINE = 142.0
ROAD_DENSITY, WALL_DENSITY = 40.0, 28.0
BAYS = (17.0, 29.0)
"""Where cars park slantwise on the right."""
Rng = np.random.Generator


def noise(rng: Rng, size: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.float32]:
    """Smooth noise around 0, (rows, columns), with that many cells along each."""
    coarse = rng.standard_normal((cells[0] + 1, cells[1] + 1)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


class Canvas:
    """A picture in metres: a along the columns, b along the rows."""

    def __init__(self, image: Image, density: float, start: tuple[float, float]) -> None:
        self.image, self.density, self.start = image, density, start

    def box(self, a: tuple[float, float], b: tuple[float, float], colour: tuple[int, ...], share: float = 1.0) -> None:
        (x0, x1), (y0, y1) = (
            sorted(round((v - s) * self.density) for v in pair) for pair, s in zip((a, b), self.start, strict=True)
        )
        piece = self.image[max(y0, 0) : max(y1, y0 + 1, 0), max(x0, 0) : max(x1, x0 + 1, 0)]
        piece[:] = (piece * (1 - share) + np.array(colour) * share).astype(np.uint8)

    def line(self, points: list[tuple[float, float]], colour: tuple[int, ...], width: float) -> None:
        pixels = np.round((np.array(points) - self.start) * self.density * 16).astype(np.int32)
        cv2.polylines(self.image, [pixels], False, colour, max(1, round(width * self.density)), cv2.LINE_AA, 4)


def road(rng: Rng) -> Strip:
    """Carriageway, markings, kerbs and pavements; b runs from left to right."""
    size = (int(2 * ROAD_HALF * ROAD_DENSITY), int((ROAD_TO - ROAD_FROM) * ROAD_DENSITY))
    grain = rng.standard_normal(size).astype(np.float32)
    grey = (
        96 + 5 * noise(rng, size, (6, 90)) + 3 * noise(rng, size, (40, 700)) + 5 * cv2.GaussianBlur(grain, (0, 0), 0.9)
    )
    across = (np.arange(size[0], dtype=np.float32) / ROAD_DENSITY - ROAD_HALF)[:, None]
    for centre in (-3.0, 0.0, 3.0):
        for wheel in (-0.75, 0.75):
            grey -= 6 * np.exp(-(((across - centre - wheel) / 0.28) ** 2))
        grey -= 5 * np.exp(-(((across - centre) / 0.3) ** 2))
    image = np.clip(grey[..., None] * np.array((1.02, 1.0, 0.985), np.float32), 0, 255).astype(np.uint8)
    canvas = Canvas(image, ROAD_DENSITY, (ROAD_FROM, -ROAD_HALF))
    _patches(canvas, rng)
    _pavements(canvas, rng)
    _markings(canvas)
    wear = 1 - 0.10 * np.clip(noise(rng, size, (30, 500)), 0, 2)
    image[:] = np.clip(image * wear[..., None], 0, 255).astype(np.uint8)
    _tunnel_light(image)
    return Strip(image, (-ROAD_HALF, 0.0, ROAD_FROM), (0, 0, 1), (1, 0, 0), ROAD_DENSITY)


def _patches(canvas: Canvas, rng: Rng) -> None:
    for _ in range(46):
        z, x = rng.uniform(ROAD_FROM, ROAD_TO), rng.uniform(-4.5, 4.0)
        shade = int(rng.choice([62, 70, 98]))
        canvas.box((z, z + rng.uniform(0.8, 5)), (x, x + rng.uniform(0.4, 1.4)), (shade + 1, shade, shade - 1), 0.6)
    for _ in range(70):
        z, x = rng.uniform(ROAD_FROM, ROAD_TO), rng.uniform(-4.8, 4.6)
        points = [(z, x)]
        for _ in range(9):
            z, x = z + rng.uniform(0.1, 0.6), x + rng.normal(0, 0.14)
            points.append((z, x))
        canvas.line(points, (50, 50, 49), 0.03)
    for z, x in ((9.0, -0.5), (33.0, 0.9), (47.0, -2.6), (108.0, 0.6), (122.0, -2.9), (136.0, 0.2)):
        pixels = np.round((np.array([z, x]) - canvas.start) * canvas.density).astype(int)
        cv2.circle(canvas.image, (int(pixels[0]), int(pixels[1])), 13, (56, 55, 54), -1, cv2.LINE_AA)
        cv2.circle(canvas.image, (int(pixels[0]), int(pixels[1])), 10, (70, 69, 68), 2, cv2.LINE_AA)


def _pavements(canvas: Canvas, rng: Rng) -> None:
    for inner, outer in ((4.75, ROAD_HALF), (-4.75, -ROAD_HALF)):
        canvas.box((ROAD_FROM, ROAD_TO), (inner, outer), (116, 120, 122), 0.9)
        side = np.sign(inner)
        for z in np.arange(ROAD_FROM, ROAD_TO, 0.6):
            canvas.box((z, z + 0.025), (inner, inner + side * 4.3), (92, 95, 97), 0.7)
        for x in np.arange(0.6, 4.3, 0.6):
            canvas.box((ROAD_FROM, ROAD_TO), (inner + side * x, inner + side * (x + 0.025)), (92, 95, 97), 0.7)
        canvas.box((ROAD_FROM, ROAD_TO), (inner - side * 0.35, inner - side * 0.15), (62, 62, 61), 0.7)
        canvas.box((ROAD_FROM, ROAD_TO), (inner - side * 0.15, inner + side * 0.05), (150, 154, 156))
        for z in np.arange(ROAD_FROM, ROAD_TO, 1.0):
            canvas.box((z, z + 0.03), (inner - side * 0.15, inner + side * 0.05), (96, 98, 99))
    canvas.box(BAYS, (4.2, 7.2), (80, 79, 78))
    canvas.box((BAYS[0], BAYS[1]), (7.2, 7.4), (150, 154, 156))
    for z in np.arange(BAYS[0], BAYS[1] + 0.1, 3.0):
        canvas.line([(z, 1.75), (z + 3.0, 6.9)], (190, 192, 192), 0.10)


def _markings(canvas: Canvas) -> None:
    white = (205, 208, 208)
    for z in np.arange(ROAD_FROM, 46, 4.5):
        canvas.box((z, z + 2.6), (-1.02, -0.90), white, 0.85)
    canvas.box((ROAD_FROM, 44), (1.72, 1.82), white, 0.55)
    for side in (-1.5, 1.5):
        for z in np.arange(47, STOP_LINE - 12, 6.0):
            canvas.box((z, z + 3.0), (side - 0.06, side + 0.06), white, 0.9)
        canvas.box((STOP_LINE - 12, STOP_LINE), (side - 0.06, side + 0.06), white, 0.9)
        for z in np.arange(STOP_LINE + 22, ROAD_TO, 6.0):
            canvas.box((z, z + 3.0), (side - 0.06, side + 0.06), white, 0.9)
    for side in (-4.45, 4.45):
        canvas.box((46, STOP_LINE), (side - 0.05, side + 0.05), white, 0.6)
    canvas.box((STOP_LINE, STOP_LINE + 0.45), (-4.4, 4.4), white, 0.9)
    for x in np.arange(-4.4, 4.4, 0.9):
        canvas.box((STOP_LINE + 2, STOP_LINE + 5), (x, x + 0.45), white, 0.9)


def _tunnel_light(image: Image) -> None:
    """Darken the road inside the tunnel, with pools of light under the lamps."""
    z = np.arange(image.shape[1], dtype=np.float32) / ROAD_DENSITY + ROAD_FROM
    image[:] = (image * tunnel_gain(z)[None, :, None]).astype(np.uint8)


def tunnel_share(z: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """0 under open sky, 1 inside the tunnel, soft at its mouths."""
    rise = np.clip((np.asarray(z, np.float32) - TUNNEL[0] + 2) / 7, 0, 1)
    fall = np.clip((TUNNEL[1] + 2 - np.asarray(z, np.float32)) / 7, 0, 1)
    return np.asarray(np.minimum(rise, fall) ** 0.7, np.float32)


def tunnel_gain(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB factor of the light on the road at z."""
    pools = 0.45 + 0.06 * np.cos(2 * np.pi * (z - TUNNEL[0]) / 4.0)
    share = tunnel_share(z)
    return np.asarray(1 + (pools - 1) * share, np.float32)


def tunnel(rng: Rng) -> list[Strip]:
    """Walls and ceiling with lamps, lit as they are inside, and the front of the mouth."""
    density, length = WALL_DENSITY, TUNNEL[1] - TUNNEL[0]
    strips = []
    for side in (-1, 1):
        size = (int(TUNNEL_HIGH * density), int(length * density))
        shade = np.linspace(86, 60, size[0], dtype=np.float32)[:, None] + 4 * noise(rng, size, (8, 60))
        wall = np.clip(shade[..., None] * np.array((0.88, 1.0, 1.02), np.float32), 0, 255).astype(np.uint8)
        canvas = Canvas(wall, density, (0.0, 0.0))
        for z in np.arange(0, length, 2.0):
            canvas.box((z, z + 0.05), (0, TUNNEL_HIGH), (38, 42, 44))
        for y in (1.2, 2.4, 3.6):
            canvas.box((0, length), (y, y + 0.05), (40, 44, 46), 0.8)
        canvas.box((0, length), (TUNNEL_HIGH - 0.9, TUNNEL_HIGH), (46, 48, 50), 0.7)
        canvas.box((0, length), (TUNNEL_HIGH - 1.05, TUNNEL_HIGH - 0.9), (96, 110, 116), 0.7)
        strips.append(Strip(wall, (side * TUNNEL_HALF, TUNNEL_HIGH, TUNNEL[0]), (0, 0, 1), (0, -1, 0), density))
    size = (int(2 * TUNNEL_HALF * density), int(length * density))
    ceiling = np.clip((44 + 3 * noise(rng, size, (10, 50)))[..., None] * np.array((0.9, 1, 1.02)), 0, 255).astype(
        np.uint8
    )
    canvas = Canvas(ceiling, density, (0.0, 0.0))
    for z in np.arange(0.6, length - 1, 4.0):
        for x in (-2.6, 2.6):
            canvas.box((z - 0.6, z + 2.8), (x + TUNNEL_HALF - 0.5, x + TUNNEL_HALF + 0.5), (96, 108, 112), 0.6)
            canvas.box((z, z + 2.2), (x + TUNNEL_HALF - 0.16, x + TUNNEL_HALF + 0.16), (228, 250, 255))
    strips.append(Strip(ceiling, (-TUNNEL_HALF, TUNNEL_HIGH, TUNNEL[0]), (0, 0, 1), (1, 0, 0), density))
    return strips


def mouth(rng: Rng) -> Strip:
    """The wall with the hole through which the road enters the tunnel; row 0 is 9.6 m above the road."""
    density, half, tall = 40.0, 16.0, 9.6
    size = (int(tall * density), int(2 * half * density))
    grey = 104 + 5 * noise(rng, size, (8, 30)) + 2 * rng.standard_normal(size).astype(np.float32)
    image = np.dstack([np.clip(grey[..., None] * (1.0, 1.0, 0.99), 0, 255), np.full(size, 255)]).astype(np.uint8)
    canvas = Canvas(image, density, (-half, 0.0))
    for x in np.arange(-half, half, 2.4):
        canvas.box((x, x + 0.05), (0, tall), (70, 71, 72, 255), 0.7)
    canvas.box((-half, half), (0, 0.5), (126, 128, 130, 255))
    canvas.box((-half, half), (0.5, 0.62), (52, 53, 54, 255))
    for x in rng.uniform(-half, half, 26):
        canvas.box((x, x + 0.25), (0.6, rng.uniform(1.5, 4)), (70, 72, 72, 255), 0.25)
    top = tall - TUNNEL_HIGH
    canvas.box((-TUNNEL_HALF - 0.5, TUNNEL_HALF + 0.5), (top - 0.5, tall), (134, 137, 138, 255))
    canvas.box((-TUNNEL_HALF, TUNNEL_HALF), (top, tall), (0, 0, 0, 0))
    return Strip(image, (-half, tall, TUNNEL[0]), (1, 0, 0), (0, -1, 0), density, along=False)


def sky(rng: Rng) -> Image:
    """A far picture, (560, 1800, 3) uint8, its horizon at row 470: sky, clouds, roofs and trees."""
    height, width, horizon = 560, 1800, 470
    level = np.clip(1 - np.arange(height, dtype=np.float32) / horizon, 0, 1)[:, None, None] ** 0.8
    low, high = np.array((196, 206, 222), np.float32), np.array((176, 140, 112), np.float32)
    image = np.broadcast_to(low + (high - low) * level, (height, width, 3)).copy()
    cloud = sum(noise(rng, (height, width), (6 * k, 7 * k)) / k for k in (1, 2, 4, 8))
    veil = np.clip((cloud - 0.2) * 0.5, 0, 0.75)[..., None]
    image = image * (1 - veil) + np.array((206, 204, 208), np.float32) * veil
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    for depth, (tone, low_m, high_m) in enumerate((((172, 168, 166), 40, 88), ((140, 138, 136), 20, 64))):
        x = 0
        while x < width:
            wide = int(rng.uniform(18, 60))
            tall = int(rng.uniform(low_m, high_m))
            pixels[horizon - tall : horizon + 20, x : x + wide] = tone
            if depth:
                lit = rng.random((tall // 7 + 1, wide // 6 + 1)) < 0.25
                for r, c in zip(*np.nonzero(lit), strict=True):
                    pixels[horizon - tall + 3 + 7 * r : horizon - tall + 6 + 7 * r, x + 2 + 6 * c : x + 4 + 6 * c] = (
                        150, 176, 192,
                    )  # fmt: skip
            x += wide + int(rng.uniform(0, 14))
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)


def tree(rng: Rng) -> Image:
    """A tree, (640, 512, 4) uint8, its foot at the middle of the lower edge; 7 m tall."""
    height, width = 640, 512
    image = np.zeros((height, width, 4), np.uint8)
    cv2.line(image, (256, 640), (252, 380), (36, 42, 50, 255), 22, cv2.LINE_AA)
    for _ in range(9):
        tip = (int(rng.uniform(110, 400)), int(rng.uniform(90, 330)))
        cv2.line(image, (254, int(rng.uniform(360, 440))), tip, (34, 40, 46, 255), 7, cv2.LINE_AA)
    for _ in range(5200):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.random() ** 0.5
        x, y = 256 + 205 * reach * np.cos(angle), 205 + 185 * reach * np.sin(angle)
        if noise_at(x, y) < -0.35:
            continue
        light = 0.75 + 0.5 * (1 - y / 420) + 0.25 * (256 - x) / 256 + rng.normal(0, 0.2)
        colour = np.array((34, 66, 56)) * light
        cv2.circle(
            image, (int(x), int(y)), int(rng.uniform(3, 8)), (*(float(c) for c in colour), 255.0), -1, cv2.LINE_AA
        )
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.8), np.uint8)


def halvings(image: Image) -> list[Image]:
    """A picture and smaller ones of it, each half as wide."""
    sizes = [image]
    while min(sizes[-1].shape[:2]) > 48:
        sizes.append(np.asarray(cv2.resize(sizes[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8))
    return sizes


def noise_at(x: float, y: float) -> float:
    """Gaps in the crown of a tree."""
    return float(np.sin(x * 0.043 + 1.3) * np.cos(y * 0.051) + 0.6 * np.sin(x * 0.11 + y * 0.09))
