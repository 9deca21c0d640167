"""A browser that shows nothing but the page, on the display of this machine."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge_alpr.errors import DisplayError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--kiosk", "--no-first-run", "--noerrdialogs", "--disable-session-crashed-bubble", "--disable-infobars",
    "--disable-pinch", "--overscroll-history-navigation=0", "--password-store=basic", "--disable-translate",
    "--disable-component-update", "--disable-sync", "--no-default-browser-check",
)  # fmt: skip
_PAUSE_S = 2.0
_log = logging.getLogger(__name__)


def kiosk_command(
    address: str, profile: Path, environment: Mapping[str, str], which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """The command that shows `address` alone on the screen: within a desktop, or with a compositor of its own (cage).

    Raises `DisplayError` with what to install.
    """
    browser = next(filter(None, map(which, _BROWSERS)), None)
    if browser is None:
        raise DisplayError("no Chromium here; apt-get install chromium, or open the address in any browser")
    command = [browser, *_FLAGS, f"--user-data-dir={profile}"]
    if environment.get("WAYLAND_DISPLAY"):
        return [*command, "--ozone-platform=wayland", address]
    if environment.get("DISPLAY"):
        return [*command, address]
    if (cage := which("cage")) is None:
        shown = " ".join(["cage", "--", *command, "--ozone-platform=wayland", "ADDRESS"])
        raise DisplayError(f"no desktop here and no cage; apt-get install cage, and this will run: {shown}")
    return [cage, "--", *command, "--ozone-platform=wayland", address]


class Kiosk:
    """Runs a browser for as long as the context, and again whenever it ends."""

    def __init__(self, command: Callable[[], Sequence[str]], pause_s: float = _PAUSE_S) -> None:
        self._pause_s = pause_s
        self._command = command
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="kiosk", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._child is not None:
            self._child.terminate()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._child = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL)
                self._child.wait()
            except (OSError, DisplayError) as error:  # taken away meanwhile: it may come back
                _log.warning("no browser: %s", error)
            self._closing.wait(self._pause_s)
