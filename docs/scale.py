"""What a frame costs against plates in view, size of the picture, number of cameras: `edge-alpr bench` over and over.

    pip install -e .[plots]
    taskset -c 0 python docs/scale.py [--seconds 5] [--plot docs/scale.png]

Each row is a process of its own, with rendered frames: nothing is decoded. Prints tables for docs/latency.md, and draws
the first one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_alpr.bench.report import Report, Times, read_json
from edge_alpr.evaluate.drawing import BLUE, GREY, INK, RED, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STAGES = ("motion", "detect", "rectify", "read", "track")


@dataclass(frozen=True)
class Load:
    """What is drawn: plates in view of each camera, width and height, cameras."""

    plates: int = 1
    size: tuple[int, int] = (1280, 720)
    cameras: int = 1


ONE = Load()
PLATES = [replace(ONE, plates=plates) for plates in (0, 1, 4, 12)]
SIZES = [replace(ONE, size=size) for size in ((1280, 720), (1920, 1080), (2560, 1440))]
CAMERAS = [replace(ONE, cameras=cameras) for cameras in (1, 2, 3, 4)]


def measure(load: Load, pace: str, asked: argparse.Namespace) -> Report:
    """One run of the bench."""
    size = "x".join(map(str, load.size))
    print(f"{load.plates} plates, {size}, {load.cameras} cameras, {pace} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "edge_alpr.cli", "bench", "--plates", str(load.plates), "--size", size,
            "--cameras", str(load.cameras), "--pace", pace, "--threads", str(asked.threads),
            "--duration", str(asked.seconds), "--json", str(file),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return read_json(file)


def show_costs(loads: Sequence[Load], found: dict[Load, Report]) -> None:
    """Milliseconds a frame, as quick as it goes."""
    print(f"\n| plates | size | cameras | {' | '.join(STAGES)} | frame to told, p50 / p99 | fps | memory, MB |")
    print("|" + "---|" * (len(STAGES) + 6))
    for load in loads:
        report = found[load]
        stages = [f"{report.stages[name].p50:.1f}" if name in report.stages else "" for name in STAGES]
        total, size = report.stages["total"], f"{load.size[0]}x{load.size[1]}"
        cells = [load.plates, size, load.cameras, *stages, f"{total.p50:.1f} / {total.p99:.1f}", f"{report.fps:.0f}"]
        print(f"| {' | '.join(map(str, cells))} | {report.rss_mb or 0:.0f} |")


def show_live(found: dict[Load, Report]) -> None:
    """What becomes of cameras that give 30 frames a second each."""
    print("\n| cameras | fps of each | dropped, % | age at its turn, p50 / p99 ms | glass to done, p50 / p99 ms |")
    print("|---|---|---|---|---|")
    for load, report in found.items():
        each = report.cameras.values()
        fps = [camera.frames / report.seconds for camera in each] or [report.fps]
        spread = f"{min(fps):.1f} to {max(fps):.1f}" if len(fps) > 1 else f"{fps[0]:.1f}"
        dropped = 100 * report.dropped / (report.dropped + report.frames)
        ages = [camera.age for camera in each if camera.age]
        age = f"{max(a.p50 for a in ages):.1f} / {max(a.p99 for a in ages):.1f}" if ages else ""
        glass = report.stages["glass"]
        print(f"| {load.cameras} | {spread} | {dropped:.0f} | {age} | {glass.p50:.1f} / {glass.p99:.1f} |")


def draw(found: dict[Load, Report], file: Path) -> None:
    """Cost of a frame against each of the three."""
    figure = new_figure(1200, 380)
    panels: list[tuple[str, list[Load], Callable[[Load], float]]] = [
        ("plates in view", PLATES, lambda load: load.plates),
        ("megapixels", SIZES, lambda load: load.size[0] * load.size[1] / 1e6),
        ("cameras", CAMERAS, lambda load: load.cameras),
    ]
    most = max(report.stages["total"].p99 for report in found.values())
    for axes, (title, loads, place) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
        _panel(axes, [place(load) for load in loads], [found[load].stages["total"] for load in loads])
        axes.set_xlabel(title, color=INK)
        axes.set_ylim(0, 1.05 * most)
    figure.axes[0].set_ylabel("ms a frame, to its events told", color=INK)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    save(figure, file)


def _panel(axes: Axes, places: Sequence[float], totals: Sequence[Times]) -> None:
    for share, colour in (("p99", RED), ("p50", BLUE)):
        axes.plot(places, [getattr(total, share) for total in totals], marker="o", color=colour, label=share)
    axes.set_xticks(places, [f"{place:.2g}" for place in places])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=GREY)


def main() -> None:
    """Measure all loads, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, after a second of warm-up")
    parser.add_argument("--threads", type=int, default=1, help="of a network")
    parser.add_argument("--plot", type=Path, default=Path(__file__).with_name("scale.png"), metavar="FILE.png")
    asked = parser.parse_args()
    loads = list(dict.fromkeys([*PLATES, *SIZES, *CAMERAS]))
    found = {load: measure(load, "fast", asked) for load in loads}
    live = {load: measure(load, "live", asked) for load in CAMERAS}
    show_costs(loads, found)
    show_live(live)
    draw(found, asked.plot)


if __name__ == "__main__":
    main()
