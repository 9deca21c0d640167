"""The golden drive: whether the sample drive that ships reads right here, with the installed models or a set of others.

It goes the way of every drive, on the rung that drives of this device run on. Beside a reader it gives way: a low
priority, and one thread for a network.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import msgspec

from edge_alpr.config import (
    Config,
    DisplayConfig,
    LearningConfig,
    OutputConfig,
    SourceConfig,
    StoreConfig,
    load_config,
)
from edge_alpr.device import BoardWatch, open_board
from edge_alpr.device.host import rss_mb
from edge_alpr.drive import Drive, Screen, Summary
from edge_alpr.errors import EdgeAlprError
from edge_alpr.evidence import canonical
from edge_alpr.infer.sets import CURRENT, current_set, set_in
from edge_alpr.ota.types import Verdict
from edge_alpr.types import Event

SAMPLE = "drive"
NICE = 10
_EVENTS = "events.jsonl"


class _Plate(msgspec.Struct):
    text: str


class _Truth(msgspec.Struct):
    plates: list[_Plate]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a golden drive must keep to; 0: no limit."""

    p99_ms: float = 0.0
    """Of decoded frame to reads. Another program at work makes it longer: set it well above what is usual."""
    watts: float = 0.0
    """Mean of what the board draws, as far as it tells."""


@dataclass(slots=True)
class Seen:
    """What came of it."""

    summary: Summary
    told: Counter[str] = field(default_factory=Counter)
    """How often each text was told, less what was withdrawn."""
    watts: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def expected() -> frozenset[str]:
    """The plates of the sample drive, O as 0 and I as 1."""
    lines = (files("edge_alpr.samples") / f"{SAMPLE}.jsonl").read_text(encoding="utf-8").splitlines()
    truths = (msgspec.json.decode(line, type=_Truth) for line in lines)
    return frozenset(canonical(plate.text) for truth in truths for plate in truth.plates)


def judge(seen: Seen, wanted: frozenset[str], version: str, limits: Limits) -> str:
    """What did not hold, in one line; empty where all did. `version` is that of the set that was to read."""
    summary, told = seen.summary, set(seen.told)
    p99_ms = (summary.stages or {}).get("total", (0.0, 0.0))[1]
    mean_w = sum(seen.watts) / len(seen.watts) if seen.watts else 0.0
    checks = (
        (summary.models_version != version, f"the shipped models read: {summary.models_refused}"),
        (summary.gpu_lost, f"the GPU was given up: {summary.gpu_lost}"),
        (wanted - told, f"not told: {', '.join(sorted(wanted - told))}"),
        (told - wanted, f"told and not there: {', '.join(sorted(told - wanted))}"),
        (max(seen.told.values(), default=0) > 1, "a vehicle was told more than once"),
        (limits.p99_ms and p99_ms > limits.p99_ms, f"a frame takes {p99_ms:.1f} ms (p99), more than {limits.p99_ms:g}"),
        (limits.watts and mean_w > limits.watts, f"the board draws {mean_w:.1f} W, more than {limits.watts:g}"),
    )
    return next((why for wrong, why in checks if wrong), "")


def golden(config: Config, folder: Path | None = None, limits: Limits = Limits()) -> Verdict:
    """Read the sample drive with the models of a folder, or those that read here, and judge it; never raises.

    Some 600 frames, at full speed. Nothing is left behind.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edge-alpr-golden-") as place:
            models = config.models
            wanted = set_in(folder.resolve(), models.tier) if folder else current_set(models)
            seen = _drive(config, folder, Path(place))
    except (EdgeAlprError, OSError) as error:
        return Verdict(False, " ".join(str(error).split()))
    why = judge(seen, expected(), wanted.version, limits)
    return Verdict(not why, why, _facts(seen))


def lower() -> None:
    """Give way to all other programs, for good."""
    os.nice(NICE)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m edge_alpr.update.golden`. Exit code 1 where it did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="a model set; else what reads here")
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--p99-ms", type=float, default=0.0, help="most for a frame, 99th percentile; 0: no limit")
    parser.add_argument("--watts", type=float, default=0.0, help="most that the board may draw, mean; 0: no limit")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    told = parser.parse_args(arguments)
    lower()
    verdict = golden(load_config(told.config), told.models, Limits(told.p99_ms, told.watts))
    show(verdict, told.json)
    return 0 if verdict.good else 1


def show(verdict: Verdict, as_json: bool) -> None:
    """Print it: {"good", "why", "facts"}, or for people."""
    if as_json:
        print(msgspec.json.encode(verdict).decode())
        return
    print("good" if verdict.good else f"not good: {verdict.why}")
    for name, value in verdict.facts.items():
        print(f"  {name}: {value:g}")


def _drive(config: Config, folder: Path | None, place: Path) -> Seen:
    """Raises the typed errors of a drive."""
    with _watts() as watts:
        begun = time.process_time()
        summary = Drive(_alone(config, folder, place), Screen()).run()
        cpu_s = time.process_time() - begun
    lines = (place / _EVENTS).read_bytes().splitlines() if (place / _EVENTS).exists() else []
    return Seen(summary, _told([msgspec.json.decode(line, type=Event) for line in lines]), watts, cpu_s)


def _alone(config: Config, folder: Path | None, place: Path) -> Config:
    """The sample drive, with this device's models and settings for reading, and nothing of what others see or keep."""
    models = msgspec.structs.replace(config.models, threads=1)
    if folder is not None:
        (place / CURRENT).symlink_to(folder.resolve())
        models = msgspec.structs.replace(models, shelf=str(place), detector="", reader="")
    return Config(
        source=SourceConfig(uri=f"sample://{SAMPLE}"),
        models=models,
        detect=config.detect,
        store=StoreConfig(path=str(place / "store"), keep_images=False, signing_key=str(place / "key")),
        output=OutputConfig(events=str(place / _EVENTS)),
        learning=LearningConfig(watch_drift=False),
        display=DisplayConfig(live_fps=0.0, runtime=str(place)),  # no screen shows this street
    )


def _told(events: Sequence[Event]) -> Counter[str]:
    last = {event.uuid: event for event in sorted(events, key=lambda event: event.seq)}
    return Counter(canonical(event.plate) for event in last.values() if event.state == "confirmed")


@contextmanager
def _watts() -> Iterator[list[float]]:
    readings: list[float] = []
    watch = BoardWatch(open_board().read, hear=lambda reading: readings.append(reading.watts or 0.0))
    watch.start()
    try:
        yield readings
    finally:
        watch.stop()
        readings[:] = [reading for reading in readings if reading > 0]


def _facts(seen: Seen) -> dict[str, float]:
    summary = seen.summary
    p50_ms, p99_ms = (summary.stages or {}).get("total", (0.0, 0.0))
    facts = {
        "frames": summary.frames,
        "vehicles": len(seen.told),
        "p50_ms": round(p50_ms, 2),
        "p99_ms": round(p99_ms, 2),
        "cpu_ms": round(1e3 * seen.cpu_s / summary.frames, 2) if summary.frames else 0.0,
        "seconds": round(summary.seconds, 1),
        "on_gpu": float(any("tensorrt" in one or "cuda" in one for one in summary.models.values())),
        "memory_mb": rss_mb() or 0.0,
    }
    if seen.watts:
        facts["watts"] = round(sum(seen.watts) / len(seen.watts), 2)
    return facts


if __name__ == "__main__":
    sys.exit(main())
