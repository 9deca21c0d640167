"""What a camera does to a plate: optics, light, sensor and codec. All on luma, float32 0..255 in between."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Soft = NDArray[np.float32]


def damage(image: Grey, plate_px: float, rng: np.random.Generator) -> Grey:
    """Damage a scene whose plate is `plate_px` wide; the harm is in proportion to it, so text stays readable."""
    soft = image.astype(np.float32)
    soft = _bloom(soft, plate_px, rng) if rng.random() < 0.3 else soft
    soft = _blur(soft, plate_px, rng)
    soft = _light(soft, rng)
    if rng.random() < 0.2:
        soft = _glare(soft, rng)
    if rng.random() < 0.3:  # a camera's sharpening halo
        soft += rng.uniform(0.3, 1.6) * (soft - cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.8, 2.0)))
    soft = noise(soft, rng)
    return codec(np.clip(soft, 0, 255).astype(np.uint8), plate_px, rng)


def _bloom(soft: Soft, plate_px: float, rng: np.random.Generator) -> Soft:
    """Bright plates bleed over their dark strokes, as under headlights or infra-red."""
    sigma = plate_px * rng.uniform(0.006, 0.03)
    glow = cv2.GaussianBlur(np.maximum(soft - rng.uniform(60, 150), 0), (0, 0), max(sigma, 0.4))
    return soft + rng.uniform(0.3, 1.3) * glow


def _blur(soft: Soft, plate_px: float, rng: np.random.Generator) -> Soft:
    kind = rng.random()
    if kind < 0.6:
        sigma = abs(rng.normal(0, 0.009)) * plate_px
        soft = cv2.GaussianBlur(soft, (0, 0), min(sigma, 0.022 * plate_px)) if sigma > 0.25 else soft
    if kind > 0.45 and rng.random() < 0.45:
        length = rng.uniform(0.01, 0.06) * plate_px
        soft = cv2.filter2D(soft, -1, _motion_kernel(length, rng.uniform(0, np.pi))) if length > 1.2 else soft
    return soft


def _motion_kernel(length: float, angle: float) -> Soft:
    size = int(length) // 2 * 2 + 3
    kernel = np.zeros((size, size), np.float32)
    centre = size / 2 - 0.5
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    for step in np.linspace(-1, 1, size * 3):
        x, y = centre + reach * step
        kernel[round(y), round(x)] += 1
    return kernel / kernel.sum()


def _light(soft: Soft, rng: np.random.Generator) -> Soft:
    gamma = float(np.exp(rng.normal(0, 0.4)))
    soft = 255 * (np.clip(soft, 0, 255) / 255) ** gamma
    kind = rng.random()
    if kind < 0.25:  # night: little light
        soft *= rng.uniform(0.08, 0.5)
    elif kind < 0.45:  # blown out
        soft = soft * rng.uniform(1.0, 1.9) + rng.uniform(0, 60)
    elif kind < 0.7:  # haze, rain on the glass, tail lights: flat
        haze = rng.uniform(20, 220)
        soft = soft + rng.uniform(0.2, 0.75) * (haze - soft)
    return np.asarray(soft, np.float32)


def _glare(soft: Soft, rng: np.random.Generator) -> Soft:
    height, width = soft.shape
    y, x = np.ogrid[:height, :width]
    cx, cy = rng.uniform(-0.2, 1.2) * width, rng.uniform(-0.3, 1.3) * height
    radius = rng.uniform(0.1, 0.6) * width
    blob = np.exp(-(((x - cx) / radius) ** 2 + ((y - cy) / radius) ** 2)).astype(np.float32)
    return soft + blob * rng.uniform(40, 220)


def noise(soft: Soft, rng: np.random.Generator) -> Soft:
    """Sensor noise, at most a fifth of the picture's own contrast."""
    level = min(abs(rng.normal(0, 6.0)), 0.2 * float(soft.std()))
    if level < 0.5:
        return soft
    grain = rng.standard_normal(soft.shape, dtype=np.float32) * level
    if rng.random() < 0.4:  # a camera's denoiser leaves blotches
        grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.6, 1.2)) * 1.8
    return soft + grain


def codec(image: Grey, plate_px: float, rng: np.random.Generator) -> Grey:
    """Block damage of JPEG or of an H.264 intra picture (a deblocked, coarser JPEG); small plates are spared."""
    kind = rng.random()
    if kind < 0.3:
        return image
    worst = 12 + 45 * float(np.clip((140 - plate_px) / 100, 0, 1))
    quality = int(rng.uniform(worst, 95) if kind < 0.8 else rng.uniform(worst, worst + 20))
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    image = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    if kind > 0.85:
        image = cv2.bilateralFilter(image, 3, 30, 3)
    return np.asarray(image, np.uint8)
