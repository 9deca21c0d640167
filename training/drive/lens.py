"""What optics and the sensor do: smear, glare, vignette, tone, noise; and the sharp warp of a plate."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drive.shading import LINEAR, Layer
from training.drive.strips import Image
from training.drive.view import HEIGHT, WIDTH, Array

FINE = 4
"""Samples a pixel, along x and along y, of a plate."""
TONES = 4096


def clip_box(points: NDArray[np.float64], margin: int = 2) -> tuple[int, int, int, int] | None:
    """The part of the frame around some pixels: x, y, width, height."""
    x0, y0 = (int(v) for v in np.clip(np.floor(points.min(axis=0)) - margin, 0, (WIDTH, HEIGHT)))
    x1, y1 = (int(v) for v in np.clip(np.ceil(points.max(axis=0)) + margin + 1, 0, (WIDTH, HEIGHT)))
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def warp_plate(art: Image, quad: NDArray[np.float64]) -> Layer | None:
    """The plate `art` laid on `quad` (4, 2) without jagged edges: linear light, premultiplied."""
    box = clip_box(quad)
    if box is None:
        return None
    x0, y0, width, height = box
    wide = max(np.hypot(*(quad[1] - quad[0])), 1.0)
    shrink = max(wide * FINE / art.shape[1], 1e-3)
    if shrink < 1:
        art = cv2.resize(art, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    rows, columns = art.shape[:2]
    sheet = np.dstack([LINEAR[art], np.ones((rows, columns), np.float32)])
    source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32) - 0.5
    target = ((quad - (x0, y0) + 0.5) * FINE - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    fine = cv2.warpPerspective(sheet, matrix, (width * FINE, height * FINE), flags=cv2.INTER_LINEAR)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return Layer(small[..., :3], small[..., 3], x0, y0)


def quad_mask(quad: NDArray[np.float64]) -> Array:
    """Coverage of a quad over the whole frame, (HEIGHT, WIDTH) float32."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.round(quad * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask.astype(np.float32)


def share_inside(quad: NDArray[np.float64]) -> float:
    """The share of a quad's area that lies inside the frame."""
    frame = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    whole = quad.astype(np.float32)
    return float(cv2.intersectConvexConvex(frame, whole)[0]) / max(float(cv2.contourArea(whole)), 1e-6)


def smear(layer: Layer, way: NDArray[np.float64]) -> Layer:
    """Motion blur along `way`, pixels (2,), centred."""
    reach = float(np.hypot(*way))
    if reach < 0.5:
        return layer
    pad = int(np.ceil(reach / 2)) + 1
    left, top = min(pad, layer.x), min(pad, layer.y)
    height, width = layer.alpha.shape
    right, bottom = min(pad, WIDTH - layer.x - width), min(pad, HEIGHT - layer.y - height)
    sheet = cv2.copyMakeBorder(
        np.dstack([layer.bgr, layer.alpha]), top, bottom, left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0)
    )
    kernel = np.zeros((2 * pad + 1, 2 * pad + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * pad + 5):
        x, y = pad + share * way[0], pad + share * way[1]
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            kernel[int(y) + dy, int(x) + dx] += abs(1 - dx - x % 1) * abs(1 - dy - y % 1)
    blurred = cv2.filter2D(sheet, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return Layer(blurred[..., :3], blurred[..., 3], layer.x - left, layer.y - top)


def _vignette() -> Array:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    reach = ((x - WIDTH / 2) / (WIDTH / 2)) ** 2 + ((y - HEIGHT / 2) / (WIDTH / 2)) ** 2
    return np.asarray((1 - 0.26 * reach)[..., None], np.float32)


VIGNETTE = _vignette()


def expose(picture: Array, gain: float, turn_px: float) -> Array:
    """Linear light behind the lens: soft focus, shake, glare of lamps, vignette, gain."""
    if abs(turn_px) > 0.7:
        picture = cv2.blur(picture, (1, max(2, round(abs(turn_px)))))
    picture = cv2.GaussianBlur(picture, (3, 3), 0.55) * np.float32(gain)
    small = cv2.resize(picture, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    bright = np.minimum(np.maximum(small - 0.85, 0), 4)
    glare = 0.40 * cv2.GaussianBlur(bright, (0, 0), 2.2) + 0.30 * cv2.GaussianBlur(bright, (0, 0), 9)
    picture += cv2.resize(glare, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(picture * VIGNETTE, np.float32)


def _curve() -> Array:
    x = np.arange(TONES, dtype=np.float32) / TONES * 2
    return np.asarray(
        255 * np.minimum(np.where(x < 0.6, x, 0.6 + 0.4 * np.tanh((x - 0.6) / 0.4)), 1) ** (1 / 2.2), np.float32
    )


CURVE = _curve()


@lru_cache(maxsize=1)
def _grains() -> tuple[Array, ...]:
    """A few sheets of noise, larger than a frame, about 1 grey level strong: grain in luma, blots in colour."""
    rng = np.random.default_rng(5)
    high, wide = HEIGHT + 64, WIDTH + 64
    sheets = []
    for _ in range(4):
        colour = cv2.resize(rng.standard_normal((high // 2, wide // 2, 3), np.float32), (wide, high))
        sheets.append(np.asarray(0.6 * colour + rng.standard_normal((high, wide, 1), np.float32), np.float32))
    return tuple(sheets)


def develop(picture: Array, rng: np.random.Generator, noise: float) -> Image:
    """Linear light to BGR uint8 with sensor noise of about `noise` grey levels."""
    toned = CURVE[np.clip(picture * (TONES / 2), 0, TONES - 1).astype(np.int16)]
    sheet = _grains()[rng.integers(4)]
    y, x = rng.integers(64, size=2)
    toned += np.float32(noise) * sheet[y : y + HEIGHT, x : x + WIDTH]
    bonnet(toned)
    return np.clip(toned, 0, 255).astype(np.uint8)


def bonnet(toned: Array) -> None:
    """The edge of the camera car's own bonnet along the lower border."""
    x = np.arange(WIDTH, dtype=np.float32)
    edge = HEIGHT - 24 + 20 * ((x - WIDTH * 0.47) / (WIDTH / 2)) ** 2
    depth = np.arange(HEIGHT - 40, HEIGHT, dtype=np.float32)[:, None] - edge
    cover = np.clip(depth + 0.5, 0, 1)[..., None]
    gloss = 26 + 40 * np.exp(-depth / 6)
    level = float(np.clip(toned[::16, ::16].mean() / 120, 0.25, 1))
    strip = toned[HEIGHT - 40 :]
    strip *= 1 - cover
    strip += cover * (gloss * level)[..., None] * np.array((1.05, 1, 0.97), np.float32)
