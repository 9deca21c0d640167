"""Long painted planes (road, house fronts, tunnel walls) seen in perspective, sharp near and calm far away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drive.view import FOCAL_PX, HEIGHT, WIDTH, Camera

Image = NDArray[np.uint8]
Haze = tuple[float, float, float]
BANDS_M = (0.7, 3.0, 4.5, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100, 140, 200, 300)
HAZE_M = 420.0


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A picture (H, W, 3 or 4) uint8 on the plane origin + a*u + b*v (metres), `density` pixels a metre.

    Columns run along `u`; row 0 lies at b = 0. With four channels the last one is coverage.
    """

    image: Image
    origin: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]
    density: float
    along: bool = True
    """True where `u` runs along the road: such a strip is drawn in bands of distance."""
    small: dict[tuple[int, int], Image] = field(default_factory=dict)

    def level(self, columns: int, rows: int) -> Image:
        """The picture shrunk by 2**columns along u and 2**rows along v."""
        key = (columns, rows)
        if key not in self.small:
            height, width = self.image.shape[:2]
            size = (max(1, width >> columns), max(1, height >> rows))
            self.small[key] = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return self.small[key]


def draw_strip(frame: Image, strip: Strip, camera: Camera, smear_m: float, haze: Haze | None) -> None:
    """Draw on `frame` (HEIGHT, WIDTH, 3) uint8; `smear_m` is the way travelled while the shutter was open."""
    for near, far in _bands(strip, camera):
        _draw_band(frame, strip, camera, (near, far, smear_m), haze)


def _bands(strip: Strip, camera: Camera) -> Iterator[tuple[float, float]]:
    length = strip.image.shape[1] / strip.density
    if not strip.along:
        yield 0.0, length
        return
    start = float(camera.position[2]) - strip.origin[2]
    for near, far in zip(reversed(BANDS_M[:-1]), reversed(BANDS_M[1:]), strict=True):
        low, high = max(near + start, 0.0), min(far + start, length)
        if high - low > 0.02:
            yield low, high


def _shrink(metres: float, density: float) -> int:
    """How often to halve so that a texel is about `metres` wide."""
    return int(np.clip(np.floor(np.log2(max(metres * density, 1.0)) + 0.35), 0, 7))


def _draw_band(frame: Image, strip: Strip, camera: Camera, band: tuple[float, float, float], haze: Haze | None) -> None:
    low, high, smear_m = band
    origin, u, v = (np.array(a, float) for a in (strip.origin, strip.u, strip.v))
    tall = strip.image.shape[0] / strip.density
    corners = np.stack([origin + a * u + b * v for a in (low, high) for b in (0.0, tall)])
    pixels, depth = camera.project(corners)
    if depth.max() < 0.5:
        return
    roi = _roi(pixels, bool(depth.min() < 0.5))
    if roi is None:
        return
    x0, y0, width, height = roi
    distance = max(float(np.sort(depth)[:2].mean()), 0.7)
    across = distance / FOCAL_PX
    shift = abs(float((origin - camera.position) @ np.cross(u, v))) if strip.along else distance
    along = max(distance * across / max(shift, 0.5), smear_m) if strip.along else across
    levels = _shrink(along, strip.density), _shrink(across, strip.density)
    picture = strip.level(*levels)
    fine = picture.shape[1] / strip.image.shape[1] * strip.density
    up = picture.shape[0] / strip.image.shape[0] * strip.density
    first, last = max(0, int(low * fine) - 2), min(picture.shape[1], int(high * fine) + 3)
    to_plane = np.array([[1 / fine, 0, (first + 0.5) / fine], [0, 1 / up, 0.5 / up], [0, 0, 1]])
    to_roi = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
    matrix = to_roi @ camera.homography(origin, u, v) @ to_plane
    piece = picture[:, first:last]
    if piece.shape[2] == 3:
        piece = cv2.cvtColor(piece, cv2.COLOR_BGR2BGRA)
    warped = cv2.warpPerspective(np.ascontiguousarray(piece), matrix, (width, height), flags=cv2.INTER_LINEAR)
    veil = 1 - float(np.exp(-distance / HAZE_M)) if haze else 0.0
    _blend(frame[y0 : y0 + height, x0 : x0 + width], warped, veil, haze or (0, 0, 0))


def _roi(pixels: NDArray[np.float64], behind: bool) -> tuple[int, int, int, int] | None:
    if behind:
        return 0, 0, WIDTH, HEIGHT
    x0, y0 = (int(a) for a in np.clip(np.floor(pixels.min(axis=0)) - 2, 0, (WIDTH, HEIGHT)))
    x1, y1 = (int(a) for a in np.clip(np.ceil(pixels.max(axis=0)) + 3, 0, (WIDTH, HEIGHT)))
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def _blend(target: Image, warped: Image, veil: float, haze: Haze | None) -> None:
    colour, cover = warped[..., :3], warped[..., 3]
    if veil > 0.01:
        colour = cv2.addWeighted(colour, 1 - veil, np.full_like(colour, haze), veil, 0)
    partial = (cover > 0) & (cover < 255)
    cv2.copyTo(colour, (cover == 255).astype(np.uint8), target)
    share = cover[partial, None].astype(np.float32) / 255
    # a warp over the edge mixes with black: undo it, then lay the colour over
    clean = np.minimum(colour[partial] / np.maximum(share, 0.05), 255) if veil <= 0.01 else colour[partial]
    target[partial] = (clean * share + target[partial] * (1 - share)).astype(np.uint8)
