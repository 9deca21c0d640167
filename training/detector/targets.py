"""What the network is asked for: from quads to maps at stride 8, and the loss between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from training.detector.model import STRIDE, cell_centres, decode_corners

CORNERS, BOX_ONLY, IGNORE = 0, 1, 2
"""Kinds of a label: four corners are known; only the upright box is; neither punish nor reward."""
POSITIVE_FROM = 0.2
DOUBT_FROM, DOUBT_WEIGHT = 0.3, 0.2


@dataclass(frozen=True)
class Maps:
    """Targets of a picture: `score` and `weight` (h, w), `quad` (h, w, 8), `regress` (h, w, 2).

    `regress` weighs the corner loss and the box loss. A negative weight is a background cell of a picture
    that may hold plates nobody labelled.
    """

    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    quad: NDArray[np.float32]
    regress: NDArray[np.float32]


def _plate_coordinates(
    quad: NDArray[np.float32], xs: NDArray[np.float32], ys: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Squared distance of points from the centre of the quad, 1 at the middle of its sides."""
    centre = quad.mean(axis=0)
    across = (quad[1] + quad[2] - quad[0] - quad[3]) / 4
    down = (quad[2] + quad[3] - quad[0] - quad[1]) / 4
    across = across * max(1.0, 5.0 / max(float(np.hypot(*across)), 1e-3))
    down = down * max(1.0, 5.0 / max(float(np.hypot(*down)), 1e-3))
    det = across[0] * down[1] - across[1] * down[0]
    if abs(float(det)) < 1e-3:
        return np.full(xs.shape, 99.0, np.float32)
    dx, dy = xs - centre[0], ys - centre[1]
    a = (dx * down[1] - dy * down[0]) / det
    b = (dy * across[0] - dx * across[1]) / det
    return np.asarray(a * a + b * b, np.float32)


def encode(quads: NDArray[np.float32], kinds: NDArray[np.int64], shape: tuple[int, int], sure: bool) -> Maps:
    """Maps for quads (n, 4, 2) in pixels of a picture of `shape` (height, width).

    `sure` says that every plate of the picture is labelled.
    """
    rows, columns = shape[0] // STRIDE, shape[1] // STRIDE
    score = np.zeros((rows, columns), np.float32)
    weight = np.full((rows, columns), 1.0 if sure else -1.0, np.float32)
    quad_map = np.zeros((rows, columns, 8), np.float32)
    regress = np.zeros((rows, columns, 2), np.float32)
    half = (STRIDE - 1) / 2
    for quad, kind in zip(quads, kinds, strict=True):
        low = np.floor((quad.min(axis=0) - half) / STRIDE).astype(int)
        high = np.ceil((quad.max(axis=0) - half) / STRIDE).astype(int) + 1
        x0, y0 = max(0, low[0]), max(0, low[1])
        x1, y1 = min(columns, high[0]), min(rows, high[1])
        if x1 <= x0 or y1 <= y0:
            continue
        if kind == IGNORE:
            weight[y0:y1, x0:x1] = np.where(score[y0:y1, x0:x1] > 0, weight[y0:y1, x0:x1], 0.0)
            continue
        xs, ys = np.meshgrid(np.arange(x0, x1) * STRIDE + half, np.arange(y0, y1) * STRIDE + half)
        near = np.exp(-_plate_coordinates(quad, xs.astype(np.float32), ys.astype(np.float32)) / (2 * 0.35**2))
        near[near < 0.08] = 0.0
        near[np.unravel_index(near.argmax(), near.shape)] = 1.0
        better = near > score[y0:y1, x0:x1]
        score[y0:y1, x0:x1][better] = near[better]
        weight[y0:y1, x0:x1][better] = 1.0
        quad_map[y0:y1, x0:x1][better] = quad.reshape(8)
        strong = np.where(near >= POSITIVE_FROM, near, 0.0)
        weights = np.stack([strong if kind == CORNERS else np.zeros_like(strong), strong], -1)
        regress[y0:y1, x0:x1][better] = weights[better]
    return Maps(score, weight, quad_map, regress)


@dataclass(frozen=True)
class Loss:
    """Parts of the loss, each a scalar."""

    score: Tensor
    corners: Tensor
    box: Tensor

    @property
    def total(self) -> Tensor:
        return 2.0 * self.score + 2.0 * self.corners + self.box


def detector_loss(raw: Tensor, score: Tensor, weight: Tensor, quad: Tensor, regress: Tensor) -> Loss:
    """Loss of raw (N, 11, h, w) against stacked maps; see `Maps` for their shapes."""
    logits = raw[:, 0].float()
    chance = logits.sigmoid().detach()
    doubtful = (weight < 0) & (chance > DOUBT_FROM)
    weight = torch.where(doubtful, torch.full_like(weight, DOUBT_WEIGHT), weight.abs())
    focal = (score - chance).abs().square() * weight
    entropy = F.binary_cross_entropy_with_logits(logits, score, reduction="none")
    score_loss = (focal * entropy).sum() / score.sum().clamp_min(1.0)

    chosen = regress[..., 1] > 0
    if not bool(chosen.any()):
        nothing = raw.sum() * 0.0
        return Loss(score_loss, nothing, nothing)
    centres = cell_centres(*raw.shape[2:]).view(1, *raw.shape[2:], 2).expand(raw.shape[0], -1, -1, -1)[chosen]
    found = decode_corners(raw[:, 1:].permute(0, 2, 3, 1)[chosen].float(), centres)
    wanted = quad[chosen].view(-1, 4, 2)
    weights = regress[chosen]
    low, high = wanted.amin(1), wanted.amax(1)
    size = (high - low).clamp_min(5.0)
    unit = torch.stack([(size[:, 0] * size[:, 1]).sqrt(), size[:, 1]], -1)
    corner = F.smooth_l1_loss(found / unit[:, None], wanted / unit[:, None], beta=0.05, reduction="none").mean((1, 2))
    corner_loss = (corner * weights[:, 0]).sum() / weights[:, 0].sum().clamp_min(1.0)
    box = _box_loss(found, low, high, unit)
    return Loss(score_loss, corner_loss, (box * weights[:, 1]).sum() / weights[:, 1].sum().clamp_min(1.0))


def _box_loss(found: Tensor, low: Tensor, high: Tensor, unit: Tensor) -> Tensor:
    """Generalised IoU of the boxes plus the distance of their sides."""
    flow, fhigh = found.amin(1), found.amax(1)
    sides = F.smooth_l1_loss(flow / unit, low / unit, beta=0.05, reduction="none").mean(1)
    sides = sides + F.smooth_l1_loss(fhigh / unit, high / unit, beta=0.05, reduction="none").mean(1)
    inter = (torch.minimum(fhigh, high) - torch.maximum(flow, low)).clamp_min(0).prod(1)
    union = (fhigh - flow).prod(1) + (high - low).prod(1) - inter
    hull = (torch.maximum(fhigh, high) - torch.minimum(flow, low)).prod(1)
    giou = inter / union.clamp_min(1e-3) - (hull - union) / hull.clamp_min(1e-3)
    return (1 - giou) + sides
