"""What stands beside the road: trees, lamp posts and the traffic lights at the stop line."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.drive import street
from training.drive.strips import Image
from training.drive.view import FOCAL_PX, HEIGHT, WIDTH, Array, Camera

HAZE = (186.0, 180.0, 178.0)
POSTS = tuple((side * 5.5, z) for z in (4.0, 27.0, 46.0, 106.0, 130.0, 154.0, 178.0) for side in (-1, 1))
POST_TALL_M, ARM_M = 6.6, 1.3
SIGNALS = ((-5.0, street.STOP_LINE + 1), (5.0, street.STOP_LINE + 1))
LAMP_COLOUR = np.array((0.55, 0.85, 1.0), np.float32)
STOP_COLOUR = np.array((0.05, 0.08, 1.0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree beside the road, `tall` metres high, seen as one of the painted pictures."""

    x: float
    z: float
    tall: float
    picture: int
    flip: bool


def plant(rng: np.random.Generator, k: int) -> Tree:
    """Tree number k: odd ones on the left."""
    side = -1 if k % 2 else 1
    z = 8.0 * (k // 2) + rng.uniform(0, 4) + 6
    return Tree(side * rng.uniform(6.9, 8.0), z, rng.uniform(5.5, 8.5), int(rng.integers(3)), bool(rng.integers(2)))


def draw_tree(frame: Image, camera: Camera, tree: Tree, pictures: list[Image], smear: float) -> None:
    """Lay a tree on `frame`; `pictures` are one tree in falling sizes, `smear` the way during the exposure in m."""
    ends, depth = camera.project(np.array([[tree.x, 0.0, tree.z], [tree.x, tree.tall, tree.z]]))
    tall = float(ends[0, 1] - ends[1, 1])
    picture = next((p for p in reversed(pictures) if p.shape[0] >= tall), pictures[0])
    wide = tall * picture.shape[1] / picture.shape[0]
    x0, y0 = round(ends[1, 0] - wide / 2), round(ends[1, 1])
    size = (max(2, round(wide)), max(2, round(tall)))
    if x0 >= WIDTH or x0 + size[0] <= 0 or y0 >= HEIGHT:
        return
    small = cv2.resize(picture[:, ::-1] if tree.flip else picture, size, interpolation=cv2.INTER_AREA)
    blur = round(abs(tree.x - camera.position[0]) * FOCAL_PX * smear / float(depth[0]) ** 2)
    if blur > 1:
        small = cv2.blur(small, (blur, 1))
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + size[0], WIDTH), min(y0 + size[1], HEIGHT)
    piece = small[top - y0 : bottom - y0, left - x0 : right - x0].astype(np.float32)
    target = frame[top:bottom, left:right]
    alpha = piece[..., 3:] / 255
    veil = 1 - float(np.exp(-float(depth[0]) / 300))
    colour = piece[..., :3] * (1 - veil) + np.array(HAZE, np.float32) * veil * alpha
    target[:] = (colour + target * (1 - alpha)).astype(np.uint8)


def draw_posts(frame: Image, camera: Camera, first: float, last: float) -> None:
    """Poles of lamps and traffic lights that stand between two places along the road."""
    for x, z in POSTS:
        if first < z < last:
            _pole(
                frame, camera, [(x, 0, z), (x, POST_TALL_M, z), (x - np.sign(x) * ARM_M, POST_TALL_M + 0.15, z)], 0.07
            )
    for x, z in SIGNALS:
        if first < z < last:
            _pole(frame, camera, [(x, 0, z), (x, 2.4, z)], 0.06)
            _pole(frame, camera, [(x, 2.3, z), (x, 3.2, z)], 0.17)


def _pole(frame: Image, camera: Camera, points: list[tuple[float, float, float]], radius: float) -> None:
    pixels, depth = camera.project(np.array(points, float))
    if depth.min() < 2:
        return
    thick = max(1, round(2 * radius * FOCAL_PX / float(depth[0])))
    cv2.polylines(frame, [np.round(pixels * 16).astype(np.int32)], False, (46, 44, 42), thick, cv2.LINE_AA, 4)


def light_lamps(picture: Array, camera: Camera, brightness: float, sees_beyond: bool) -> None:
    """Add the light of lamps to a linear picture; `sees_beyond` the tunnel or only up to it."""
    for x, z in POSTS:
        if (z > street.TUNNEL[1]) == sees_beyond:
            _glow(picture, camera, (x - np.sign(x) * ARM_M, POST_TALL_M + 0.1, z), 0.16, LAMP_COLOUR * brightness)
    for x, z in SIGNALS if sees_beyond else ():
        _glow(picture, camera, (x, 3.02, z), 0.10, STOP_COLOUR * 5)


def _under_roof(camera: Camera, at: tuple[float, float, float]) -> bool:
    """Whether the tunnel's ceiling hides that point from a camera inside or before the tunnel."""
    way_out = street.TUNNEL[1] - float(camera.position[2])
    if way_out < 0 or at[2] < street.TUNNEL[1]:
        return False
    height = float(camera.position[1])
    return height + (at[1] - height) * way_out / (at[2] - float(camera.position[2])) > street.TUNNEL_HIGH


def _glow(picture: Array, camera: Camera, at: tuple[float, float, float], radius: float, light: Array) -> None:
    pixels, depth = camera.project(np.array([at], float))
    x, y = (float(v) for v in pixels[0])
    reach = radius * FOCAL_PX / max(float(depth[0]), 0.1)
    if (
        depth[0] < 3
        or depth[0] > 160
        or _under_roof(camera, at)
        or not (-20 < x < WIDTH + 20 and -20 < y < HEIGHT + 20)
    ):
        return
    pad = int(np.ceil(reach)) + 2
    x0, x1 = (int(np.clip(x + d, 0, WIDTH)) for d in (-pad, pad + 1))
    y0, y1 = (int(np.clip(y + d, 0, HEIGHT)) for d in (-pad, pad + 1))
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    disc = np.clip(reach + 0.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
    picture[y0:y1, x0:x1] += disc * light
