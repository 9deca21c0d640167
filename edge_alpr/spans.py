"""Listening to the stages: when each began and ended. Nothing here runs in a drive that nobody measures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

from edge_alpr.ports import Session
from edge_alpr.types import Tensors

Listener: TypeAlias = Callable[[str, int, int], None]
"""Hears the name of a stage, and its begin and end by `time.perf_counter_ns`."""

Span: TypeAlias = tuple[str, int, int]
"""What a listener hears."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def heard(name: str, call: Callable[[_In], _Out], listen: Listener) -> Callable[[_In], _Out]:
    """The same call, with its listener told of each time it came back."""

    def timed(argument: _In) -> _Out:
        begin = time.perf_counter_ns()
        result = call(argument)
        listen(name, begin, time.perf_counter_ns())
        return result

    return timed


class Relay:
    """Passes on what it hears; what it hears on other threads than that of its making, when told to.

    So a frame's stages are told in their order, though the next frame is worked on already.
    """

    def __init__(self, listen: Listener | None = None) -> None:
        self._listen = listen
        self._thread = threading.get_ident()
        self._kept: list[Span] = []
        self.listener: Listener | None = self._hear if listen else None
        """To be given to what is listened to."""

    def _hear(self, name: str, begin: int, end: int) -> None:
        if threading.get_ident() == self._thread:
            self.tell([(name, begin, end)])
        else:
            self._kept.append((name, begin, end))

    def take(self) -> list[Span]:
        """What was kept since; call it on the thread that was heard."""
        kept, self._kept = self._kept, []
        return kept

    def tell(self, kept: Iterable[Span]) -> None:
        """Pass it on."""
        for span in kept:
            if self._listen is not None:
                self._listen(*span)


class HeardSession:
    """A `Session` whose runs are listened to."""

    def __init__(self, session: Session, name: str, listen: Listener) -> None:
        self._session = session
        self._run = heard(name, session.run, listen)

    @property
    def identity(self) -> str:
        """That of the session inside."""
        return self._session.identity

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once, as the session inside does."""
        return self._run(feeds)
