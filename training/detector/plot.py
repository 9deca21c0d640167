"""The history of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """Losses on the left, figures on the dev pictures on the right, over images seen."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for key in ("score", "corners", "box", "fine"):
        left.plot([h["images"] for h in history], [h.get(key, float("nan")) for h in history], label=key)
    scored = [h for h in history if "dashcam_recall" in h]
    for key in [k for k in scored[-1] if k.endswith(("_recall", "_precision"))] if scored else []:
        right.plot([h["images"] for h in scored], [h[key] for h in scored], marker=".", label=key)
    left.set(xlabel="images", ylabel="loss", yscale="log")
    right.set(xlabel="images", ylabel="dev", ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)
