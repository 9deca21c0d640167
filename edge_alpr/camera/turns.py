"""Frames of several live cameras, the one that waited longest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeAlias

from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame

Lose: TypeAlias = Callable[[str, Exception], None]
"""Hears which camera ended with which error."""


class Puller(Thread):
    """Pulls the newest frame of one camera each time it is asked to, when the frame before is done with.

    So it holds one frame at the most; what its camera shows meanwhile is dropped there, and counted. It stands in
    `ready` when it has a frame, and a last time, without one, when its camera has ended.
    """

    def __init__(self, camera_id: str, source: FrameSource, ready: SimpleQueue[Puller]) -> None:
        super().__init__(name=f"camera {camera_id}", daemon=True)
        self.camera_id = camera_id
        self.frame: Frame | None = None
        self.error: Exception | None = None
        self._source = source
        self._ready = ready
        self._asked = Semaphore(0)

    def run(self) -> None:
        """Until the source ends."""
        self._asked.acquire()
        try:
            for frame in self._source:
                self.frame = frame
                self._ready.put(self)
                self._asked.acquire()
        except Exception as error:  # of whatever kind: nobody else would ever see what is raised in this thread
            self.error = error
        self.frame = None
        self._ready.put(self)

    def pull(self) -> None:
        """Ask for a frame."""
        self._asked.release()


def in_turns(sources: Mapping[str, FrameSource], lose: Lose) -> Generator[Frame, None, None]:
    """The frames of live sources, by camera id, each as a source lends it. Its end is the end of all the sources.

    Who is ready stands in a queue, each camera once at the most: the first has waited longest, and none starves.
    While there is more to do than can be done, the next camera alone is asked, a turn ahead: a frame that was pulled
    sooner would only grow old.
    """
    ready: SimpleQueue[Puller] = SimpleQueue()
    pullers = [Puller(camera_id, source, ready) for camera_id, source in sources.items()]
    resting = deque(pullers)  # not asked yet, who had its turn longest ago first
    try:
        for puller in pullers:
            puller.start()
        alive = len(pullers)
        while alive:
            while resting and ready.empty():
                resting.popleft().pull()
            puller = ready.get()
            if puller.frame is not None:
                if resting and ready.empty():
                    resting.popleft().pull()
                yield puller.frame
                resting.append(puller)
                continue
            alive -= 1
            if puller.error is not None:
                lose(puller.camera_id, puller.error)
    finally:
        for source in sources.values():
            source.close()
        for puller in pullers:
            puller.pull()
            puller.join()
