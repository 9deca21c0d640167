"""Recorded frames in a folder, with their seconds."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.camera.pictures import is_picture, load_luma
from edge_alpr.errors import ImageError, SourceCorruptError, SourceNotFoundError
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_log = logging.getLogger(__name__)
_SECOND_NS = 1_000_000_000
RIDE_GAP_S = 3600
"""Media time between the last frame of a ride and the first of the next."""
_NAMED = re.compile(r"(?P<ride>.*)_(?P<seconds>\d{1,7})")


@dataclass(frozen=True, slots=True)
class Due:
    """A file and when its frame was taken, in media time."""

    name: str
    stamp_ns: int


def schedule(names: Sequence[str]) -> list[Due]:
    """In which order and at which time frames are shown, by the names of their files.

    `ride_00580.jpg` is second 580 of `ride`; rides come in the order of their names, the next one starts
    `RIDE_GAP_S` after the last frame of the one before. Other names come first and are 1 s apart.
    """
    dues: list[Due] = []
    ride_before, last_s, shift_s = "", -1, 0
    for ride, named_s, name in sorted(_place(name) for name in names):
        if ride != ride_before and dues:
            shift_s = last_s + RIDE_GAP_S - named_s
        moment_s = max(named_s + shift_s, last_s + 1) if ride else last_s + 1
        dues.append(Due(name, moment_s * _SECOND_NS))
        ride_before, last_s = ride, moment_s
    return dues


def _place(name: str) -> tuple[str, int, str]:
    """Ride (empty where the name tells no second), second, name."""
    match = _NAMED.fullmatch(Path(name).stem)
    return (match["ride"] + "_", int(match["seconds"]), name) if match else ("", 0, name)


class Folder:
    """A `FrameSource` over pictures. `Frame.origin` is the file name; frames own their pixels.

    `epoch_ms` is the wall clock at opening plus the media time since the first frame. `chroma` is empty.
    A picture that cannot be read is counted in `counters.unreadable`, logged, and left out.
    Raises `SourceNotFoundError` at opening where there are none, `SourceCorruptError` at the end of reading
    where none could be read.
    """

    def __init__(
        self, folder: Path, names: Sequence[str], uri: str, camera_id: str, wall_ms: Callable[[], int]
    ) -> None:
        if not names:
            raise SourceNotFoundError(f"{folder}: there are no pictures in this folder (JPEG, PNG, TIFF, WebP, BMP)")
        self._folder = folder
        self._dues = schedule(names)
        self._camera_id = camera_id
        self._opened_ms = wall_ms()
        self._info = SourceInfo(uri, live=False, total_frames=len(self._dues))
        self._counters = SourceCounters()

    @property
    def info(self) -> SourceInfo:
        """The number of frames is the number of files."""
        return self._info

    @property
    def counters(self) -> SourceCounters:
        """Frames and unreadable files so far."""
        return self._counters

    def __iter__(self) -> Iterator[Frame]:
        reason = ""
        for due in self._dues:
            try:
                luma = load_luma(self._folder / due.name)
            except ImageError as error:
                reason = reason or str(error)
                self._counters.unreadable += 1
                _log.warning("%s", error)
                continue
            since_first = due.stamp_ns - self._dues[0].stamp_ns
            index = self._counters.frames
            self._counters.frames += 1
            yield Frame(
                luma=luma,
                index=index,
                stamp_ns=due.stamp_ns,
                epoch_ms=self._opened_ms + since_first // 1_000_000,
                camera_id=self._camera_id,
                origin=due.name,
            )
        if reason and not self._counters.frames:
            raise SourceCorruptError(f"none of the {len(self._dues)} pictures can be read; the first: {reason}")

    def close(self) -> None:
        """Nothing is held between two frames."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def picture_names(folder: Path) -> list[str]:
    """Names of the pictures in a folder, hidden ones left out. Raises `SourceNotFoundError`."""
    if not folder.is_dir():
        hint = "it is a file: leave out dir://" if folder.is_file() else "there is no such folder"
        raise SourceNotFoundError(f"{folder}: {hint}")
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise SourceNotFoundError(f"{folder}: cannot be read: {error.strerror or error}") from error
    return [path.name for path in files if is_picture(path) and not path.name.startswith(".")]
