"""The graphs in single and half precision for one plane, without judging them: for a machine that has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_alpr.infer.card import DetectorTier
from edge_alpr.infer.package import load_package, shipped
from export.compose import Plane
from export.half import to_half
from export.nodes import load_full
from export.variants import Variant, composed, file_name, write


def make_graphs(
    folder: Path,
    plane: Plane,
    precisions: Sequence[str] = ("fp32", "fp16"),
    tiers: Sequence[DetectorTier] = ("large", "small", "near"),
) -> None:
    """Detectors and reader, each with its card. INT8 is made, and all is judged, by `python -m export.variants`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*(shipped("detector", tier) for tier in tiers), shipped("reader")):
        package = load_package(path)
        core = load_full(package.model)
        for precision in precisions:
            variant = Variant(package, "gpu", precision, core if precision == "fp32" else to_half(core))
            write(variant, composed(variant, plane), plane, folder / file_name(variant, plane))
