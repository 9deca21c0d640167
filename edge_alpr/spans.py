"""Listening to the stages: when each began and ended. Nothing here runs in a drive that nobody measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

from edge_alpr.ports import Session
from edge_alpr.types import Tensors

Listener: TypeAlias = Callable[[str, int, int], None]
"""Hears the name of a stage, and its begin and end by `time.perf_counter_ns`."""

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
