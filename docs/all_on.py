"""What everything else that runs in the car costs the reader: its frames a second alone, and with all on.

    python docs/all_on.py [--rounds 6] [--seconds 20] [--live 0] [--browser]

The sample drive over again, each vehicle told and stored in every lap, three of them on a hot list. `alone` is the
reader with its store; `all on` adds hot lists, a looked-at screen, MQTT to a mosquitto on this machine, metrics and
sound, as processes of their own. Rounds alternate, so that what else the machine does touches both alike; the fall is
the median over the pairs. `--live`: so many further pairs at a camera's pace. `--browser`: a real Chromium looks at
the screen too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from beside import Beside, Ports, usage, write_config

from edge_alpr.bench.paced import paced
from edge_alpr.bench.request import Pace
from edge_alpr.camera import open_source
from edge_alpr.config import SourceConfig, load_config
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.ports import FrameSource

LISTED = "plate\n7XKM482\nJX73K46\nKT83XTU\n"
SETTLE_S = 4.0


class Clock:
    """Counts from the first frame on, as the networks are loaded then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.drive: Drive | None = None
        self.first: tuple[float, float, int] | None = None
        self.last = (0.0, 0.0, 0)

    def frame(self, frames: int) -> None:
        """Called by the drive after each frame."""
        self.last = time.monotonic(), time.process_time(), frames
        self.first = self.first or self.last
        if self.drive is not None and self.last[0] - self.first[0] >= self._seconds:
            self.drive.stop()


def read(config_file: Path, pace: Pace, seconds: float) -> dict[str, Any]:
    """One drive in this process."""
    clock = Clock(seconds)

    def source(config: SourceConfig) -> FrameSource:
        return paced(lambda: open_source(config), pace, repeat=True)

    drive = clock.drive = Drive(load_config(config_file), Screen(progress=clock.frame), Probe(source))
    summary = drive.run()
    assert clock.first is not None
    passed_s, cpu_s, frames = (after - before for after, before in zip(clock.last, clock.first, strict=True))
    shown = {"fps": frames / passed_s, "cpu": cpu_s / passed_s, "cpu_ms": 1e3 * cpu_s / frames}
    p99_ms = (summary.stages or {})["total"][1]
    return {**shown, "dropped": summary.dropped, "told": summary.confirmed, "p99_ms": p99_ms}


def one(all_on: bool, pace: Pace, asked: argparse.Namespace) -> dict[str, Any]:
    """A round: a reader of its own over a store of its own."""
    folder_of = tempfile.TemporaryDirectory(prefix="edge-alpr-all-on-")
    with ExitStack() as stack:
        folder, ports = Path(stack.enter_context(folder_of)), Ports()
        settings = f'[store]\npath = "{folder}/store"\n[event]\ncooldown_s = 5.0\n[output]\nheartbeat_s = 10.0\n'
        config = write_config(folder, ports, settings)
        beside = None
        if all_on:
            (folder / "store" / "hotlists").mkdir(parents=True)
            (folder / "store" / "hotlists" / "stolen.csv").write_text(LISTED, encoding="utf-8")
            beside = stack.enter_context(Beside(folder, config, ports))
        chromium = stack.enter_context(browser(folder, ports.display)) if all_on and asked.browser else 0
        time.sleep(SETTLE_S)
        before, begin = spent(beside, chromium), time.monotonic()
        command = [sys.executable, __file__, "--reader", str(config), "--pace", pace, "--seconds", str(asked.seconds)]
        told: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        passed_s, after = time.monotonic() - begin, spent(beside, chromium)
        time.sleep(1.0)
        told["beside"] = {name: (after[name] - before[name]) / passed_s for name in after}
        told["load"] = os.getloadavg()[0]
        if beside is not None:
            told.update(mqtt=len(beside.ear.heard), seen=len(beside.eye.seen), pictures=beside.eye.pictures,
                        ended=beside.ended(), played=len((folder / "played").read_text().splitlines()))  # fmt: skip
    return told


@contextmanager
def browser(folder: Path, port: int) -> Iterator[int]:
    """A Chromium that nobody sees; its process group."""
    program = shutil.which("chromium") or "chromium"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/browser",
             "--window-size=1280,720", "--remote-debugging-port=0"]  # fmt: skip
    quiet = subprocess.DEVNULL
    time.sleep(SETTLE_S)  # the server comes first
    command = [program, *flags, f"http://127.0.0.1:{port}/"]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def spent(beside: Beside | None, chromium: int) -> dict[str, float]:
    """Processor seconds of all processes beside the reader, and of this one, which looks at the screen."""
    if beside is None:
        return {}
    seconds = {name: usage(pid).cpu_s for name, pid in beside.pids.items()}
    if chromium:
        seconds["browser"] = sum(usage(pid).cpu_s for pid in members(chromium))
    return {**seconds, "client": time.process_time()}


def members(group: int) -> list[int]:
    """The processes of a group."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == group:
                found.append(int(place.name))
    return found


def show(name: str, told: dict[str, Any]) -> None:
    """One row."""
    beside = " ".join(f"{part} {share:.1%}" for part, share in told.pop("beside").items())
    numbers = {key: f"{value:.2f}" if isinstance(value, float) else value for key, value in told.items()}
    facts = " ".join(f"{key} {value}" for key, value in numbers.items())
    print(f"{name:8} {facts}  {beside}", flush=True)


def pairs(pace: Pace, rounds: int, asked: argparse.Namespace) -> None:
    """Alternating rounds, then their medians."""
    runs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)  # neither is always the first
        told = {all_on: one(all_on, pace, asked) for all_on in order}
        runs.append((told[False], told[True]))
        for name, all_on in (("alone", False), ("all on", True)):
            show(name, dict(told[all_on]))
    for key in ("fps", "cpu", "cpu_ms", "dropped", "p99_ms"):
        alone, both = (np.array([run[place][key] for run in runs], float) for place in (0, 1))
        change = np.median(both / np.maximum(alone, 1e-9)) - 1
        print(f"{pace} {key}: alone {np.median(alone):.2f}, all on {np.median(both):.2f}, pairs {change:+.1%}")
    beside = [sum(run[1]["beside"].values()) - run[1]["beside"]["client"] for run in runs]
    print(f"{pace} beside the reader: {np.median(beside):.1%} of one core, without the client", flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--live", type=int, default=0)
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--reader", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pace", choices=("fast", "live"), default="fast", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.reader:
        print(json.dumps(read(asked.reader, asked.pace, asked.seconds)))
        return
    pairs("fast", asked.rounds, asked)
    if asked.live:
        pairs("live", asked.live, asked)


if __name__ == "__main__":
    main()
