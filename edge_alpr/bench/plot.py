"""A picture of the latencies. Importing this wants matplotlib, which is not installed with the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_alpr.evaluate.drawing import BLUE, GREY, INK, RED, new_figure, save

AMBER = "#d08a1d"
_SHOWN = ("detect", "read", "total")


def plot(values: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw how often each latency was met (left) and when (right), in ms, of the whole way and its largest stages.

    Raises `EdgeAlprError` where the file cannot be written.
    """
    figure = new_figure(1100, 420)
    shown = {name: values[name] for name in _SHOWN if values.get(name)}
    colours = dict(zip(_SHOWN, (GREY, AMBER, BLUE), strict=True))
    most = max((max(each) for each in shown.values()), default=1.0)
    left, right = figure.subplots(1, 2)
    for name, each in shown.items():
        left.hist(each, bins=np.linspace(0, most, 60).tolist(), color=colours[name], alpha=0.85, label=name)
        right.plot(range(len(each)), each, ".", markersize=3, color=colours[name], label=name)
    if total := values.get("total"):
        p99 = float(np.percentile(np.asarray(total), 99))
        left.axvline(p99, color=RED, linewidth=1, label=f"p99 of total: {p99:.1f} ms")
    left.set_xlabel("ms a frame", color=INK)
    left.set_ylabel("frames", color=INK)
    right.set_xlabel("frames with that stage, in their order", color=INK)
    right.set_ylabel("ms", color=INK)
    right.set_ylim(0, 1.05 * most)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
        axes.spines["top"].set_visible(False)
        axes.spines["right"].set_visible(False)
    figure.tight_layout()
    save(figure, file)
