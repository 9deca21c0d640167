"""JSON lines appended to a file; events so, or written to standard output."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.errors import OutputClosedError, SinkError
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Event, State

STATES: tuple[State, ...] = ("possible", "confirmed", "withdrawn")

_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EROFS: "the disk is read-only; name a file elsewhere",
    errno.EACCES: "no permission; name a file that this user may write",
    errno.EPERM: "no permission; name a file that this user may write",
    errno.EISDIR: "it is a folder; name a file",
    errno.ENOTDIR: "a part of its path is a file; name another file",
    errno.EEXIST: "a part of its path is a file; name another file",
}


class LineFile:
    """Appends lines to the file `target`, or to standard output for `-`; `what` is in it, for people to read.

    A line is whole or absent: what a failed write left is taken back, and a line torn by a power cut is
    ended before the next one. A line in a regular file is durable when `append` returns. Raises `SinkError`
    when the file cannot be opened.
    """

    def __init__(self, target: str, what: str) -> None:
        self._what = what
        self._name = "standard output" if target == "-" else target
        self._handle = -1
        if target == "-":
            return
        try:
            path = Path(target).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._failure(error) from error
        self._regular = stat.S_ISREG(os.fstat(self._handle).st_mode)

    def append(self, line: bytes) -> None:
        """Write one line, given without its end.

        Raises `OutputClosedError` when nobody reads standard output any more, else `SinkError`; nothing of the
        line is then written.
        """
        try:
            self._to_stdout(line + b"\n") if self._handle < 0 else self._to_file(line + b"\n")
        except BrokenPipeError as error:
            raise OutputClosedError(f"{self._name}: nobody reads it any more") from error
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _to_file(self, line: bytes) -> None:
        if not self._regular:
            _write_all(self._handle, line)
            return
        end = os.lseek(self._handle, 0, os.SEEK_END)
        torn = end > 0 and os.pread(self._handle, 1, end - 1) != b"\n"
        try:
            _write_all(self._handle, b"\n" + line if torn else line)
            os.fdatasync(self._handle)
        except OSError:
            os.ftruncate(self._handle, end)
            raise

    def _to_stdout(self, line: bytes) -> None:
        try:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # What is left in the buffer would fail again, and aloud, when the interpreter ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            raise

    def _failure(self, error: OSError) -> SinkError:
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        return SinkError(f"{self._what} file {self._name} cannot be written: {remedy}")


class JsonLines(LineFile):
    """A sink that appends one line an event, see `LineFile`. Only `states` are written."""

    def __init__(self, target: str, states: Collection[State] = STATES) -> None:
        super().__init__(target, "events")
        self._states = frozenset(states)

    def tell(self, event: Event) -> None:
        """Write one event. Raises `EventError` when it breaks its contract, besides what `append` raises."""
        if event.state in self._states:
            self.append(encode_event(event))


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
