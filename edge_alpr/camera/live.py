"""A live camera: the newest frame, drops counted, and a camera that went away is tried again by itself."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_alpr.camera.lender import DeviceFrames, Lender
from edge_alpr.camera.pipelines import Plan
from edge_alpr.camera.player import Player
from edge_alpr.camera.retry import Outage
from edge_alpr.camera.trouble import BrokenError, EndedError, Kind, Trouble
from edge_alpr.config import SourceConfig
from edge_alpr.errors import CameraLostError, MissingElementError, SourceError, SourceNotFoundError, SurfaceLostError
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_log = logging.getLogger(__name__)
_SLICE_S = 0.1

Planner = Callable[[bool], Plan]
"""Makes the pipeline anew for each start; True asks for the conversion to a format with a luma plane."""


@dataclass(frozen=True, slots=True)
class Camera:
    """What a live source is told: the URI to show (without password), its plan, and how to mend it."""

    shown: str
    plan: Planner
    advice: str


class Live:
    """A `FrameSource` over a camera. The pipeline starts when iteration does.

    `stamp_ns` is the monotonic clock at which the picture was taken (as near as the camera's protocol tells),
    `epoch_ms` the wall clock of the same moment. Frames that came while the reader was busy are counted in
    `counters.dropped`, every new start of the pipeline in `counters.restarts` with its reason.
    Raises, while reading: `CameraLostError` when no picture came for `reconnect_s`; `MissingElementError` and
    `SourceError` for what trying again does not mend.
    """

    def __init__(
        self, camera: Camera, config: SourceConfig, wall_ms: Callable[[], int], device: DeviceFrames | None = None
    ) -> None:
        self._camera = camera
        self._config = config
        self._wall_ms = wall_ms
        self._device = device
        self._info = SourceInfo(camera.shown, live=True)
        self._counters = SourceCounters()
        self._lender = Lender(config.camera_id, self._counters, borrower=device.borrower() if device else None)
        self._convert = False
        self._closed = Event()
        self._frames: Generator[Frame, None, None] | None = None

    @property
    def info(self) -> SourceInfo:
        """A live source has no length."""
        return self._info

    @property
    def counters(self) -> SourceCounters:
        """Counts over all restarts."""
        return self._counters

    def __iter__(self) -> Iterator[Frame]:
        self._frames = self._run()
        return self._frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._frames is not None:
            self._frames.close()

    def close(self) -> None:
        """End the iteration, also from another thread: it takes back what is lent and stops its pipeline."""
        self._closed.set()

    def _run(self) -> Generator[Frame, None, None]:
        outage = Outage(self._config.reconnect_s, time.monotonic())
        while not self._closed.is_set():
            reason = redact((yield from self._watch(outage)))
            if not self._closed.is_set():
                self._wait(outage, reason)

    def _watch(self, outage: Outage) -> Generator[Frame, None, str]:
        """Lend frames until the camera is lost; returns the reason."""
        player: Player | None = None
        try:
            prepare = self._device.prepare if self._device else None
            player = Player(self._camera.plan(self._convert), convert=self._convert, prepare=prepare)
            player.play()
            for sample in self._samples(player):
                yield self._lend(player, sample)
                outage.over(time.monotonic())
        except (SourceNotFoundError, SurfaceLostError) as error:
            return str(error)
        except SourceError as error:
            raise type(error)(f"{self._camera.shown}: {redact(str(error))}") from error
        except BrokenError as error:
            return self._mend(error.trouble)
        finally:
            self._lender.close()
            if player is not None:
                player.stop()
        return "the stream ended"

    def _samples(self, player: Player) -> Iterator[Any]:
        """Samples until the stream ends; counts those that the sink dropped for newer ones."""
        before, taken = self._counters.dropped, 0
        while not self._closed.is_set():
            self._lender.settle()
            arrived = player.arrived()
            try:
                sample = self._next(player)
            except EndedError:
                return
            # Of those that had arrived, one may be this sample or still be waiting; the others are gone.
            self._counters.dropped = max(self._counters.dropped, before + arrived - taken - 1)
            taken += 1
            yield sample

    def _next(self, player: Player) -> Any:
        deadline = time.monotonic() + self._config.stall_s
        while time.monotonic() < deadline:
            sample = player.pull(_SLICE_S)
            if sample is not None:
                return sample
            if self._closed.is_set():
                raise EndedError
        raise BrokenError(Trouble(Kind.LOST, f"no picture for {self._config.stall_s:g} s"))

    def _lend(self, player: Player, sample: Any) -> Frame:
        now_ns, now_ms = time.monotonic_ns(), self._wall_ms()
        running_ns = player.running_time_ns(sample)
        stamp_ns = now_ns if running_ns is None else min(now_ns, player.base_time_ns + running_ns)
        return self._lender.lend(sample, stamp_ns, now_ms - (now_ns - stamp_ns) // 1_000_000)

    def _mend(self, trouble: Trouble) -> str:
        """What a new start can mend is returned as its reason, the rest is raised."""
        shown = self._camera.shown
        if trouble.kind is Kind.NO_LUMA and not self._convert:
            self._convert = True
            return f"{trouble.text}: they are converted from now on"
        if trouble.kind is Kind.MISSING:
            raise MissingElementError(
                f"{shown}: it needs '{trouble.text}', not installed; "
                "sudo apt-get install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
            )
        if trouble.kind in (Kind.REFUSED, Kind.NO_LUMA):
            raise SourceError(f"{shown}: {redact(trouble.text)}; {self._camera.advice}")
        return trouble.text

    def _wait(self, outage: Outage, reason: str) -> None:
        pause = outage.next_pause_s(time.monotonic())
        if pause is None:
            raise CameraLostError(
                f"{self._camera.shown}: no picture for {self._config.reconnect_s:g} s ({reason}); {self._camera.advice}"
            )
        self._counters.restarts += 1
        self._counters.last_restart = reason
        _log.warning("%s: %s; trying again in %.1f s", self._camera.shown, reason, pause)
        self._closed.wait(pause)


def redact(text: str) -> str:
    """A text without the user name and password of the addresses in it."""
    return re.sub(r"://[^/\s]*@", "://***@", text)
