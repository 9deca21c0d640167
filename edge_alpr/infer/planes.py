"""What every session on planes checks, whichever run-time is below: the package, the plane, the first answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.geometry import box_quad
from edge_alpr.infer.card import Card
from edge_alpr.infer.contract import Port
from edge_alpr.infer.cuda import ALIGNMENT
from edge_alpr.infer.package import ModelPackage
from edge_alpr.stages.near import WINDOW
from edge_alpr.stages.read import BEST, CLASSES, SHARPNESS
from edge_alpr.types import DevicePlane, Memory, Tensors

LUMA, QUADS = "luma", "quads"
GREY = 114
"""Level of the frame that a session is tried on."""
EMPTY: Mapping[str, NDArray[Any]] = {}


def check_package(package: ModelPackage, inputs: Sequence[Port], outputs: Sequence[Port]) -> Port:
    """Compare a graph for planes with its card; gives its port `luma`. Raises `ModelError` where they differ."""
    where, card = package.path, package.card
    again = "make the package again: python -m export.variants, then: edge-alpr build"
    ports = {port.name: port for port in inputs}
    luma = ports.get(LUMA)
    if luma is None or luma.dtype != "uint8" or len(luma.shape) != 4 or 0 in luma.shape:
        raise ModelError(f"{where}: it has no input '{LUMA}', uint8 (1, 1, rows, pitch), but {list(ports)}; {again}")
    if luma.shape != tuple(card.input.shape):
        raise ModelError(f"{where}: '{LUMA}' is {list(luma.shape)}, the card says {list(card.input.shape)}; {again}")
    others = {name: (port.dtype, port.shape[1:]) for name, port in ports.items() if name != LUMA}
    wanted = _extra(card)
    if others != wanted:
        raise ModelError(f"{where}: beside '{LUMA}' a {card.kind} has {wanted}, this one has {others}; {again}")
    missing = set(card.output.names) - {port.name for port in outputs}
    if missing:
        raise ModelError(f"{where}: the graph has no output {', '.join(sorted(missing))}; {again}")
    return luma


def _extra(card: Card) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What a network is fed beside the plane: kind of number, and shape of one row."""
    if card.detector:
        return {WINDOW: ("float32", (3,))} if card.detector.tier == "near" else {}
    return {QUADS: ("float32", (4, 2))}


def check_plane(plane: DevicePlane, luma: Port, where: str) -> int:
    """The address to bind as `luma`. Raises `ModelError` where the plane does not fit the engine."""
    rows, pitch = luma.shape[2:]
    if plane.memory is Memory.SYSTEM:
        raise ModelError(f"{where}: the frame lies in the host's memory; open a source of NVMM or CUDA memory")
    if (plane.height, plane.pitch) != (rows, pitch) or plane.width > pitch:
        raise ModelError(
            f"{where}: it is made for planes of {rows} rows and {pitch} bytes a row, the frame has {plane.height} rows "
            f"of {plane.width} pixels and {plane.pitch} bytes; make one for it: python -m export.variants --frame "
            f"{plane.width}x{plane.height} --pitch {plane.pitch}, then: edge-alpr build"
        )
    if plane.pointer % ALIGNMENT or not plane.pointer:
        raise ModelError(
            f"{where}: the plane begins at {plane.pointer:#x}, TensorRT wants a multiple of {ALIGNMENT}; "
            "take the whole surface, not a part of it"
        )
    return plane.pointer


def rows_of(feeds: Mapping[str, NDArray[Any]], inputs: Sequence[Port], where: str) -> int:
    """How many plates are fed, 1 where that is not free. Raises `ModelError` for feeds that are not the graph's."""
    rows = 1
    for port in inputs:
        fed = feeds.get(port.name)
        if fed is None or fed.dtype.name != port.dtype or not _fits(fed.shape, port.shape):
            given = "nothing" if fed is None else f"{fed.dtype} {list(fed.shape)}"
            wanted = f"{port.dtype} {list(port.shape)}"
            raise ModelError(f"{where}: '{port.name}' wants {wanted}, was fed {given}; report this")
        rows = len(fed) if port.shape[0] == 0 else rows
    return rows


Run = Callable[[Mapping[str, NDArray[Any]]], Tensors]


def probe(package: ModelPackage, luma: Port, batches: Sequence[int], run: Run) -> None:
    """Run once for each number of plates. Raises `ModelError` where what comes back is not what the card says."""
    for plates in batches:
        quad = box_quad(8, 8, luma.shape[3] / 2, luma.shape[2] / 2)
        rows = {QUADS: np.repeat(quad[None], plates, axis=0), WINDOW: np.array([[1, 0, 0]])}
        extra = {name: rows[name].astype(np.float32) for name in _extra(package.card)}
        _check_answer(package, run(extra), plates)


def _check_answer(package: ModelPackage, answer: Tensors, plates: int) -> None:
    """An engine short of memory can run and give nonsense, so the numbers are looked at too."""
    card = package.card
    if card.detector:
        k = card.detector.top_k
        wanted = {"scores": ("float32", (1, k)), QUADS: ("float32", (1, k, 4, 2))}
    else:
        wanted = {BEST: ("float16", (plates, 0, 0)), CLASSES: ("uint8", (plates, 0, 0))}
        wanted |= {SHARPNESS: ("float32", (plates,))}
    for name in card.output.names:
        found, (dtype, shape) = answer[name], wanted.get(name, ("", ()))
        if not _fits(found.shape, shape) or found.dtype.name != dtype or not np.isfinite(found).all():
            given, asked = f"{found.dtype} {list(found.shape)}", f"{dtype} {list(shape)}, all finite,"
            raise ModelError(f"{package.path}: '{name}' is {given}, {asked} is wanted; build it again: edge-alpr build")


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """0 stands for any number."""
    return len(shape) == len(wanted) and all(w in (0, s) for s, w in zip(shape, wanted, strict=True))
