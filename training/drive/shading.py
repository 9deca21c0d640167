"""Draws a car's mesh: triangle numbers first (far to near), then light on the pixels that are seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drive.brush import LEVELS, SCALE, TALL, Skin
from training.drive.mesh import FRONT, PLAIN, REAR, SIDE, WHEEL, Mesh
from training.drive.view import FOCAL_PX, HEIGHT, WIDTH, Array, Camera, Light

NEAREST_M = 0.4
LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
"""sRGB bytes to linear light."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A painted kind of car."""

    mesh: Mesh
    skins: dict[int, Skin]
    paint: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Lamps:
    """How bright lamps are, linear, 1 is white paper in the sun."""

    tail: float = 0.0
    brake: float = 0.0
    head: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where a car stands: its tail's middle on the road (x, z) and its heading in radians, right of ahead."""

    x: float
    z: float
    heading: float = 0.0

    def world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Car axes -> world axes, (N, 3)."""
        return self.turn(points) + np.array((self.x, 0.0, self.z))

    def turn(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions from car axes to world axes."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        return vectors @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A piece of picture: premultiplied linear `bgr` (h, w, 3) and `alpha` (h, w), its corner at (x, y)."""

    bgr: Array
    alpha: Array
    x: int
    y: int


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A car before a camera: its vertices in the world (V, 3), in pixels (V, 2) and their depths (V,)."""

    model: Model
    pose: Pose
    camera: Camera
    vertices: NDArray[np.float64]
    pixels: NDArray[np.float64]
    depth: NDArray[np.float64]


def draw_car(model: Model, pose: Pose, camera: Camera, light: Light, lamps: Lamps) -> Layer | None:
    """The car as a layer, or None where it is out of sight. Outlines are sampled twice as fine as pixels.

    Small cars are lit at the fine samples too; on big ones a pixel is lit once.
    """
    vertices = pose.world(model.mesh.vertices)
    pixels, depth = camera.project(vertices)
    roi = _region(pixels[depth > NEAREST_M])
    if roi is None:
        return None
    x0, y0, width, height = roi
    shot = Shot(model, pose, camera, vertices, pixels, depth)
    ids, faces = _rasterise(shot, roi)
    blocks = ids.reshape(height, 2, width, 2)
    alpha = (blocks > 0).mean(axis=(1, 3), dtype=np.float32)
    fine = width * height < 30_000
    grid = ids if fine else blocks.max(axis=(1, 3))
    rows, columns = np.nonzero(grid)
    if not len(rows):
        return None
    step = np.float32(2 if fine else 1)
    xs, ys = ((v.astype(np.float32) + 0.5) / step - 0.5 for v in (columns, rows))
    picture = np.zeros((*grid.shape, 3), np.float32)
    face = grid[rows, columns] - 1
    picture[rows, columns] = _light_pixels(shot, (light, lamps), faces.of(face), (xs + x0, ys + y0), step)
    if fine:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    else:
        picture *= alpha[..., None]
    return Layer(picture, alpha, x0, y0)


def _region(pixels: NDArray[np.float64]) -> tuple[int, int, int, int] | None:
    if len(pixels) < 3:
        return None
    x0, y0 = (int(v) for v in np.maximum(np.floor(pixels.min(axis=0)) - 1, 0))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(pixels.max(axis=0)) + 2, (WIDTH, HEIGHT)))
    return (x0, y0, x1 - x0, y1 - y0) if x1 - x0 > 1 and y1 - y0 > 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What a pixel needs of its triangle: planes (T, 4, 3) over the screen of 1/depth and the normal; surface (T,)."""

    planes: Array
    surface: NDArray[np.int32]

    def of(self, numbers: NDArray[np.int32]) -> Faces:
        """The triangles of those numbers."""
        return Faces(self.planes[numbers], self.surface[numbers])


