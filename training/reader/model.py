"""The reader: a small convolutional network with CTC, for one- and two-line plates.

The feature map keeps two rows. They are read one after the other, so a two-line plate comes out as
its upper line followed by its lower one; for a one-line plate the network learns to stay silent in one row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = len(ALPHABET)
CLASSES = BLANK + 1


def conv(cin: int, cout: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Starts as the identity, so that a trained network can be deepened."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.second[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Mixer(nn.Module):
    """One self-attention layer over the steps of both rows: a character may look at its neighbours and line.

    Starts as the identity.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))
        for last in (self.out, self.mlp[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, d))
        return x + self.mlp(self.norm2(x))


class Reader(nn.Module):
    """`crops` (N, 1, 32, 128), any scale of uint8 values -> log-probabilities (N, 64, 37)."""

    def __init__(
        self, widths: tuple[int, ...] = (32, 56, 80, 112), mixers: int = 2, deeper: tuple[int, ...] = (4, 9)
    ) -> None:
        """`deeper` names the layers of the body that a further residual block follows."""
        super().__init__()
        a, b, c, d = widths
        self.body = nn.Sequential(
            conv(1, a, (2, 2)),  # 16 x 64
            Residual(a),
            conv(a, b, (2, 1)),  # 8 x 64
            conv(b, b, (1, 2)),  # 8 x 32
            Residual(b),
            conv(b, c, (2, 1)),  # 4 x 32
            Residual(c),
            Residual(c),
            conv(c, d, (2, 1)),  # 2 x 32
            Residual(d),
        )
        outs = (a, a, b, b, b, c, c, c, d, d)
        self.deeper = nn.ModuleDict({str(layer): Residual(outs[layer]) for layer in deeper})
        self.place = nn.Parameter(torch.zeros(1, 64, d))
        self.mixers = nn.Sequential(*(Mixer(d, 4, 2 * d) for _ in range(mixers)))
        self.head = nn.Linear(d, CLASSES)

    def forward(self, crops: Tensor) -> Tensor:
        x = (crops.float() - 128.0) * (1 / 64)
        for number, layer in enumerate(self.body):
            x = layer(x)
            if str(number) in self.deeper:
                x = self.deeper[str(number)](x)
        n, d = x.shape[:2]
        x = x.reshape(n, d, 64).transpose(1, 2) + self.place
        return torch.log_softmax(self.head(self.mixers(x)).float(), dim=-1)

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Take the weights of a network with fewer layers; the others stay the identity."""
        left = self.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
        if left.unexpected_keys or any(not name.startswith(("deeper", "mixers")) for name in left.missing_keys):
            raise ValueError(f"not a smaller network of this kind: {left}")
