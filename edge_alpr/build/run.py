"""What `edge-alpr build` does: each graph's plan is found, or built and proven; or a folder is prepared for a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_alpr import __version__
from edge_alpr.build.frames import golden_frames
from edge_alpr.build.golden import check_detector, check_near, check_reader
from edge_alpr.errors import EdgeAlprError, PlanError
from edge_alpr.infer.atomic import write_whole
from edge_alpr.infer.builder import build_plan
from edge_alpr.infer.buildlog import Step
from edge_alpr.infer.choose import Choice
from edge_alpr.infer.graphs import Graph, settings_of
from edge_alpr.infer.identity import Identity
from edge_alpr.infer.plan import Golden, Plan, Sidecar, find_built, find_plan, forget_older, record_golden, write_plan
from edge_alpr.infer.planfolder import PlanFolder
from edge_alpr.infer.reference import ReferenceSession
from edge_alpr.ports import Session

OpenPlan = Callable[[Plan], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Row:
    """What was done for one graph: `did` is kept, checked, built or failed, `why` the reason."""

    graph: Graph
    did: str
    why: str
    seconds: float = 0.0
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """What building needs of the machine it runs on."""

    plans: PlanFolder
    open_plan: OpenPlan
    check: bool


def compile_graphs(choices: Sequence[Choice], shop: Workshop, step: Callable[[Graph], Step]) -> list[Row]:
    """A row for each chosen graph; one that fails stops none of the others."""
    rows = []
    for choice in choices:
        try:
            row = _plan_of(choice.graph, shop, step(choice.graph))
        except EdgeAlprError as error:
            row = Row(choice.graph, "failed", str(error))
        rows.append(replace(row, why="; ".join(filter(None, [row.why, choice.note]))))
    return rows


def _plan_of(graph: Graph, shop: Workshop, step: Step) -> Row:
    """Keep a proven plan; check one that was only built; else build. Raises `EdgeAlprError`."""
    folder, identity = shop.plans.folder, shop.plans.identity(graph)
    try:
        return Row(graph, "kept", "", plan=find_plan(folder, identity))
    except PlanError as error:
        why = str(error).partition(": ")[2].rpartition("; ")[0]  # without its path and its remedy
    plan, did, seconds = _unchecked(folder, identity), "checked", 0.0
    if plan is None:
        plan, did = _build(graph, identity, shop.plans, step), "built"
        seconds = plan.sidecar.seconds
    if not shop.check:
        return Row(graph, did, f"{why} (not checked, so it is not used yet)", seconds, plan)
    with shop.open_plan(plan) as session:
        golden = check(session, graph, identity.profiles)
    plan = record_golden(plan, golden)
    if not golden.passed:
        raise PlanError(f"{plan.path}: its golden check failed: {golden.problem}; it is not used")
    forget_older(folder, identity)
    return Row(graph, did, why, seconds, plan)


def check(session: Session, graph: Graph, profiles: Sequence[int]) -> Golden:
    """The golden check of a plan that runs as `session`. Raises `ModelError` where nothing can be proven."""
    reference, frames = ReferenceSession(graph.package), golden_frames(graph.width, graph.height)
    if graph.tier == "near":
        return check_near(session, reference, graph, frames)
    if graph.kind == "detector":
        return check_detector(session, reference, graph, frames)
    return check_reader(session, reference, graph, frames, profiles)


def _unchecked(folder: Path, identity: Identity) -> Plan | None:
    """A sound plan whose check was not run yet, as after a power cut; one that failed it is built anew."""
    try:
        plan = find_built(folder, identity)
    except PlanError:
        return None
    return None if plan.sidecar.golden else plan


def _build(graph: Graph, identity: Identity, plans: PlanFolder, step: Step) -> Plan:
    cache = plans.folder / timing_name(identity)
    try:
        timing = cache.read_bytes() if cache.is_file() else b""
        built = build_plan(plans.trt, graph.package.model, settings_of(graph, plans.recipe), timing, step)
        plan = write_plan(plans.folder, built.plan, _sidecar(identity, built.seconds))
        write_whole(cache, built.timing)
    except OSError as error:
        raise PlanError(f"{cache}: {error.strerror}; free some space, or name another folder: --out") from error
    return plan


def _sidecar(identity: Identity, seconds: float) -> Sidecar:
    return Sidecar(
        identity=identity,
        builder=f"edge-alpr {__version__}",
        built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
    )


def timing_name(identity: Identity) -> str:
    """The file of kernel timings, which hold for one TensorRT, kind of GPU and driver."""
    return f"timing-trt{identity.tensorrt}-sm{identity.sm.replace('.', '')}-{identity.driver or 'driver'}.cache"
