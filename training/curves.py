"""Training curves as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_curves(table: Path, picture: Path) -> None:
    """Draw a CSV of `step`, `loss` and shares: the loss on the left axis, every other column on the right."""
    with table.open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure, left = plt.subplots(figsize=(7, 4), dpi=110)
    left.plot(steps, [float(row["loss"]) for row in rows], color="0.5", label="loss")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    right = left.twinx()
    right.set(ylim=(0, 1), ylabel="share")
    for name in rows[0]:
        if name not in {"step", "hours", "loss"}:
            right.plot(steps, [float(row[name] or "nan") for row in rows], label=name.replace("_", " "))
    figure.legend(loc="upper center", ncol=4, fontsize=8)
    figure.savefig(picture)
    plt.close(figure)
