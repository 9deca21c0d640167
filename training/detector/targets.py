"""What the network is asked for: from quads to maps at stride 8, and the loss between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from training.detector.model import FINE_REACH_PX, STRIDE, cell_centres, decode_corners

CORNERS, BOX_ONLY, IGNORE, SCORE_ONLY = 0, 1, 2, 3
"""Kinds of a label: four corners known; only the box known; neither punish nor reward; box known but loose."""
POSITIVE_FROM = 0.2
SOFT_PX = 4.0
"""Keeps the positive part of a small or thin plate about a cell wide."""
DOUBT_FROM, DOUBT_WEIGHT = 0.3, 0.2


@dataclass(frozen=True)
class Maps:
    """Targets of a picture: `score` and `weight` (h, w), `quad` (h, w, 8), `regress` (h, w, 2),
    `fine` (h, w, 8) in cells and `near` (h, w, 4).

    `regress` weighs the corner loss and the box loss, `near` the fine offsets of each
    corner. A negative weight is a background cell of a picture that may hold plates nobody labelled.
    """

    score: NDArray[np.float32]
    weight: NDArray[np.float32]
    quad: NDArray[np.float32]
    regress: NDArray[np.float32]
    fine: NDArray[np.float32]
    near: NDArray[np.float32]


def _distance(quad: NDArray[np.float32], xs: NDArray[np.float32], ys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distance of points from the centre of the quad, about 1 at the middle of its sides."""
    across = (quad[1] + quad[2] - quad[0] - quad[3]) / 4
    down = (quad[2] + quad[3] - quad[0] - quad[1]) / 4
    spread = np.outer(across, across) + np.outer(down, down) + SOFT_PX**2 * np.eye(2)
    inverse = np.linalg.inv(spread)
    dx, dy = xs - quad[:, 0].mean(), ys - quad[:, 1].mean()
    square = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy
    return np.asarray(square, np.float32)


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
        near = np.exp(-_distance(quad, xs.astype(np.float32), ys.astype(np.float32)) / (2 * 0.35**2))
        nearest = np.unravel_index(near.argmax(), near.shape)
        near[near < 0.08] = 0.0
        near[nearest] = 1.0
        better = near > score[y0:y1, x0:x1]
        score[y0:y1, x0:x1][better] = near[better]
        weight[y0:y1, x0:x1][better] = 1.0
        quad_map[y0:y1, x0:x1][better] = quad.reshape(8)
        strong = np.where(near >= POSITIVE_FROM, near, 0.0)
        weights = np.stack([strong * (kind == CORNERS), strong * (kind != SCORE_ONLY)], -1)
        regress[y0:y1, x0:x1][better] = weights[better]
    return Maps(score, weight, quad_map, regress, *_fine_maps(quads[kinds == CORNERS], rows, columns))


def _fine_maps(quads: NDArray[np.float32], rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    fine = np.zeros((rows, columns, 8), np.float32)
    near = np.zeros((rows, columns, 4), np.float32)
    reach = int(FINE_REACH_PX // STRIDE)
    for quad in quads:
        weight = float(np.clip(16.0 / np.hypot(*(quad[3] - quad[0])), 0.4, 1.0))
        for k, (x, y) in enumerate(quad):
            column, row = int(np.floor(x / STRIDE)), int(np.floor(y / STRIDE))
            x0, x1 = max(0, column - reach), min(columns, column + reach + 1)
            y0, y1 = max(0, row - reach), min(rows, row + reach + 1)
            if x1 <= x0 or y1 <= y0:
                continue
            half = (STRIDE - 1) / 2
            fine[y0:y1, x0:x1, 2 * k] = (x - half) / STRIDE - np.arange(x0, x1)
            fine[y0:y1, x0:x1, 2 * k + 1] = ((y - half) / STRIDE - np.arange(y0, y1))[:, None]
            near[y0:y1, x0:x1, k] = weight
    return fine, near


@dataclass(frozen=True)
class Loss:
    """Parts of the loss, each a scalar."""

    score: Tensor
    corners: Tensor
    box: Tensor
    fine: Tensor

    @property
    def total(self) -> Tensor:
        return 2.0 * self.score + 4.0 * self.corners + 1.5 * self.box + 2.0 * self.fine


def detector_loss(raw: Tensor, maps: Sequence[Tensor]) -> Loss:
    """Loss of raw (N, 19, h, w) against the stacked fields of `Maps`, in their order."""
    score, weight, quad, regress, fine, near = maps
    score_loss = _score_loss(raw, score, weight)
    corners, box = _corner_losses(raw, quad, regress)
    offsets = F.smooth_l1_loss(raw[:, 11:].permute(0, 2, 3, 1), fine, beta=0.1, reduction="none")
    fine_loss = (offsets.unflatten(-1, (4, 2)).mean(-1) * near).sum() / near.sum().clamp_min(1.0)
    return Loss(score_loss, corners, box, fine_loss)


def _score_loss(raw: Tensor, score: Tensor, weight: Tensor) -> Tensor:
    logits = raw[:, 0].float()
    chance = logits.sigmoid().detach()
    doubtful = (weight < 0) & (chance > DOUBT_FROM)
    weight = torch.where(doubtful, torch.full_like(weight, DOUBT_WEIGHT), weight.abs())
    focal = (score - chance).abs().square() * weight
    entropy = F.binary_cross_entropy_with_logits(logits, score, reduction="none")
    return (focal * entropy).sum() / score.sum().clamp_min(1.0)


def _corner_losses(raw: Tensor, quad: Tensor, regress: Tensor) -> tuple[Tensor, Tensor]:
    chosen = regress[..., 1] > 0
    if not bool(chosen.any()):
        nothing = raw.sum() * 0.0
        return nothing, nothing
    centres = cell_centres(*raw.shape[2:]).view(1, *raw.shape[2:], 2).expand(raw.shape[0], -1, -1, -1)[chosen]
    found = decode_corners(raw[:, 1:11].permute(0, 2, 3, 1)[chosen].float(), centres)
    wanted = quad[chosen].view(-1, 4, 2)
    weights = regress[chosen]
    low, high = wanted.amin(1), wanted.amax(1)
    size = (high - low).clamp_min(5.0)
    unit = torch.stack([(size[:, 0] * size[:, 1]).sqrt(), size[:, 1]], -1)
    unit4 = unit[:, None]
    corner = F.smooth_l1_loss(found / unit4, wanted / unit4, beta=0.05, reduction="none").mean((1, 2))
    corner_loss = (corner * weights[:, 0]).sum() / weights[:, 0].sum().clamp_min(1.0)
    box = _box_loss(found, low, high, unit)
    return corner_loss, (box * weights[:, 1]).sum() / weights[:, 1].sum().clamp_min(1.0)


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
