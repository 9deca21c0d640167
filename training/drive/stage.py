"""Draws one frame of the drive: street, cars from far to near, plates, lens and sensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.drive import lens, props, script, street
from training.drive.houses import houses
from training.drive.mesh import FRONT, REAR, SHAPES, SIDE, build
from training.drive.plate_art import HOLDER_MM, render_plate
from training.drive.script import FPS, VEHICLES, Vehicle
from training.drive.shading import LINEAR, Layer, Model, Pose, draw_car
from training.drive.skins import nose_skin, side_skin, tail_skin
from training.drive.strips import Image, Strip, draw_strip
from training.drive.view import HEIGHT, WIDTH, Array, Camera, Light

SEED = 20
FARTHEST_M = 150.0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A plate in a frame: `quad` (4, 2) in pixels and the share of it that neither a car nor the border hides."""

    vehicle: Vehicle
    quad: NDArray[np.float64]
    visible: float


class Stage:
    """Everything that is painted once, and the frames made of it. `fonts` holds the faces of the plates."""

    def __init__(self, fonts: Path) -> None:
        rng = np.random.default_rng(SEED)
        self._road = street.road(rng)
        self._sky = street.sky(rng)
        self._near_houses = [houses(rng, x, (-10.0, street.TUNNEL[0])) for x in (-9.2, 9.2)]
        self._far_houses = [houses(rng, x, (street.TUNNEL[1] + 2, 300.0)) for x in (-9.2, 9.2)]
        self._tunnel = street.tunnel(rng)
        self._mouth = street.mouth(rng)
        self._tree_pictures = [street.halvings(street.tree(rng)) for _ in range(3)]
        self._trees = [props.plant(rng, k) for k in range(64)]
        self._models = {vehicle.name: _model(vehicle) for vehicle in VEHICLES}
        self._plates = {vehicle.name: render_plate(vehicle.plate, fonts) for vehicle in VEHICLES}

    def frame(self, index: int) -> tuple[Image, list[Seen]]:
        """Frame `index`: BGR (HEIGHT, WIDTH, 3) uint8, and the plates in it, nearest last."""
        second = index / FPS
        camera = script.camera(second)
        picture = LINEAR[self._background(camera, second)] * script.dusk_gain(second)
        _, z = script.ego_place(second)
        inside = float(street.tunnel_share(z + 6))
        picture *= 1 + 0.25 * inside
        props.light_lamps(picture, camera, 0.8 + 0.12 * second, z > street.TUNNEL[0] - 1)
        placed = [(vehicle, script.pose(vehicle, second)) for vehicle in VEHICLES]
        placed = [(v, p) for v, p in placed if -8 < p.z - z < FARTHEST_M]
        placed.sort(key=lambda pair: -(pair[1].z + (-1 if pair[0].front else 0)))
        for vehicle, pose in placed:
            _shadow(picture, camera, vehicle, pose)
        cover: list[tuple[Seen, Array]] = []
        for vehicle, pose in placed:
            cover = self._car(picture, camera, (vehicle, pose), second, cover)
        picture = lens.expose(picture, script.exposure(second), _turn_px(second))
        image = lens.develop(picture, np.random.default_rng((SEED, index)), 0.9 + 1.4 * inside)
        seen = [Seen(s.vehicle, s.quad, min(float(s.visible * mask.sum()), 1.0)) for s, mask in cover]
        return image, seen

    def _background(self, camera: Camera, second: float) -> Image:
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        smear = script.ego_speed(second) * 0.010
        horizon = Strip(
            self._sky, (-720.0, 470 * 0.8, 1000.0 + camera.position[2]), (1, 0, 0), (0, -1, 0), 1.25, along=False
        )
        draw_strip(frame, horizon, camera, smear, None)
        draw_strip(frame, self._road, camera, smear, props.HAZE)
        for strip in self._far_houses:
            draw_strip(frame, strip, camera, smear, props.HAZE)
        self._draw_trees(frame, camera, smear, street.TUNNEL[1] + 3, 400)
        if camera.position[2] < street.TUNNEL[1]:
            for strip in self._tunnel:
                draw_strip(frame, strip, camera, smear, props.HAZE)
        if camera.position[2] < street.TUNNEL[0] - 0.6:
            draw_strip(frame, self._mouth, camera, smear, props.HAZE)
            for strip in self._near_houses:
                draw_strip(frame, strip, camera, smear, props.HAZE)
            self._draw_trees(frame, camera, smear, -20, street.TUNNEL[0] - 2)
        return frame

    def _draw_trees(self, frame: Image, camera: Camera, smear: float, first: float, last: float) -> None:
        near = float(camera.position[2])
        props.draw_posts(frame, camera, max(first, near), last)
        for tree in sorted(self._trees, key=lambda t: -t.z):
            if first < tree.z < last and 3 < tree.z - near < 160:
                props.draw_tree(frame, camera, tree, self._tree_pictures[tree.picture], smear)

    def _car(
        self, picture: Array, camera: Camera, car: tuple[Vehicle, Pose], second: float, cover: list[tuple[Seen, Array]]
    ) -> list[tuple[Seen, Array]]:
        vehicle, pose = car
        light = script.light_at(pose.z, second)
        layer = draw_car(self._models[vehicle.name], pose, camera, light, script.lamps(vehicle, second))
        if layer is None:
            return cover
        shutter = (0.22 + 0.2 * light.tunnel) / FPS
        smear = _motion(vehicle, second, shutter)
        layer = lens.smear(layer, smear)
        _lay(picture, layer)
        cover = [(seen, _hide(mask, layer)) for seen, mask in cover]
        corners = script.plate_corners(vehicle, pose)
        if not _faces(corners, camera):
            return cover
        quad, depth = camera.project(corners)
        if depth.min() < 0.5 or np.hypot(*(quad[1] - quad[0])) < 8:
            return cover
        outer = _grow(corners, HOLDER_MM / 1000)
        piece = lens.warp_plate(self._plates[vehicle.name], camera.project(outer)[0])
        if piece is None:
            return cover
        own = 0.0 if vehicle.front else 0.06 * script.lamps(vehicle, second).tail
        lit = piece.bgr * _plate_light(corners, light, own, float(depth.mean()))
        _lay(picture, lens.smear(Layer(lit, piece.alpha, piece.x, piece.y), smear))
        mask = lens.quad_mask(quad)
        return [*cover, (Seen(vehicle, quad, lens.share_inside(quad) / max(float(mask.sum()), 1.0)), mask)]


