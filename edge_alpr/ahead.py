"""The first half of the work on each item: one step ahead on a thread of its own, or in turn with the second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from typing_extensions import Self

from edge_alpr.device.host import name_this_thread

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class InTurn(Generic[_Item, _Result]):
    """Iterates over `work(item)` of each of `items`, in their order. Use it as a context manager."""

    def __init__(self, items: Iterable[_Item], work: Callable[[_Item], _Result]) -> None:
        self._items, self._work = items, work
        self._ending = False

    def __iter__(self) -> Iterator[_Result]:
        items = iter(self._items)
        while not self._ending:
            try:
                item = next(items)
            except StopIteration:
                return
            yield self._work(item)

    def end(self) -> None:
        """Take no more items; what was made of those taken still comes."""
        self._ending = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Ahead(InTurn[_Item, _Result]):
    """The same, worked on by a thread of its own.

    The next item is taken when a result is, so one result waits at the most. An error of `items` or of `work` is
    raised behind the results that came before it. Leaving the context waits for the item at hand; where `items` may
    wait for long, somebody must end them first.
    """

    def __init__(self, items: Iterable[_Item], work: Callable[[_Item], _Result], name: str) -> None:
        super().__init__(items, work)
        self._name = name
        self._results: SimpleQueue[_Result | _End] = SimpleQueue()
        self._wanted = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __iter__(self) -> Iterator[_Result]:
        self._wanted.release()
        while not isinstance(result := self._results.get(), _End):
            self._wanted.release()
            yield result
        if result.error is not None:
            raise result.error

    def end(self) -> None:
        """Take no more items; what was made of those taken still comes."""
        super().end()
        self._wanted.release()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self._thread.join()

    def _run(self) -> None:
        name_this_thread(self._name)
        end = _End()
        try:
            self._wanted.acquire()
            for result in super().__iter__():
                self._results.put(result)
                self._wanted.acquire()
        except BaseException as error:  # of whatever kind: nobody else would ever see what is raised in this thread
            end = _End(error)
        self._results.put(end)


class _End:
    """Stands behind the last result; `error` is why it is the last, None at the end of the items."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
