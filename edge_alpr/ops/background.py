"""One thread beside the drive for what waits for the disk, so that no frame does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]
LIMIT = 32
"""Jobs that may wait; a disk that is slower than that costs jobs."""


class Background:
    """Does jobs one after the other, in order. `trouble` hears what a job raised, on the jobs' thread."""

    def __init__(self, trouble: Callable[[Exception], None], limit: int = LIMIT) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(limit)
        self._trouble = trouble
        self._thread: threading.Thread | None = None

    def do(self, job: Job) -> bool:
        """Have it done soon; false, and it never is, where too many wait already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="learning", daemon=True)
            self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Finish what waits. Closing twice is fine."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # one job's fault, of whatever kind, must not stop the others
                self._trouble(error)
