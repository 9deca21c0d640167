"""Weights between those of two checkpoints of one network, the second gone on from the first.

    python -m training.average training/checkpoints/detector-2.pt runs/detector/last.pt --out runs/detector/between.pt

Fine-tuning gains on what it was made for and loses a little elsewhere; half way between, most of both is kept
(Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

WEIGHTS = ("mean", "average")
"""What the detector's and the reader's checkpoints call their averaged weights."""


def between(first: dict[str, Any], second: dict[str, Any], share: float) -> dict[str, Any]:
    """The second checkpoint with weights that lie `share` of the way from the first one's to its own.

    Raises `KeyError` for checkpoints of different networks.
    """
    name = next(name for name in WEIGHTS if name in second)
    old, new = first[name], second[name]
    mixed = {
        key: torch.lerp(old[key].float(), value.float(), share) if value.dtype.is_floating_point else value
        for key, value in new.items()
    }
    return {**second, name: mixed}


def main(
    first: Annotated[Path, typer.Argument(help="The earlier checkpoint.")],
    second: Annotated[Path, typer.Argument(help="The one that went on from it.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    share: Annotated[float, typer.Option(help="How far from the first to the second, 0 to 1.")] = 0.5,
) -> None:
    """Average the weights of two checkpoints."""
    states = [torch.load(path, weights_only=True, map_location="cpu") for path in (first, second)]
    torch.save(between(states[0], states[1], share), out)


if __name__ == "__main__":
    typer.run(main)
