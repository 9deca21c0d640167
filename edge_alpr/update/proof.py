"""Whether an installation does its work: the golden drive in a process of its own, then the reader's heartbeats."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_alpr.ops.heartbeat import Heartbeat
from edge_alpr.ota.state import UNSURE
from edge_alpr.ota.types import IMAGE, Verdict

_POLL_S = 0.2
_SAID = 200
"""Characters of a failed golden drive's last words that are told."""


def golden_command(config: Path | None, p99_ms: float, watts: float, as_json: bool = True) -> list[str]:
    """The golden drive within limits (0: none), as a program."""
    command = [sys.executable, "-m", "edge_alpr.update.golden", "--p99-ms", f"{p99_ms:g}", "--watts", f"{watts:g}"]
    return command + (["--json"] if as_json else []) + (["--config", str(config)] if config else [])


@dataclass(frozen=True)
class DeviceProof:
    """A `Proof`. `beat` is the reader's heartbeat file; `tick` is called while it waits."""

    command: Sequence[str]
    beat: Path
    image_s: float
    """How long the reader must be alive under a new image, and `models_s` with new models."""
    models_s: float
    golden_s: float = 600.0
    """The golden drive takes longer than this only where something hangs."""
    silence_s: float = 180.0
    """No new heartbeat for so long is a reader that is gone."""
    tick: Callable[[], None] = lambda: None

    def __call__(self, unit: str, folder: Path | None) -> Verdict:
        """See `Proof`. A folder is tried by the golden drive alone, models in use by the reader alone."""
        if folder is not None:
            return self._golden(["--models", str(folder)])
        verdict = self._golden([]) if unit == IMAGE else Verdict(True)
        if not verdict.good:
            return verdict
        why = self._alive(self.image_s if unit == IMAGE else self.models_s)
        return Verdict(not why, why, verdict.facts)

    def _golden(self, more: Sequence[str]) -> Verdict:
        try:
            return _said(*self._run([*self.command, *more]))
        except (OSError, subprocess.TimeoutExpired) as error:
            return Verdict(False, f"{UNSURE}the golden drive did not end: {error}")

    def _run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Exit code, output, errors. Raises `OSError`, `TimeoutExpired`."""
        until_s = time.monotonic() + self.golden_s
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            try:
                while True:
                    try:
                        out, err = child.communicate(timeout=_POLL_S)
                        return child.returncode, out, err
                    except subprocess.TimeoutExpired:
                        if time.monotonic() > until_s:
                            raise
                    self.tick()
            finally:
                child.kill()

    def _alive(self, seconds: float) -> str:
        """Why the reader does not do its work; empty where it does, for so long. Told as soon as it is known."""
        begun_s = heard_s = time.monotonic()
        watch, seen = Watch(), self._beat()  # the one that is there may be from before
        before = seen
        while (now_s := time.monotonic()) < begun_s + seconds or not watch.beats:
            seen = self._beat()
            if seen is not None and seen != before:
                before, heard_s = seen, now_s
                if why := watch.hear(seen):
                    return why
            if now_s - heard_s > self.silence_s:
                return f"{UNSURE}the reader gave no heartbeat for {self.silence_s:.0f} s"
            self.tick()
            time.sleep(_POLL_S)
        return watch.verdict()

    def _beat(self) -> Heartbeat | None:
        try:
            return msgspec.json.decode(self.beat.read_bytes(), type=Heartbeat)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None


class Watch:
    """Makes sense of heartbeats that follow one another."""

    def __init__(self) -> None:
        self.beats = self.frames = 0
        self._restarts = 0
        self._uptime_s = 0.0

    def hear(self, beat: Heartbeat) -> str:
        """Why one must go back at once; empty for now."""
        if beat.error:
            return f"the reader ended: {beat.error}"
        if beat.uptime_s < self._uptime_s:
            self._restarts += 1
        self.beats, self._uptime_s = self.beats + 1, beat.uptime_s
        self.frames += sum(camera.frames for camera in beat.cameras)
        return "the reader started again and again" if self._restarts > 1 else ""

    def verdict(self) -> str:
        """Why it is not good; empty where it is."""
        return "" if self.frames else f"{UNSURE}no camera gave a frame"


def _said(code: int, out: str, err: str) -> Verdict:
    try:
        return msgspec.json.decode(out, type=Verdict)
    except msgspec.MsgspecError:
        words = " ".join(err.split())[-_SAID:] or "it said nothing"
        return Verdict(False, f"the golden drive ended with {code}: {words}")


