"""Several cameras, or several recordings, as one source. See docs/decisions/0015-several-cameras.md."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from heapq import merge
from types import TracebackType

from typing_extensions import Self

from edge_alpr.camera.turns import in_turns
from edge_alpr.config import SourceConfig
from edge_alpr.errors import ConfigError, SourceError
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_log = logging.getLogger(__name__)


def together(configs: Sequence[SourceConfig], opener: Callable[[SourceConfig], FrameSource]) -> FrameSource:
    """Open one camera, or several as one source. The caller closes it. Raises what opening one of them raises."""
    if len(configs) == 1:
        return opener(configs[0])
    with ExitStack() as stack:
        several = Several({config.camera_id: stack.enter_context(opener(config)) for config in configs})
        stack.pop_all()
        return several


class Several:
    """A `FrameSource` over sources by camera id, which it closes.

    Recordings are merged by their stamps, each counted from its own start, and nothing is dropped. Live cameras take
    turns. A camera that is lost does not end the others: it is logged and counted, and its error is raised when all
    are lost, otherwise at the end. Raises `ConfigError` where recordings and live cameras would be mixed.
    """

    def __init__(self, sources: Mapping[str, FrameSource]) -> None:
        self._sources = sources
        self._info = _joint_info([source.info for source in sources.values()])
        self._given: Counter[str] = Counter()
        self._lost: dict[str, SourceError] = {}
        self._unsaid: list[SourceError] = []
        self._closed = False
        self._frames: Generator[Frame, None, None] | None = None

    @property
    def info(self) -> SourceInfo:
        """Frames are those of all recordings together."""
        return self._info

    @property
    def counters(self) -> SourceCounters:
        """Sums, and those of each camera; `frames` are those handed out."""
        cameras = {name: self._counters_of(name) for name in self._sources}
        reasons = [f"{name}: {each.last_restart}" for name, each in cameras.items() if each.last_restart]
        return SourceCounters(
            frames=sum(each.frames for each in cameras.values()),
            dropped=sum(each.dropped for each in cameras.values()),
            restarts=sum(each.restarts for each in cameras.values()),
            caps_changes=sum(each.caps_changes for each in cameras.values()),
            unreadable=sum(each.unreadable for each in cameras.values()),
            last_restart=", ".join(reasons),
            mapping_ns=0 if self._info.live else sum(each.mapping_ns for each in cameras.values()),
            cameras=cameras,
        )

    def __iter__(self) -> Iterator[Frame]:
        self._frames = self._run()
        return self._frames

    def close(self) -> None:
        """End the iteration; that of live cameras also from another thread."""
        self._closed = True
        for source in self._sources.values():
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for source in self._sources.values():
                stack.push(source)
            if self._frames is not None:
                self._frames.close()
        if kind is None:
            self._raise_lost()

    def _run(self) -> Generator[Frame, None, None]:
        with closing(in_turns(self._sources, self._lose) if self._info.live else self._merged()) as frames:
            for frame in frames:
                if self._closed:
                    return
                self._given[frame.camera_id] += 1
                yield frame
        self._raise_lost()

    def _merged(self) -> Generator[Frame, None, None]:
        """All frames by their stamps; of equal ones that of the first camera comes first."""
        yield from merge(*(self._all_of(name) for name in self._sources), key=lambda frame: frame.stamp_ns)

    def _all_of(self, camera_id: str) -> Iterator[Frame]:
        try:
            yield from self._sources[camera_id]
        except SourceError as error:
            self._lose(camera_id, error)

    def _counters_of(self, camera_id: str) -> SourceCounters:
        error = self._lost.get(camera_id)
        lost = "" if error is None else str(error)
        return replace(self._sources[camera_id].counters, frames=self._given[camera_id], lost=lost)

    def _lose(self, camera_id: str, error: Exception) -> None:
        """Go on without a camera. What is no fault of a camera is raised."""
        if not isinstance(error, SourceError):
            raise error
        self._lost[camera_id] = error
        self._unsaid.append(error)
        if len(self._lost) < len(self._sources):
            _log.warning("%s is lost, the others go on: %s", camera_id, error)

    def _raise_lost(self) -> None:
        """The error of the camera that was lost, or of all of them as one; once."""
        errors, self._unsaid = self._unsaid, []
        if len(errors) > 1:
            raise type(errors[0])("; ".join(map(str, errors))) from errors[0]
        if errors:
            raise errors[0]


def _joint_info(infos: Sequence[SourceInfo]) -> SourceInfo:
    """What is known of all of them. Raises `ConfigError` where only some are live."""
    live = [info.uri for info in infos if info.live]
    recorded = [info.uri for info in infos if not info.live]
    if live and recorded:
        raise ConfigError(
            f"{live[0]} is live and {recorded[0]} is recorded: a recording waits for its reader and a camera does not; "
            "read them in two drives"
        )
    frames = [info.total_frames for info in infos if info.total_frames is not None]
    seconds = [info.duration_s for info in infos if info.duration_s is not None]
    return SourceInfo(
        uri=", ".join(dict.fromkeys(info.uri for info in infos)),
        live=bool(live),
        total_frames=sum(frames) if len(frames) == len(infos) else None,
        duration_s=max(seconds) if len(seconds) == len(infos) else None,
    )
