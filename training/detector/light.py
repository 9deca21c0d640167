"""What a camera and its codec do to a picture: all on luma (H, W) uint8, (almost) in place."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
_NOISE = np.random.default_rng(7).normal(0, 32, 1 << 20).clip(-127, 127).astype(np.int8)
_RAMP = np.arange(256, dtype=np.float32) / 255


def to_luma(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> Luma:
    """A camera's idea of luma: the standard mix, or any other one (tints, missing IR filters)."""
    weights = np.array([[0.299, 0.587, 0.114]])
    if rng.random() < 0.6:
        weights = weights * 0.4 + 0.6 * rng.dirichlet([1.2, 1.2, 1.2])
    return np.asarray(cv2.transform(rgb, weights), np.uint8).reshape(rgb.shape[:2])


def tone(rng: np.random.Generator, luma: Luma) -> Luma:
    """Gamma, exposure and contrast, at times as dark as night."""
    curve = _RAMP ** np.exp(rng.normal(0, 0.35))
    gain, lift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.05)
    if rng.random() < 0.15:
        gain, lift = rng.uniform(0.15, 0.5), rng.uniform(0, 0.05)
    elif rng.random() < 0.15:
        gain, lift = rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.4)
    table = np.clip(255 * (curve * gain + lift), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(luma, table), np.uint8)


def glare(rng: np.random.Generator, luma: Luma) -> Luma:
    """Lamps that shine into the lens."""
    h, w = luma.shape
    for _ in range(int(rng.integers(1, 5))):
        radius = float(np.exp(rng.uniform(np.log(3), np.log(60))))
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        reach = int(3 * radius)
        x0, x1 = max(0, int(x) - reach), min(w, int(x) + reach)
        y0, y1 = max(0, int(y) - reach), min(h, int(y) + reach)
        if x1 <= x0 or y1 <= y0:
            continue
        gx = np.exp(-((np.arange(x0, x1) - x) ** 2) / (2 * radius**2))
        gy = np.exp(-((np.arange(y0, y1) - y) ** 2) / (2 * radius**2))
        glow = (rng.uniform(40, 330) * gy[:, None] * gx[None]).clip(0, 255).astype(np.uint8)
        luma[y0:y1, x0:x1] = cv2.add(luma[y0:y1, x0:x1], glow)
    return luma


def blur(rng: np.random.Generator, luma: Luma) -> Luma:
    if rng.random() < 0.35:
        length, angle = int(rng.integers(3, 10)), rng.uniform(0, np.pi)
        kernel = np.zeros((length, length), np.float32)
        middle, dx, dy = (length - 1) / 2, np.cos(angle) * length / 2, np.sin(angle) * length / 2
        ends = [(round(middle + k * dx), round(middle + k * dy)) for k in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return np.asarray(cv2.filter2D(luma, -1, kernel / kernel.sum()), np.uint8)
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)


def coarse(rng: np.random.Generator, luma: Luma) -> Luma:
    """Down and up again: a smaller sensor, a digital zoom."""
    h, w = luma.shape
    factor = rng.uniform(0.4, 0.85)
    small = cv2.resize(luma, (int(w * factor), int(h * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)


def noise(rng: np.random.Generator, luma: Luma) -> Luma:
    start = int(rng.integers(_NOISE.size - luma.size))
    grain = _NOISE[start : start + luma.size].reshape(luma.shape)
    sigma = abs(rng.normal(0, 6)) + 0.5
    return np.asarray(cv2.addWeighted(luma, 1.0, grain, sigma / 32, 0.0, dtype=cv2.CV_8U), np.uint8)


def jpeg(rng: np.random.Generator, luma: Luma) -> Luma:
    data = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 75))])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


STEPS = ((tone, 0.8), (glare, 0.2), (blur, 0.3), (coarse, 0.15), (noise, 0.5), (jpeg, 0.3))


def spoil(rng: np.random.Generator, luma: Luma) -> Luma:
    """Each step by chance, in the order in which light meets a camera."""
    for step, share in STEPS:
        if rng.random() < share:
            luma = step(rng, luma)
    return luma
