"""The report for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from edge_alpr.bench.budget import figures, unit
from edge_alpr.bench.meter import STAGES
from edge_alpr.bench.process import ThreadLoad
from edge_alpr.bench.report import SHARES, Report

ABSENT = "not available"
LABELS = {
    "decode": "decode (wait)", "detect.resize": "  resize", "detect.network": "  network",
    "detect.look": "  second look",
    "total": "frame to told", "glass": "glass to done", "notify": "glass to told",
}  # fmt: skip
_COMPARED = (
    "fps", "p50", "p99", "detect.p50", "detect.p99", "read.p50", "read.p99", "glass.p99", "dropped", "reads", "cpu",
    "rss", "load", "first_read", "watts", "mj", "celsius",
)  # fmt: skip
_BUSY = 0.5
"""Percent of a core from which a thread is named."""


def show(report: Report, console: Console) -> None:
    """The performance summary."""
    console.print("[bold]=== Performance summary ===[/]")
    console.print(_stages(report))
    console.print()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in (*_work(report), *_board(report)):
        table.add_row(*row)
    console.print(table)
    for warning in report.warnings:
        console.print(f"[yellow]warning[/] {warning}", soft_wrap=True)


def _work(report: Report) -> Iterator[tuple[str, str]]:
    """Title and text of what was done, and at what cost."""
    setting = report.setting
    yield "source", f"{setting.source}, {setting.width}x{setting.height}, pace {setting.pace}"
    yield "frames", f"{report.frames} in {report.seconds:.1f} s, {report.dropped} dropped"
    yield "speed", f"{report.fps:.1f} fps{f' of {setting.cameras} cameras' if setting.cameras > 1 else ''}"
    for name, camera in report.cameras.items():
        age = f", age at its turn p50 {camera.age.p50:.1f}, p99 {camera.age.p99:.1f} ms" if camera.age else ""
        yield f"  {name}", f"{camera.frames / report.seconds:.1f} fps, {camera.dropped} dropped{age}"
    drawn = "" if setting.plates is None else f", {setting.plates} drawn"
    yield "plates a frame", f"{report.found_per_frame:.2f} found, {report.reads_per_frame:.2f} read{drawn}"
    load, first = _value(report.load_s, " s", 2), _value(report.first_read_s, " s", 2)
    yield "start", f"models loaded in {load}, process begun to first read {first}"
    yield "memory", f"{_value(report.rss_mb, ' MB', 0)} at most"
    busy = [f"{_thread(one)} {one.percent:.0f}" for one in report.threads if one.percent >= _BUSY]
    yield "CPU", f"{_value(report.cpu_percent, ' % of a core', 0)}: {', '.join(busy)}"


def _board(report: Report) -> Iterator[tuple[str, str]]:
    """Title and text of where it was done."""
    machine = report.machine
    of = f" of the {machine.power_of}" if machine.power_of else ""
    yield "power", f"{_value(report.watts, ' W', 2)}{of}"
    yield "energy a frame", _value(report.mj_per_frame, " mJ", 0)
    yield "power mode", machine.power_mode or ABSENT
    yield "heat", _value(report.celsius, " °C at most", 1)
    yield "board", machine.board
    turbo = {None: ABSENT, True: "on", False: "off"}[machine.turbo]
    yield "processor", f"{machine.cpu}, {machine.cores} cores"
    yield "clocks", f"governor {machine.governor or ABSENT}, turbo {turbo}"
    yield from report.models.items()
    yield "versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())


def _thread(load: ThreadLoad) -> str:
    return f"{load.name} x{load.count}" if load.count > 1 else load.name


def show_change(old: Report, new: Report, console: Console) -> None:
    """Two reports side by side, with the change in percent."""
    before, after = figures(old), figures(new)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "old", "new", "change"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name in _COMPARED:
        measured_in = unit(name)
        title = name if measured_in in ("", name) else f"{name}, {measured_in}"
        table.add_row(title, *_pair(before.get(name), after.get(name)))
    console.print()
    console.print(table)
    for difference in differences(old, new):
        console.print(f"[yellow]warning[/] not the same {difference}", soft_wrap=True)


def change(old: float | None, new: float | None) -> str:
    """`+4.2 %`; `not available` where it cannot be said."""
    if old is None or new is None or (old == 0 and new != 0):
        return ABSENT
    return f"{100 * (new - old) / old:+.1f} %" if old else "+0.0 %"


def differences(old: Report, new: Report) -> list[str]:
    """What besides the program differs between two reports, so that they say little of it."""
    pairs = {
        "load": (_load(old), _load(new)),
        "processor": (old.machine.cpu, new.machine.cpu),
        "cores": (old.machine.cores, new.machine.cores),
        "board": (old.machine.board, new.machine.board),
        "power mode": (old.machine.power_mode, new.machine.power_mode),
        "governor": (old.machine.governor, new.machine.governor),
        "threads": (old.setting.threads, new.setting.threads),
    }
    return [f"{what}: {a} before, {b} now" for what, (a, b) in pairs.items() if a != b]


def _load(report: Report) -> str:
    setting = report.setting
    cameras = f", {setting.cameras} cameras" if setting.cameras > 1 else ""
    return f"{setting.source} at {setting.width}x{setting.height}, {setting.pace}{cameras}"


def _stages(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("ms a frame")
    for heading in (*SHARES, "frames"):
        table.add_column(heading, justify="right")
    for name in STAGES:
        if name in report.stages:
            times = report.stages[name]
            values = [f"{getattr(times, share):.2f}" for share in SHARES]
            style = "bold" if name in ("total", "glass", "notify") else ""
            table.add_row(LABELS.get(name, name), *values, str(times.count), style=style)
    return table


def _pair(old: float | None, new: float | None) -> Sequence[str]:
    return _value(old, "", 2), _value(new, "", 2), change(old, new)


def _value(value: float | None, unit_shown: str, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}{unit_shown}"