def _rasterise(shot: Shot, roi: tuple[int, int, int, int]) -> tuple[NDArray[np.int32], Faces]:
    """Numbers of the triangles seen at every sample, 1 for the first (2h, 2w) int32, and the triangles."""
    mesh, vertices, pixels, depth = shot.model.mesh, shot.vertices, shot.pixels, shot.depth
    corners = vertices[mesh.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = np.einsum("ij,ij->i", normal, corners[:, 0] - shot.camera.position) < 0
    near = depth[mesh.triangles].min(axis=1) < NEAREST_M
    shown = np.nonzero(facing & ~near)[0]
    order = shown[np.argsort(-depth[mesh.triangles[shown]].mean(axis=1), kind="stable")]
    x0, y0, width, height = roi
    points = pixels[mesh.triangles[order]]
    fixed = np.round(((points - (x0, y0) + 0.5) * 2 - 0.5) * 16).clip(-(2**20), 2**20).astype(np.int32)
    ids = np.zeros((2 * height, 2 * width), np.int32)
    for number, triangle in enumerate(fixed, 1):
        cv2.fillConvexPoly(ids, triangle, number, cv2.LINE_8, 4)
    matrix = np.concatenate([points, np.ones((len(order), 3, 1))], axis=2)
    matrix[:, :, :2] += np.array([[0, 0], [1e-4, 0], [0, 1e-4]])
    values = np.concatenate([1 / depth[mesh.triangles[order]][..., None], mesh.normals[mesh.triangles[order]]], axis=2)
    planes = np.linalg.inv(matrix) @ values if len(order) else np.zeros((0, 3, 4))
    return ids, Faces(planes.transpose(0, 2, 1).astype(np.float32), mesh.surface[order])


def _light_pixels(
    shot: Shot, lights: tuple[Light, Lamps], faces: Faces, at: tuple[Array, Array], samples: float
) -> Array:
    """Light of pixels `at`, linear BGR (P, 3); `faces` holds one triangle a pixel."""
    model, pose, camera = shot.model, shot.pose, shot.camera
    xs, ys = at
    screen = np.stack([xs, ys, np.ones_like(xs)], axis=1)
    values = np.einsum("pij,pj->pi", faces.planes, screen)
    rays = camera.rays(xs, ys)
    away = rays / np.maximum(values[:, :1], 1e-3)
    turn = pose.turn(np.eye(3)).astype(np.float32)
    local = (away + (camera.position - (pose.x, 0, pose.z)).astype(np.float32)) @ turn.T
    normal = values[:, 1:] @ turn
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    ray = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    albedo, gloss, lamp = _paint(model, faces.surface, local, samples * FOCAL_PX * float(values[:, 0].mean()))
    depth = np.asarray(1 / np.maximum(values[:, 0], 1e-3), np.float32)
    return _shade(Surface(albedo, gloss, lamp, normal, ray, local[:, 1], depth), lights)


def _paint(model: Model, surface: NDArray[np.int32], local: Array, scale: float) -> tuple[Array, Array, Array]:
    """Colour (linear), gloss and lamp shares of points in car axes, seen with `scale` samples a metre."""
    count = len(surface)
    albedo = np.empty((count, 3), np.float32)
    albedo[:] = LINEAR[np.array(model.paint)]
    gloss = np.ones(count, np.float32)
    lamps = np.zeros((count, 3), np.float32)
    for kind in (REAR, SIDE, FRONT):
        chosen = np.nonzero((surface == kind) | ((surface == WHEEL) & (kind == SIDE)))[0]
        if not len(chosen):
            continue
        across = {REAR: local[chosen, 0], SIDE: local[chosen, 2], FRONT: -local[chosen, 0]}[kind]
        skin = model.skins[kind]
        colour, lamp = _sample(skin, across, local[chosen, 1], scale)
        albedo[chosen] = LINEAR[colour[:, :3]]
        gloss[chosen] = colour[:, 3] / np.float32(255)
        lamps[chosen] = lamp / np.float32(255)
    gloss[surface == PLAIN] = 1
    return albedo, gloss, lamps


def _sample(skin: Skin, across: Array, up: Array, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    level = int(np.clip(np.log2(SCALE / scale) + 0.5, 0, LEVELS - 1))
    density = SCALE / 2**level
    count, width = len(across), 1024
    rows = -(-count // width)
    maps = np.zeros((2, rows * width), np.float32)
    maps[0, :count] = (across - skin.left) * density - 0.5
    maps[1, :count] = (TALL - up) * density - 0.5
    grids = maps.reshape(2, rows, width)
    picked = [
        cv2.remap(image[level], grids[0], grids[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in (skin.colour, skin.lamps)
    ]
    return picked[0].reshape(-1, 4)[:count], picked[1].reshape(-1, 3)[:count]


def _surroundings(mirror: Array, light: Light, ahead: Array) -> Array:
    """What a mirror in that direction would show: sky, houses, road, or the lamps of a tunnel."""
    up = mirror[:, 1:2]
    sky = np.array(light.horizon, np.float32) + (np.array(light.zenith) - light.horizon).astype(np.float32) * np.sqrt(
        np.clip(up, 0, 1)
    )
    road = np.array((0.050, 0.048, 0.046), np.float32) * (0.6 + np.array(light.horizon, np.float32))
    wall = 0.10 * np.array(light.horizon, np.float32)
    outline = 0.16 + 0.05 * np.sin(mirror[:, :1] * 17) + 0.03 * np.sin(mirror[:, 2:] * 31)
    open_air = np.where(up > outline, sky, np.where(up > 0, wall, road))
    if light.tunnel <= 0:
        return np.asarray(open_air, np.float32)
    reach = ahead[:, None] + mirror[:, 2:] * 3.2 / np.maximum(up, 0.05)
    aside = np.abs(np.abs(mirror[:, :1] / np.maximum(up, 0.05)) - 0.8)
    strip = np.clip(1.3 - aside * 4, 0, 1) * np.clip(up * 4 - 0.6, 0, 1) * (0.65 + 0.35 * np.sin(reach * 1.57))
    inside = (0.05 + 0.75 * strip) * np.array((0.75, 0.95, 1.0), np.float32)
    return np.asarray(open_air * (1 - light.tunnel) + inside * light.tunnel, np.float32)


TAIL_COLOUR = np.array((0.05, 0.04, 1.0), np.float32)
HEAD_COLOUR = np.array((0.95, 1.0, 1.0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Points of a car, P of each: paint, gloss, lamp shares (P, 3), normal, ray to it, height and depth in m."""

    albedo: Array
    gloss: Array
    lamp: Array
    normal: Array
    ray: Array
    height: Array
    depth: Array


def _shade(at: Surface, lights: tuple[Light, Lamps]) -> Array:
    light, on = lights
    normal, lamp = at.normal, at.lamp
    facing = -np.einsum("ij,ij->i", normal, at.ray)
    mirror = at.ray + 2 * np.maximum(facing, 0)[:, None] * normal
    open_share = 1 - light.tunnel
    sky = np.array(light.horizon, np.float32) * 0.55 + np.array(light.zenith, np.float32) * 0.45
    ground = sky * 0.16
    half = (0.5 + 0.5 * normal[:, 1:2]).astype(np.float32)
    ambient = (ground + (sky - ground) * half) * (0.12 + 0.88 * open_share)
    ambient += light.tunnel * np.array((0.14, 0.17, 0.175), np.float32) * (0.35 + 0.65 * half)
    sun = np.maximum(normal @ np.array(light.sun_direction, np.float32), 0)[:, None] * np.array(light.sun, np.float32)
    beam = light.headlights * 5.0 / np.maximum(at.depth, 3) ** 1.6 * np.maximum(facing, 0)
    shadowed = np.clip((at.height - 0.12) / 0.42, 0.12, 1)[:, None]
    colour = at.albedo * ((ambient + sun * open_share) * shadowed + beam[:, None])
    fresnel = 0.045 + 0.75 * (1 - np.clip(facing, 0, 1)) ** 5
    colour += (at.gloss * fresnel)[:, None] * _surroundings(mirror, light, at.depth) * (0.3 + 0.7 * shadowed)
    glow = lamp[:, 0] * on.tail + lamp[:, 1] * on.brake
    colour += glow[:, None] * TAIL_COLOUR + np.maximum(glow - 1.0, 0)[:, None] * 0.35
    colour += (lamp[:, 2] * on.head)[:, None] * HEAD_COLOUR
    return np.asarray(colour, np.float32)
