"""The network: luma in, one map of scores and corners at stride 8, context down to stride 32."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

HEIGHT, WIDTH = 384, 640
"""Network input; smaller crops serve in training, the network is fully convolutional."""
STRIDE = 8
TOP_K = 64
FINE_REACH_PX = 20.0
"""How far from a corner the cells still say where it is."""
PADDING = 114
SHARPEN = 2.2
"""Focal loss draws scores towards the middle: the logit is spread again, which changes no order."""
BASE_WIDTH, BASE_HEIGHT = 48.0, 16.0
"""Plate size in input pixels that a zero output stands for."""


def _conv(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, stride, 1, bias=False),
        nn.BatchNorm2d(cout, momentum=0.03),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels, momentum=0.03)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


@dataclass(frozen=True)
class Size:
    """Channels at strides 2 to 32, residual blocks at strides 16 and 32, channels of the fine corners' branch."""

    widths: tuple[int, int, int, int, int]
    blocks: tuple[int, int]
    fine: int


TIERS = {"large": Size((16, 32, 48, 64, 96), (1, 2), 32), "small": Size((8, 16, 32, 48, 64), (1, 1), 24)}
"""One recipe, two sizes: whoever drives the budget may choose."""


class PlateNet(nn.Module):
    """(N, 1, H, W) luma, 0 to 255, H and W multiples of 32, to raw (N, 19, H/8, W/8).

    Channel 0 is the score's logit, 1 and 2 the logarithms of width and height over the base size, 3 to 10
    the corners as offsets from a rectangle of that size around the cell, in units of that size. 11 to 18
    say where, seen from a cell near a corner, that corner lies exactly, in cells (one pair a corner).
    """

    def __init__(self, size: Size = TIERS["large"]) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = size.widths
        self.to8 = nn.Sequential(_conv(1, w2, 2), _conv(w2, w4, 2), _conv(w4, w8, 2))
        self.to16 = nn.Sequential(_conv(w8, w16, 2), *(Residual(w16) for _ in range(size.blocks[0])))
        self.to32 = nn.Sequential(_conv(w16, w32, 2), *(Residual(w32) for _ in range(size.blocks[1])))
        self.down_to_16 = nn.Conv2d(w32, w16, 1)
        self.mix16 = _conv(w16, w16)
        self.down_to_8 = nn.Conv2d(w16, w8, 1)
        self.mix8 = nn.Sequential(_conv(w8, w8), _conv(w8, w8))
        self.head = nn.Conv2d(w8, 11, 1)
        self.fine = nn.Sequential(_conv(w8, size.fine), nn.Conv2d(size.fine, 8, 1))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.head.bias[:1], -4.6)

    def forward(self, luma: Tensor) -> Tensor:
        x8 = self.to8(luma * (1 / 64.0) - 2.0)
        x16 = self.to16(x8)
        x32 = self.to32(x16)
        x16 = self.mix16(x16 + F.interpolate(self.down_to_16(x32), scale_factor=2.0, mode="nearest"))
        x8 = self.mix8(x8 + F.interpolate(self.down_to_8(x16), scale_factor=2.0, mode="nearest"))
        return torch.cat([self.head(x8), self.fine(x8)], 1)


def cell_centres(rows: int, columns: int) -> Tensor:
    """Centres of the cells in input pixels, (rows * columns, 2) float32, x then y."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2).float() * STRIDE + (STRIDE - 1) / 2


def decode_corners(raw: Tensor, centres: Tensor) -> Tensor:
    """Corners in input pixels, (..., 4, 2), of raw (..., 10) and the centres (..., 2) of their cells."""
    size = raw[..., :2].clamp(-3.0, 3.0).exp() * raw.new_tensor([BASE_WIDTH, BASE_HEIGHT])
    square = raw.new_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    corners = raw[..., 2:].unflatten(-1, (4, 2)) + square
    return centres.unsqueeze(-2) + corners * size.unsqueeze(-2)


def refine(quads: Tensor, fine: Tensor, centres: Tensor) -> Tensor:
    """Move corners (K, 4, 2) to where the cells they fall on see them; `fine` is (8, rows, columns).

    A corner outside the picture stays where it is.
    """
    rows, columns = fine.shape[1:]
    offsets = fine.reshape(4, 2, rows * columns).permute(0, 2, 1).reshape(4 * rows * columns, 2)
    cell = (quads / STRIDE).floor()
    cell = torch.minimum(cell.clamp_min(0.0), (centres[-1] / STRIDE).floor())
    index = (cell[..., 1] * columns + cell[..., 0]).long()
    first = torch.arange(4) * (rows * columns)
    seen = centres[index] + offsets[index + first] * STRIDE
    inside = (quads - centres[index]).abs().amax(-1, keepdim=True) <= STRIDE
    return torch.where(inside, quads + (seen - quads).clamp(-FINE_REACH_PX, FINE_REACH_PX), quads)


class Detector(nn.Module):
    """The network with everything around it, as it is exported: uint8 in, the best TOP_K peaks out."""

    centres: Tensor

    def __init__(self, net: PlateNet, height: int = HEIGHT, width: int = WIDTH) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("centres", cell_centres(height // STRIDE, width // STRIDE), persistent=False)

    def forward(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 1, H, W) uint8 to scores (1, TOP_K), descending, and quads (1, TOP_K, 4, 2), input pixels."""
        raw = self.net(luma.float())
        scores = (SHARPEN * raw[:, :1]).sigmoid()
        peaks = torch.where(scores >= F.max_pool2d(scores, 3, 1, 1), scores, torch.zeros_like(scores))
        best, index = peaks.flatten(1).topk(TOP_K, dim=1)
        picked = raw[:, 1:11].flatten(2).transpose(1, 2)[0].index_select(0, index[0])
        quads = decode_corners(picked, self.centres.index_select(0, index[0]))
        for _ in range(2):
            quads = refine(quads, raw[0, 11:], self.centres)
        return best, quads.unsqueeze(0)
