"""Listens to gpsd on a thread of its own, and again when it was gone."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

from edge_alpr.device.host import name_this_thread
from edge_alpr.position.reports import Heard

_log = logging.getLogger(__name__)
_WATCH = b'?WATCH={"enable":true,"json":true,"pps":true};\n'
_SLICE_S = 0.5
_CONNECT_S = 3.0
_SILENCE_S = 30.0
"""With a receiver there is a line each second; a connection that is silent for so long is made anew."""
_LONGEST_BYTES = 65_536
"""gpsd's lines are 10240 bytes at most."""
_PAUSES_S = (0.5, 10.0)
"""The first pause before trying again, and the longest."""
_PATIENCE_S = 2.0


class GpsdClient:
    """Gives each line of gpsd to `hear`, on its own thread. `connected` says whether gpsd talks to us."""

    def __init__(self, host: str, port: int, hear: Callable[[bytes, Heard], None]) -> None:
        self._host, self._port, self._hear = host, port, hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpsd", daemon=True)
        self._pause_s, self._told = _PAUSES_S[0], False
        self.connected = False

    def start(self) -> None:
        """Begin; returns at once, whether gpsd is there or not."""
        self._thread.start()

    def stop(self) -> None:
        """End; stopping twice is fine."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        name_this_thread("gpsd")
        while not self._stop.is_set():
            reason = self._listen()
            self.connected = False
            if not self._told and not self._stop.is_set():
                _log.warning("gpsd at %s:%d: %s; no position until it is back", self._host, self._port, reason)
            self._told = True
            self._stop.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _PAUSES_S[1])

    def _listen(self) -> str:
        """Hear gpsd until it is gone; returns why."""
        try:
            with socket.create_connection((self._host, self._port), _CONNECT_S) as connection:
                connection.settimeout(_SLICE_S)
                connection.sendall(_WATCH)
                for line in self._lines(connection):
                    self._pause_s, self._told = _PAUSES_S[0], False
                    self._hear(line, Heard(time.monotonic_ns(), time.time_ns()))
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that can't be one
            return str(error)
        return "it hung up"

    def _lines(self, connection: socket.socket) -> Iterator[bytes]:
        """Whole lines, until gpsd hangs up or is told to stop. Raises `OSError`."""
        rest, heard_s = b"", time.monotonic()
        while not self._stop.is_set():
            try:
                data = connection.recv(_LONGEST_BYTES)
            except TimeoutError:
                if time.monotonic() - heard_s > _SILENCE_S:
                    raise
                continue
            if not data:
                return
            self.connected, heard_s = True, time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_BYTES:
                raise OSError(f"a line of over {_LONGEST_BYTES} bytes: that is no gpsd")
