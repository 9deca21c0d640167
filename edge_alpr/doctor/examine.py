"""The table of probes, and the table that people see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_alpr.config import Config
from edge_alpr.doctor import drive, gpu, host, learning, networks, video
from edge_alpr.doctor.finding import Finding, Status, from_error
from edge_alpr.errors import EdgeAlprError

_ORDER: tuple[Status, ...] = ("ok", "limited", "missing")
_COLOURS: dict[Status, str] = {"ok": "green", "limited": "yellow", "missing": "red"}


@dataclass(frozen=True, slots=True)
class Probe:
    """A look at one part of the device. `look` may raise: that becomes a finding."""

    area: str
    look: Callable[[Config], Iterable[Finding]]


PROBES = (
    Probe("board", host.board),
    Probe("Python", host.python),
    Probe("clock", host.clock),
    Probe("GStreamer", video.gstreamer),
    Probe("recordings", video.recordings),
    Probe("decoders", video.decoders),
    Probe("network camera", video.rtsp),
    Probe("USB camera", video.v4l2),
    Probe("sample drive", video.sample),
    Probe("model set", networks.model_set),
    Probe("detector", networks.detector),
    Probe("reader", networks.reader),
    Probe("whole way", networks.whole_way),
    Probe("run-time", networks.runtimes),
    Probe(gpu.AREA, gpu.gpu),
    Probe("store", host.store),
    Probe("last drive", drive.heartbeat),
    Probe("models fit the road", learning.drift),
    Probe("hard examples", learning.hard_examples),
)


def examine(config: Config, probes: Sequence[Probe] = PROBES) -> list[Finding]:
    """Run every probe; none of them keeps the others from running."""
    return [finding for probe in probes for finding in _look(probe, config)]


def worst(findings: Sequence[Finding]) -> Status:
    """The worst status of all; `ok` for no findings."""
    return max((finding.status for finding in findings), key=_ORDER.index, default="ok")


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print the table, and below it, one a line and unbroken, what mends each thing."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("part", "state", "what"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        status = Text(finding.status, style=_COLOURS[finding.status])
        table.add_row(finding.area, status, Text(finding.what))
    console.print(table)
    remedies = [finding for finding in findings if finding.remedy]
    if remedies:
        console.print("\nTo mend it:")
    for finding in remedies:
        console.print(f"  {finding.area}: {finding.remedy}", soft_wrap=True, markup=False, highlight=False)


def _look(probe: Probe, config: Config) -> Iterator[Finding]:
    try:
        yield from probe.look(config)
    except EdgeAlprError as error:
        yield from_error(probe.area, error)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        yield Finding(probe.area, "missing", f"the check itself failed: {reason}", "report it with this line")
