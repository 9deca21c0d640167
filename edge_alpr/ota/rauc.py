"""The root file systems and the boot loader, by the `rauc` command (1.8, 1.11 or later), which asks its service."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import SlotError
from edge_alpr.ota.raucoutput import Board, busy, percent, read_info, read_status, reason, refuse, with_remedy
from edge_alpr.ota.types import Progress, Slots

_ANSWER_S = 120.0
"""For what only asks or marks. The firmware's variables are slow, and a signature covers hundreds of megabytes."""
_INSTALL_S = 3600.0
_PAUSE_S = 1.0
_HANDLER = "a handler of deploy/rauc refused it"


@dataclass(frozen=True, slots=True)
class RaucSlots:
    """Implements `BootSlots`. Two programs may use it at once: RAUC does one thing at a time, and this waits for it."""

    command: tuple[str, ...] = ("rauc",)
    config: Path = Path("/etc/rauc/system.conf")
    release: Path = Path("/etc/os-release")
    """Its IMAGE_VERSION is the version of the side that runs."""
    refused: Path = Path("/run/rauc-refused")
    """Where the handlers of deploy/rauc say why they refused a bundle."""
    older: bool = False
    """Install an older version than the one that runs; the handler `pre-install` has to be told as well."""
    patience_s: float = 900.0
    """How long to wait for an installation that goes on for a program that was cut off."""

    def look(self) -> Slots:
        """How things are now. Raises SlotError where RAUC or the boot loader does not say."""
        return self._board().slots

    def install(self, bundle: Path, progress: Progress) -> None:
        """Check the bundle, write the side that does not run, make it primary. Raises SlotError with RAUC's reason.

        `progress` hears of shares of the bundle's bytes, as RAUC counts them: its steps, not what is written.
        Cut off here, RAUC goes on with what it has begun; called again, this waits for it and installs anew.
        """
        whole = bundle.absolute()
        described = read_info(self._run("info", f"--conf={self.config}", "--output-format=json", str(whole)))
        refuse(described, self._board(), self.older)
        began = time.monotonic()
        why = self._install(whole, progress)
        while busy(why) and time.monotonic() - began < self.patience_s:
            time.sleep(_PAUSE_S)
            why = self._install(whole, progress)
        if why:
            raise SlotError(f"{bundle.name} was not installed: {with_remedy(why)}")

    def mark_good(self) -> None:
        """The side that runs is to stay: to be called at each boot, for the firmware counts those that nobody marks."""
        self._run("status", "mark-good", "booted")

    def mark_bad(self, name: str) -> None:
        """The boot loader shall not start that side (`A` or `B`) again. SlotError where none would be left."""
        self._run("status", "mark-bad", self._name(name))

    def activate(self, name: str) -> None:
        """The next boot starts that side (`A` or `B`). SlotError where it is bad: RAUC would forget that it is."""
        if any(slot.name == name and not slot.good for slot in self.look().slots):
            raise SlotError(f"side {name} was not wholly installed, or did not prove itself: install there first")
        self._run("status", "mark-active", self._name(name))

    def _board(self) -> Board:
        return read_status(self._run("status", "--detailed", "--output-format=json"), self._running())

    def _name(self, side: str) -> str:
        names = self._board().names
        if side not in names:
            raise SlotError(f"there is no side {side}; RAUC knows {', '.join(sorted(names))}")
        return names[side]

    def _running(self) -> str:
        try:
            found = re.search(r'^IMAGE_VERSION="?([^"\n]*)', self.release.read_text(encoding="utf-8"), re.MULTILINE)
        except OSError:
            return ""  # then RAUC's own record counts
        return found[1] if found else ""

    def _run(self, *arguments: str) -> bytes:
        """What it prints. Raises SlotError where it fails, after waiting while RAUC is busy."""
        began = time.monotonic()
        while True:
            done = self._once(arguments)
            said = f"{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
            if done.returncode == 0 and not busy(said):  # busy, `rauc status` leaves out a half and calls it success
                return done.stdout
            why = reason(said)
            if not busy(said) or time.monotonic() - began > self.patience_s:
                raise SlotError(f"rauc {' '.join(arguments[:2])}: {with_remedy(why)}")
            time.sleep(_PAUSE_S)

    def _once(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run([*self.command, *arguments], capture_output=True, timeout=_ANSWER_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise SlotError(f"RAUC did not answer for {_ANSWER_S:.0f} s; see journalctl -u rauc") from error
        except OSError as error:
            raise SlotError(f"{self.command[0]} cannot be started ({error.strerror}); is rauc installed?") from error

    def _install(self, bundle: Path, progress: Progress) -> str:
        """Why RAUC did not install it; empty where it did."""
        began, size, said = time.time(), bundle.stat().st_size, []
        for line in self._lines("install", str(bundle)):
            share = percent(line)
            if share is not None:
                progress(size * share // 100, size)
            said.append(line)
        if said.pop() == "0":
            return ""
        why = reason("".join(said))
        return self._refusal(began) if "handler error" in why else why

    def _lines(self, *arguments: str) -> Iterator[str]:
        """What it prints while it runs, and last its exit status."""
        command = [*self.command, *arguments]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as child:
            assert child.stdout is not None
            deadline = threading.Timer(_INSTALL_S, child.kill)
            deadline.start()
            try:
                yield from child.stdout
            finally:
                deadline.cancel()
        yield str(child.returncode)

    def _refusal(self, began: float) -> str:
        """What the handler wrote, if it was this time."""
        try:
            fresh = self.refused.stat().st_mtime >= began - 1
            return self.refused.read_text(encoding="utf-8").strip() if fresh else _HANDLER
        except OSError:
            return _HANDLER
