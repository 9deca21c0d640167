"""What is told of the variants: size, speed, loss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from rich.console import Console
from rich.table import Column, Table

from edge_alpr.stages.near import WINDOW
from export.alike import Alike
from export.compose import BATCHES, Plane, bytes_out
from export.judge import Loss
from export.product import CoreSession

ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of a variant. Milliseconds are of one core of this machine, the GPU's graphs too."""

    file: str
    megabytes: float
    ms: float
    loss: Loss | None
    refused: str
    recipe: str


def median_ms(models: Mapping[str, ModelProto], plane: Plane) -> dict[str, float]:
    """Milliseconds of a core (its own time, not the wall's) a run, medians; all take turns."""
    sessions = {name: CoreSession(model) for name, model in models.items()}
    feeds = {name: _trial(model, plane) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(feeds[name])
            times[name].append((time.process_time() - start) * 1e3)
    return {name: round(float(np.median(values[3:])), 2) for name, values in times.items()}


def _trial(model: ModelProto, plane: Plane) -> dict[str, NDArray[Any]]:
    """Noise, and one plate in the middle."""
    feeds: dict[str, NDArray[Any]] = {}
    for port in model.graph.input:
        shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
        feeds[port.name] = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    if "quads" in feeds:
        x, y = plane.width / 2, plane.height / 2
        feeds["quads"] = np.array([[[x, y], [x + 100, y + 5], [x + 100, y + 30], [x, y + 25]]], np.float32)
    if WINDOW in feeds:
        feeds[WINDOW] = np.array([[1, -plane.width / 2, -plane.height / 2]], np.float32)
    return feeds


def show(rows: Sequence[Row], alike: Mapping[str, Alike], console: Console) -> None:
    """The tables."""
    names = "MB", "ms", "read whole", "lost", "sample lost", "differ", "score change", "corners, px"
    table = Table(Column("file", no_wrap=True), *names)
    for row in rows:
        name = row.file + (" NOT WRITTEN" if row.refused else "")
        table.add_row(name, f"{row.megabytes:.2f}", f"{row.ms:.2f}", *(_figures(row.loss) if row.loss else ()))
    console.print(table)
    for name, each in alike.items():
        console.print(
            f"{name}: {each.frames} frames, {each.same} of {each.plates} plates read as on the CPU, corners at most "
            f"{each.moved_most:.3f} px away, p99 {each.moved_p99:.3f}",
            soft_wrap=True,
        )
    sizes = ", ".join(f"{n}: {bytes_out(n)}" for n in (0, *BATCHES))
    console.print(f"bytes that leave the GPU for a frame, by plates read: {sizes}")


def _figures(loss: Loss) -> tuple[str, ...]:
    return (
        f"{loss.right}/{loss.plates}, was {loss.right_before}",
        f"{loss.points_lost:.2f}",
        f"{loss.sample_points_lost:.2f}",
        f"{loss.differ}/{loss.compared}",
        f"{loss.score_mean:.4f}, most {loss.score_max:.2f}",
        f"{loss.moved_px_mean:.2f}, p95 {loss.moved_px_p95:.2f}" if loss.moved_px_mean else "",
    )
