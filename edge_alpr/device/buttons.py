"""Buttons in the car: each press of a key or a pin is an action. See `listen`."""

from __future__ import annotations

import logging
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias

from edge_alpr.config import ButtonsConfig
from edge_alpr.device.host import name_this_thread
from edge_alpr.errors import SoundError

Action: TypeAlias = Literal["acknowledged", "wrong", "mute"]
"""The first two are names of marks."""
ACTIONS: tuple[Action, Action, Action] = ("acknowledged", "wrong", "mute")
_log = logging.getLogger(__name__)
_EVENT = struct.Struct("llHHi")
"""`struct input_event` of <linux/input.h>: time, type, code, value."""
_EV_KEY, _PRESSED = 1, 1
_SLICE_S = 0.2
_AGAIN_S = 2.0
_DEBOUNCE = timedelta(milliseconds=30)
_PATIENCE_S = 1.0


class Buttons(Protocol):
    """Some buttons that are open."""

    def pressed(self, wait_s: float) -> list[Action]:
        """What was pressed, after `wait_s` at most. Raises `OSError` where the buttons are gone."""

    def close(self) -> None:
        """Give them back."""


class Keyboard:
    """Keys of an input device of Linux, by their codes."""

    def __init__(self, path: str, keys: Mapping[int, Action]) -> None:
        """Raises `OSError`."""
        self._keys = keys
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def pressed(self, wait_s: float) -> list[Action]:
        """See `Buttons`."""
        if not select.select([self._file], [], [], wait_s)[0]:
            return []
        data = os.read(self._file, 64 * _EVENT.size)
        if not data:
            raise OSError("the keyboard is gone")
        whole = len(data) // _EVENT.size * _EVENT.size
        events = (event[2:] for event in _EVENT.iter_unpack(data[:whole]))
        codes = (code for kind, code, value in events if (kind, value) == (_EV_KEY, _PRESSED))
        return [self._keys[code] for code in codes if code in self._keys]

    def close(self) -> None:
        """See `Buttons`."""
        os.close(self._file)


class Pins:
    """Lines of a GPIO chip that a button connects to ground."""

    def __init__(self, chip: str, lines: Mapping[int, Action]) -> None:
        """Raises `SoundError` without the gpiod module, `OSError` where the lines can't be had."""
        try:
            import gpiod  # noqa: PLC0415  # an extra
            from gpiod.line import Bias, Edge  # noqa: PLC0415
        except ImportError as error:
            raise SoundError("buttons.gpio takes the module gpiod; pip install 'edge-alpr[buttons]'") from error
        settings = gpiod.LineSettings(edge_detection=Edge.FALLING, bias=Bias.PULL_UP, debounce_period=_DEBOUNCE)
        self._lines = lines
        self._request: Any = gpiod.request_lines(chip, consumer="edge-alpr", config={tuple(lines): settings})

    def pressed(self, wait_s: float) -> list[Action]:
        """See `Buttons`."""
        if not self._request.wait_edge_events(wait_s):
            return []
        return [self._lines[event.line_offset] for event in self._request.read_edge_events()]

    def close(self) -> None:
        """See `Buttons`."""
        self._request.release()


def openers(config: ButtonsConfig) -> dict[str, Callable[[], Buttons]]:
    """How to open what is configured, by its path."""
    keys = _actions((config.acknowledge_key, config.wrong_key, config.mute_key), none=0)
    lines = _actions((config.acknowledge_line, config.wrong_line, config.mute_line), none=-1)
    found: dict[str, Callable[[], Buttons]] = {}
    if config.keyboard and keys:
        found[config.keyboard] = lambda: Keyboard(config.keyboard, keys)
    if config.gpio and lines:
        found[config.gpio] = lambda: Pins(config.gpio, lines)
    return found


def _actions(numbers: tuple[int, int, int], none: int) -> dict[int, Action]:
    return {number: action for number, action in zip(numbers, ACTIONS, strict=True) if number != none}


@contextmanager
def listen(config: ButtonsConfig, press: Callable[[Action], None]) -> Iterator[None]:
    """Call `press` for each button pressed, on a thread a device, while this is held.

    A device that is not there, or goes, is tried again.
    """
    stop = threading.Event()
    with ExitStack() as stack:
        for path, opener in openers(config).items():
            thread = threading.Thread(target=_serve, args=(path, opener, press, stop), name="buttons", daemon=True)
            thread.start()
            stack.callback(thread.join, _PATIENCE_S)
        stack.callback(stop.set)
        yield


def _serve(path: str, opener: Callable[[], Buttons], press: Callable[[Action], None], stop: threading.Event) -> None:
    name_this_thread("buttons")
    told = False
    while not stop.is_set():
        try:
            buttons = opener()
        except (OSError, SoundError) as error:
            if not told:
                _log.warning("buttons at %s: %s; trying again each %g s", path, error, _AGAIN_S)
            told = True
            stop.wait(_AGAIN_S)
            continue
        told = False
        try:
            while not stop.is_set():
                for action in buttons.pressed(_SLICE_S):
                    press(action)
        except OSError as error:
            _log.warning("buttons at %s: %s", path, error)
            stop.wait(_SLICE_S)
        finally:
            buttons.close()