def _model(vehicle: Vehicle) -> Model:
    shape = SHAPES[vehicle.kind]
    size = vehicle.plate.size_m
    skins = {
        REAR: tail_skin(vehicle.kind, shape, vehicle.paint, size if not vehicle.front else (0.52, 0.11)),
        SIDE: side_skin(vehicle.kind, shape, vehicle.paint),
        FRONT: nose_skin(vehicle.kind, shape, vehicle.paint, size),
    }
    return Model(build(shape), skins, vehicle.paint)


def _shadow(picture: Array, camera: Camera, vehicle: Vehicle, pose: Pose) -> None:
    """Darken the road under and around a car."""
    shape = SHAPES[vehicle.kind]
    half, margin = 0.92, 0.55
    corners = np.array([
        [-half - margin, 0, -margin], [half + margin, 0, -margin],
        [half + margin, 0, shape.length + margin], [-half - margin, 0, shape.length + margin],
    ])  # fmt: skip
    quad, depth = camera.project(pose.world(corners))
    if depth.min() < 0.6:
        return
    soft = np.zeros((96, 48), np.float32)
    cv2.rectangle(soft, (10, 8), (37, 87), 0.96, -1)
    soft = cv2.GaussianBlur(soft, (0, 0), 2.4)
    source = np.array([[0, 0], [47, 0], [47, 95], [0, 95]], np.float32)
    box = lens.clip_box(quad)
    if box is None:
        return
    x0, y0, width, height = box
    matrix = cv2.getPerspectiveTransform(source, (quad - (x0, y0)).astype(np.float32))
    shade = cv2.warpPerspective(soft, matrix, (width, height))
    picture[y0 : y0 + height, x0 : x0 + width] *= 1 - shade[..., None]


def _lay(picture: Array, layer: Layer) -> None:
    height, width = layer.alpha.shape
    target = picture[layer.y : layer.y + height, layer.x : layer.x + width]
    target *= 1 - layer.alpha[..., None]
    target += layer.bgr


def _hide(mask: Array, layer: Layer) -> Array:
    """Take what a nearer car covers out of a plate's mask (which lies over the whole frame)."""
    height, width = layer.alpha.shape
    mask[layer.y : layer.y + height, layer.x : layer.x + width] *= layer.alpha < 0.5
    return mask


def _faces(corners: NDArray[np.float64], camera: Camera) -> bool:
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    towards = camera.position - corners.mean(axis=0)
    slant = float(normal @ towards / np.linalg.norm(normal) / np.linalg.norm(towards))
    return slant > 0.2


def _grow(corners: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    right, down = margin * right / np.linalg.norm(right), margin * down / np.linalg.norm(down)
    return corners + np.stack([-right - down, right - down, right + down, -right + down])


def _plate_light(corners: NDArray[np.float64], light: Light, own: float, depth: float) -> Array:
    """Light on a plate, linear BGR: sky and sun, the plate's `own` lamp, and headlights thrown back."""
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    toward = max(float(normal @ np.array(light.sun_direction)) / float(np.linalg.norm(normal)), 0.0)
    sky = 0.45 * np.array(light.horizon, np.float32) + 0.25 * np.array(light.zenith, np.float32)
    open_air = sky + toward * np.array(light.sun, np.float32)
    inside = np.array((0.10, 0.12, 0.125), np.float32)
    thrown = light.headlights * 1.6 / max(depth, 3.0)
    return np.asarray(open_air * (1 - light.tunnel) + inside * light.tunnel + own + thrown, np.float32)


def _motion(vehicle: Vehicle, second: float, shutter: float) -> NDArray[np.float64]:
    """How far the plate moves over the picture while the shutter is open, pixels (2,)."""
    ends = []
    for time in (second - shutter / 2, second + shutter / 2):
        middle = script.plate_corners(vehicle, script.pose(vehicle, time)).mean(axis=0, keepdims=True)
        pixels, depth = script.camera(time).project(middle)
        if depth[0] < 1:
            return np.zeros(2)
        ends.append(pixels[0])
    return np.asarray(ends[1] - ends[0])


def _turn_px(second: float) -> float:
    """How far the picture moves up or down while the shutter is open, from the shake alone."""
    far = np.array([[0.0, 0.0, 1e6]])
    heights = [float(script.camera(second + d).project(far)[0][0, 1]) for d in (-0.004, 0.004)]
    return heights[1] - heights[0]
