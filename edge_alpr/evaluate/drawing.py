"""Pictures of an evaluation. Importing this wants matplotlib, which is not installed with the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_alpr.errors import EdgeAlprError
from edge_alpr.evaluate.calibration import Bin, Calibration

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise EdgeAlprError("pictures want matplotlib; install it: pip install 'edge-alpr[plots]'") from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GREY, BLUE, RED, PALE = "#1b1f24", "#6b7280", "#2563a8", "#c2281d", "#dfe5ec"
DPI = 100
_Z = 1.96
"""Standard errors on each side of a share that hold it with 95 %."""


def new_figure(width_px: int, height_px: int) -> Figure:
    """An empty white figure of that size."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write a PNG. Raises `EdgeAlprError` where the file cannot be written."""
    try:
        figure.savefig(file, format="png", dpi=DPI)
    except OSError as error:
        raise EdgeAlprError(f"{file}: cannot be written: {error.strerror or error}; name another file") from error


def draw_reliability(panels: Mapping[str, Calibration], file: Path) -> None:
    """Draw for each panel that has statements: above, the share that is right by the score; below, bin for bin.

    Bars show the share that is right with its 95 % interval (Wilson), diamonds the mean score, and the numbers how
    many statements a bin has. Raises `EdgeAlprError` where the file cannot be written.
    """
    shown = {title: calibration for title, calibration in panels.items() if calibration.count}
    columns = max(1, len(shown))
    figure = new_figure(430 * columns + 30, 760)
    if not shown:
        figure.text(0.5, 0.5, "nothing was stated", ha="center", color=GREY)
    grid = figure.add_gridspec(
        2, columns, height_ratios=(1.15, 1), left=70 / (430 * columns), right=0.985, top=0.9, bottom=0.16,
        wspace=0.28, hspace=0.3,
    )  # fmt: skip
    for column, (title, calibration) in enumerate(shown.items()):
        _diagonal(figure.add_subplot(grid[0, column]), title, calibration)
        _bars(figure.add_subplot(grid[1, column]), calibration.bins)
    save(figure, file)


def _diagonal(axes: Axes, title: str, calibration: Calibration) -> None:
    bins = calibration.bins
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axes.errorbar(
        [one.score for one in bins], [one.right for one in bins], yerr=_intervals(bins),
        color=BLUE, ecolor="#9db8d6", elinewidth=1.5, linewidth=1.5, marker="o", markersize=5, capsize=0,
    )  # fmt: skip
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    ece = 100 * (calibration.ece or 0.0)
    axes.set_title(f"{title}: {calibration.count} stated\nexpected calibration error {ece:.1f} %", fontsize=11)
    axes.set_xlabel("mean score of a bin", color=INK)
    axes.set_ylabel("share that is right", color=INK)
    _quiet(axes)


def _bars(axes: Axes, bins: Sequence[Bin]) -> None:
    places = list(range(len(bins)))
    axes.bar(places, [one.right for one in bins], yerr=_intervals(bins), width=0.72, color=PALE, ecolor="#9aa5b1")
    axes.plot(places, [one.score for one in bins], linestyle="none", marker="D", markersize=5, color=BLUE)
    for place, one in zip(places, bins, strict=True):
        axes.text(place, 0.02, str(one.count), ha="center", va="bottom", fontsize=8.5, color=INK)
    axes.set_xticks(places, [_range(one) for one in bins], rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_xlim(-0.6, max(len(bins), 4) - 0.4)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("right (bar), stated (diamond)", color=INK)
    axes.set_xlabel("scores of a bin, and how many", color=INK)
    _quiet(axes)


def _range(one: Bin) -> str:
    """Lowest and highest score of a bin, rounded down, so that 0.99998 is not shown as 1."""
    low, high = (f"{math.floor(value * 10000) / 10000:.4f}" for value in (one.low, one.high))
    return low if low == high else f"{low} to {high}"


def _intervals(bins: Sequence[Bin]) -> list[list[float]]:
    """How far the 95 % interval of each share reaches below and above it."""
    spans = [wilson(one.right, one.count) for one in bins]
    return [
        [max(0.0, one.right - low) for one, (low, _) in zip(bins, spans, strict=True)],
        [max(0.0, high - one.right) for one, (_, high) in zip(bins, spans, strict=True)],
    ]


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen among `count`."""
    scale = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    return middle - half, middle + half


def _quiet(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=GREY)
