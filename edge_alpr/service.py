"""Under a service manager: it hears when the work has begun, that it goes on, and what is not as usual.

Without one (no NOTIFY_SOCKET) nothing is said. The protocol is systemd's sd_notify.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_alpr.errors import ConfigError
from edge_alpr.types import SourceInfo

if TYPE_CHECKING:  # the links out have no use for the drive and all that it loads
    from edge_alpr.drive import Screen

Notify = Callable[[str], None]
"""Sends one message of the protocol."""


class Manager:
    """What is told to the service manager. `alive` may be called as often as one likes, from one thread."""

    def __init__(self, environment: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        """Raises `ConfigError` where a manager waits to be told and the package for it is missing."""
        self._notify: Notify = _notifier() if environment.get("NOTIFY_SOCKET") else _nobody
        watchdog_s = int(environment.get("WATCHDOG_USEC") or 0) / 1e6
        self._every_s = watchdog_s / 3 if watchdog_s else float("inf")
        self._clock = clock
        self._next_s = clock() + self._every_s
        self._said = ""

    def ready(self) -> None:
        """The work has begun."""
        self._notify("READY=1")

    def alive(self) -> None:
        """The work goes on. Three times within the manager's patience it is passed on."""
        if self._clock() >= self._next_s:
            self._notify("WATCHDOG=1")
            self._next_s = self._clock() + self._every_s

    def status(self, text: str) -> None:
        """What is not as usual; empty where all is."""
        if text != self._said:
            self._said = text
            self._notify(f"STATUS={text or 'as usual'}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` says that it is done."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The work comes to its end."""
        self._notify("STOPPING=1")

    def behind(self, screen: Screen) -> Screen:
        """A screen that tells the manager what it shows."""

        def opened(info: SourceInfo) -> None:
            self.ready()
            screen.opened(info)

        def progress(frames: int) -> None:
            self.alive()
            screen.progress(frames)

        def status(text: str) -> None:
            self.status(text)
            screen.status(text)

        return replace(screen, opened=opened, progress=progress, status=status)


def journal(environment: Mapping[str, str] = os.environ) -> logging.Handler | None:
    """Where logs go under systemd: to the journal, with their fields; None elsewhere, or without the package for it."""
    if not environment.get("JOURNAL_STREAM"):
        return None
    with suppress(ImportError, OSError):
        from logging_journald import JournaldLogHandler  # noqa: PLC0415 - an extra

        handler: logging.Handler = JournaldLogHandler(identifier="edge-alpr")
        return handler
    return None


def _nobody(message: str) -> None:
    """Nobody waits to be told."""


def _notifier() -> Notify:
    try:
        from sdnotify import SystemdNotifier  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "a service of Type=notify needs the package sdnotify; pip install 'edge-alpr[service]'"
        ) from error
    notifier = SystemdNotifier()

    def notify(message: str) -> None:
        notifier.notify(message.encode("utf-8").decode("latin-1"))  # it encodes as Latin-1, systemd wants UTF-8

    return notify


def aside(what: Callable[[], None]) -> None:
    """For a signal handler: do it on a thread of its own, soon.

    The handler runs within whatever the main thread does. If that holds an event's lock just then, `Event.set` would
    wait for it forever.
    """
    threading.Thread(target=what, daemon=True).start()
