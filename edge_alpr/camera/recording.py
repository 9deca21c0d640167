"""A recorded file, decoded by one pipeline: every frame, in order, none dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_alpr.camera.bindings import installed
from edge_alpr.camera.container import missing_bytes
from edge_alpr.camera.lender import DeviceFrames, Lender
from edge_alpr.camera.pipelines import file_plan
from edge_alpr.camera.player import Player, media_type
from edge_alpr.camera.trouble import BrokenError, EndedError, Kind, Trouble
from edge_alpr.errors import SourceCorruptError, SourceError, SourceNotFoundError
from edge_alpr.types import Frame, Memory, SourceCounters, SourceInfo

_log = logging.getLogger(__name__)
_OPEN_S = 15.0
_STUCK_S = 30.0
_SLICE_S = 0.2
_USUAL_RATE = 30.0


class Recording:
    """A `FrameSource` over one file. It can be read once.

    `stamp_ns` counts from the start of the recording. `epoch_ms` is the wall clock at opening plus the stamp:
    the times in a file's name or on disk say when somebody copied it, so they are not used.
    Raises, at opening: `SourceNotFoundError`, `SourceCorruptError`, `MissingElementError`, `SourceError`.
    While reading: what could be decoded comes first, then `SourceCorruptError` where the end is missing.
    """

    def __init__(
        self, path: Path, uri: str, camera_id: str, wall_ms: Callable[[], int], device: DeviceFrames | None = None
    ) -> None:
        self._path = path
        self._counters = SourceCounters()
        self._lender = Lender(camera_id, self._counters, path.name, device.borrower() if device else None)
        self._player = _open(path, device)
        self._opened_ms = wall_ms()
        rate = self._player.frame_rate()
        self._frame_ns = round(1e9 / (rate or _USUAL_RATE))
        duration = self._player.duration_s()
        total = max(1, round(duration * rate)) if duration and rate else None
        self._info = SourceInfo(uri, live=False, total_frames=total, duration_s=duration)
        self._started = False

    @property
    def info(self) -> SourceInfo:
        """Frames and seconds as the container tells; the number of frames is their product with the rate."""
        return self._info

    @property
    def counters(self) -> SourceCounters:
        """Frames so far; `unreadable` is known at the end: coded pictures that could not be decoded."""
        return self._counters

    def __iter__(self) -> Iterator[Frame]:
        if self._started:
            raise SourceError(f"{self._path}: a recording is read once; open it again")
        self._started = True
        self._player.play()
        stamp = -self._frame_ns
        while (sample := self._next()) is not None:
            told = self._player.running_time_ns(sample)
            stamp = stamp + self._frame_ns if told is None else told
            yield self._lender.lend(sample, stamp, self._opened_ms + stamp // 1_000_000)
        self._close_the_books()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take back what is lent and stop the pipeline."""
        self._lender.close()
        self._player.stop()

    def _next(self) -> Any:
        """The next sample, or None at the regular end."""
        self._lender.settle()
        try:
            for _ in range(round(_STUCK_S / _SLICE_S)):
                sample = self._player.pull(_SLICE_S)
                if sample is not None:
                    return sample
        except EndedError:
            return None
        except BrokenError as error:
            raise self._corrupt(error.trouble.text) from error
        raise self._corrupt(f"the decoder gives nothing for {_STUCK_S:g} s")

    def _close_the_books(self) -> None:
        frames = self._counters.frames
        self._counters.unreadable = max(0, self._player.coded() - self._player.arrived())
        if frames == 0:
            raise self._corrupt("none of its pictures can be decoded")
        if self._counters.unreadable:
            _log.warning(
                "%s: %d of its %d pictures could not be decoded",
                self._path,
                self._counters.unreadable,
                self._player.coded(),
            )
        absent = missing_bytes(self._path)
        if absent:
            raise self._corrupt(f"the file is cut off, {absent} bytes are missing at its end")

    def _corrupt(self, reason: str) -> SourceCorruptError:
        return SourceCorruptError(
            f"{self._path}: {reason}; {self._counters.frames} frames were read before; copy the recording again"
        )


def _open(path: Path, device: DeviceFrames | None) -> Player:
    """A player with its first picture at the sink."""
    if not path.is_file():
        raise SourceNotFoundError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise SourceCorruptError(f"{path}: the file is empty; copy the recording again")
    try:
        media = media_type(str(path), _OPEN_S)
        try:
            return _prerolled(path, media, device, convert=False)
        except BrokenError as error:
            if error.trouble.kind is not Kind.NO_LUMA:
                raise
            return _prerolled(path, media, device, convert=True)
    except BrokenError as error:
        raise _opening_error(path, error.trouble) from error
    except SourceError as error:
        raise type(error)(f"{path}: {error}") from error


def _prerolled(path: Path, media: str, device: DeviceFrames | None, *, convert: bool) -> Player:
    memory = device.memory if device else Memory.SYSTEM
    plan = file_plan(str(path), media, installed(), convert=convert, memory=memory)
    player = Player(plan, convert=convert, prepare=device.prepare if device else None)
    try:
        player.preroll(_OPEN_S)
    except (BrokenError, SourceError):
        player.stop()
        raise
    return player


def _opening_error(path: Path, trouble: Trouble) -> SourceError:
    if trouble.kind in (Kind.DAMAGED, Kind.NO_LUMA):
        return SourceCorruptError(f"{path}: not a video that can be read ({trouble.text}); copy it again")
    return SourceError(f"{path}: cannot be opened ({trouble.text}); check its permissions")
