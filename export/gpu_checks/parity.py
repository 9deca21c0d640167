"""The whole way from plane to reads on each run-time beside the processor's: texts, corners, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from edge_alpr.build.golden import LIMITS, SURE, Limits
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.infer.cuda import Gpu
from edge_alpr.infer.tensorrt import PlaneSession
from edge_alpr.onplane import OnPlane, PlaneNets
from edge_alpr.types import Detection, Read
from export.gpu_checks.line import Figure, Figures, Line, attempt, wrong_if
from export.gpu_checks.rungs import PROVIDERS, OnProcessor, Opened, looking, on_onnxruntime, on_tensorrt
from export.gpu_checks.site import Networks, Site, Slot, frames_for, gpu_of, networks, slots

_SAME_PLACE = 0.3
_PASSES = 3
"""Over the same planes: the first run of an address is not captured, the second is, the third is a launch alone."""
_SAME_RUN = 1e-3
"""What a captured run may differ from an enqueued one by, in scores and pixels."""


Opener: TypeAlias = Callable[[Gpu, ExitStack], Opened]
"""A run-time on a GPU; what it opens is closed with the stack."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one frame."""

    plates: list[Detection]
    reads: list[Read]


def _onnxruntime(rung: str, gpu: Gpu, _stack: ExitStack) -> Opened:
    return on_onnxruntime(gpu, rung)


def parity(site: Site) -> Iterator[Line]:
    """TensorRT in each precision with each detector."""
    yield from _each(site, "parity", "tensorrt", partial(on_tensorrt, site))


def rungs(site: Site) -> Iterator[Line]:
    """ONNX Runtime's providers, the plane bound where it lies."""
    for rung in PROVIDERS:
        yield from _each(site, "rungs", rung, partial(_onnxruntime, rung))


def _each(site: Site, check: str, rung: str, opener: Opener) -> Iterator[Line]:
    for found in networks(site):
        for tier in found.tiers:
            yield attempt(check, f"{rung} {found.name} {tier}", partial(_beside, site, found, tier, opener))


def _beside(site: Site, found: Networks, tier: str, opener: Opener) -> Figures:
    with gpu_of(site) as gpu, ExitStack() as stack:
        opened = opener(gpu, stack)
        planes = slots(gpu, found.graphs[tier], frames_for(site, found.graphs[tier]), stack)
        return _compared(found, tier, opened, planes)


def _compared(found: Networks, tier: str, opened: Opened, planes: Sequence[Slot]) -> Figures:
    ours = looking(found, tier, opened)
    before = {id(one): one.runs for one in _tensorrts(ours.nets)}
    passes = [seen(ours, planes) for _ in range(_PASSES)]
    wanted = seen(looking(found, tier, lambda graph: OnProcessor(graph, planes)), planes)
    figures, problems = compare(passes[0], wanted, LIMITS[found.precision])
    again = compare(passes[-1], passes[0], Limits(_SAME_RUN, _SAME_RUN))
    figures |= {"last_run_px": again[0]["corners_px"], "last_run_score": again[0]["score"]}
    problems |= {f"run again, {problem}": there for problem, there in again[1].items()}
    counted, uncaptured = _captured(ours.nets, before)
    together = _two_at_once(ours, planes)
    problems |= {f"not captured: {uncaptured}": bool(uncaptured), f"two frames at once: {together}": bool(together)}
    return wrong_if(problems, figures | counted)


def seen(looks: OnPlane, planes: Sequence[Slot]) -> list[Seen]:
    """What is found and read, frame by frame."""
    result = []
    for slot in planes:
        looked = looks.start(slot.plane)
        looked.consumed()
        result.append(Seen(looked.detections, looked.result()[1]))
    return result


def compare(
    found: Sequence[Seen], wanted: Sequence[Seen], limits: Limits
) -> tuple[dict[str, Figure], dict[str, bool]]:
    """The figures, and what is wrong with them: plates that only one has, texts, corners, scores.

    A plate within the limit of the threshold may be missed by one of both.
    """
    alone = texts = same = plates = 0
    moved, change = [0.0], [0.0]
    for ours, theirs in zip(found, wanted, strict=True):
        pairs = list(_paired(ours, theirs))
        plates += len(theirs.plates)
        clear = [plate for plate in (*ours.plates, *theirs.plates) if plate.score > 0.35 + limits.score]
        alone += max(0, len(clear) - 2 * len(pairs))
        for (a, read), (b, true) in pairs:
            moved.append(float(np.abs(a.quad - b.quad).max()))
            change.append(abs(a.score - b.score))
            if true.plate and true.score >= SURE:
                texts, same = texts + 1, same + (read.plate == true.plate)
                change += [abs(read.score - true.score)] if read.plate == true.plate else []
    figures: dict[str, Figure] = {
        "frames": len(found), "plates": plates, "texts": texts, "texts_same": same, "plates_alone": alone,
        "corners_px": max(moved), "score": max(change),
    }  # fmt: skip
    return figures, {
        "nothing is read, so nothing is proven": not texts,
        f"{texts - same} texts differ": same < texts,
        f"{alone} plates are seen by one alone": alone > 0,
        f"a corner lies {max(moved):.2f} px off": max(moved) > limits.corners_px,
        f"a score differs by {max(change):.3f}": max(change) > limits.score,
    }


Told: TypeAlias = tuple[Detection, Read]


def _paired(ours: Seen, theirs: Seen) -> Iterator[tuple[Told, Told]]:
    left = list(zip(ours.plates, ours.reads, strict=True))
    for plate, read in zip(theirs.plates, theirs.reads, strict=True):
        box = quad_box(plate.quad)
        best = max(left, key=lambda one: box_iou(box, quad_box(one[0].quad)), default=None)
        if best is not None and box_iou(box, quad_box(best[0].quad)) >= _SAME_PLACE:
            left.remove(best)
            yield best, (plate, read)


def _tensorrts(nets: PlaneNets) -> list[PlaneSession]:
    """TensorRT's sessions among them; other run-times capture nothing."""
    sessions = [nets.detector, nets.reader, *([nets.near.session] if nets.near else [])]
    return [session for session in sessions if isinstance(session, PlaneSession)]


def _captured(nets: PlaneNets, before: Mapping[int, int]) -> tuple[dict[str, Figure], str]:
    """Runs and launches, and why one that ran was not captured."""
    ran = [session for session in _tensorrts(nets) if session.runs > before[id(session)]]
    figures: dict[str, Figure] = {}
    if ran:
        figures = {"runs": sum(one.runs for one in ran), "launches": sum(one.launches for one in ran)}
    reasons = [one.no_graphs or ("" if one.launches else "no graph was launched") for one in ran]
    return figures, next(filter(None, reasons), "")


def _two_at_once(looks: OnPlane, planes: Sequence[Slot]) -> str:
    """The next frame is found while one is read: TensorRT 8.6 lets two contexts have one profile only when told."""
    one = next((slot for slot in planes if looks.start(slot.plane).result()[1]), None)
    if one is None:
        return "no frame has plates"
    try:
        runs = [looks.start(one.plane) for _ in range(2)]
        texts = [[read.plate for read in run.result()[1]] for run in runs]
    except Exception as error:  # told as what does not hold
        return " ".join(str(error).split())
    return "" if texts[0] == texts[1] else f"{texts[0]} and {texts[1]}"
