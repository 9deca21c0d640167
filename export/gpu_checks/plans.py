"""Each graph is built by our builder and proven; the second run keeps the plans."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from edge_alpr.build.command import Here
from edge_alpr.build.golden import check_detector, check_near, check_reader
from edge_alpr.build.run import Row, Workshop, compile_graphs
from edge_alpr.errors import EdgeAlprError
from edge_alpr.infer.choose import Choice
from edge_alpr.infer.graphs import Graph, gpu_graphs, outdated
from edge_alpr.infer.plan import Golden, Plan, record_golden
from edge_alpr.infer.planfolder import PlanFolder
from edge_alpr.infer.reference import ReferenceSession
from edge_alpr.ports import Session
from export.gpu_checks.line import AbsentError, Figure, Figures, Line, WrongError, attempt, wrong_if
from export.gpu_checks.site import Site, stills


def build(site: Site) -> Iterator[Line]:
    """A line for each graph: parsed, built, and its numbers beside ONNX Runtime's; a build again must keep the plan."""
    try:
        graphs = gpu_graphs(site.folder)
    except EdgeAlprError as error:
        yield Line(check="build", what="graphs", result="failed", why=str(error))
        return
    for graph in sorted(graphs, key=lambda graph: ("fp16", "fp32", "int8").index(graph.precision)):
        what = f"{graph.name} {graph.precision}"
        if stale := outdated(graph):
            yield Line(check="build", what=what, result="failed", why=f"{stale}; python -m export.variants")
            continue
        yield attempt("build", what, partial(_built, site, graph))


def _built(site: Site, graph: Graph) -> Figures:
    here = site.here()
    try:
        trt, machine = here.tensorrt(), here.machine()
    except EdgeAlprError as error:
        raise AbsentError(str(error)) from error
    shop = Workshop(PlanFolder(site.folder, site.hardware.recipe(site.folder), machine, trt), here.open_plan, False)
    row = _compiled(graph, shop)
    if row.plan is None:
        raise WrongError(row.why, {})
    megabytes = len(row.plan.data) / 1e6
    figures: dict[str, Figure] = {"plan": row.did, "build_s": row.plan.sidecar.seconds, "plan_mb": megabytes}
    golden = _proven(site, graph, row.plan, here)
    figures |= {
        "frames": golden.frames, "plates": golden.plates, "corners_px": golden.corners_px, "score": golden.score,
        "texts": golden.texts, "texts_same": golden.texts_same,
    }  # fmt: skip
    again = _compiled(graph, shop)
    return wrong_if({
        f"golden check: {golden.problem}": not golden.passed,
        f"a second build does not keep it: {again.did} {again.why}": golden.passed and again.did != "kept",
    }, figures)  # fmt: skip


def _compiled(graph: Graph, shop: Workshop) -> Row:
    (row,) = compile_graphs([Choice(graph)], shop, lambda graph: lambda phase, parent, done, steps: None)
    return row


def _proven(site: Site, graph: Graph, plan: Plan, here: Here) -> Golden:
    """The golden check of `edge-alpr build`, on frames that need no GStreamer; its result is kept beside the plan."""
    with here.open_plan(plan) as session:
        golden = _checked(site, session, graph, plan.sidecar.identity.profiles)
    record_golden(plan, golden)
    return golden


def _checked(site: Site, session: Session, graph: Graph, profiles: tuple[int, ...]) -> Golden:
    reference = ReferenceSession(graph.package)
    frames = stills(graph.width, graph.height, min(8, site.effort.stills))
    if graph.tier == "near":
        return check_near(session, reference, graph, frames)
    if graph.kind == "detector":
        return check_detector(session, reference, graph, frames)
    return check_reader(session, reference, graph, frames, profiles)
