"""The loop of `edge-alpr update run`: asks, fetches, installs and reboots when the policy lets it, in small steps.

It may be ended anywhere, as by a power cut; the agent goes on where it was.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from edge_alpr.config import UpdateConfig
from edge_alpr.errors import UpdateError, UpdateWaitsError
from edge_alpr.ota.agent import Agent
from edge_alpr.ota.types import IMAGE, Progress
from edge_alpr.ota.world import Report
from edge_alpr.update.policy import Vehicle, may_download, may_install, may_reboot

LOOK_S = 5.0
"""How often the car is looked at."""
SETTLE_S = 30.0
"""How often what is on trial is looked at."""
LATE = {"trial", "switching", "written", "returning"}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hands:
    """What the loop acts by. `agent` gives one with the lock held; `status` hears what is waited for."""

    agent: Callable[[], AbstractContextManager[Agent]]
    vehicle: Callable[[], Vehicle]
    """Ask it often: it knows how long the car stands only from what it saw."""
    reboot: Callable[[str], object]
    status: Callable[[str], None]
    clock_s: Callable[[], float]
    """Monotonic."""
    alive: Callable[[], None] = lambda: None
    """Called while something takes long."""


class Pause:
    """When to try again: after growing pauses while it fails, drawn by chance so that a fleet does not come at once."""

    def __init__(self, every_s: float, chance: random.Random) -> None:
        self._every_s, self._chance = every_s, chance
        self._failed = 0
        self.due_s = 0.0
        """By the clock of `went`."""

    def went(self, well: bool, now_s: float) -> None:
        """Note how it went."""
        self._failed = 0 if well else self._failed + 1
        grown = FIRST_PAUSE_S * 2 ** min(self._failed - 1, 10)
        most = max(self._every_s or LONGEST_PAUSE_S, FIRST_PAUSE_S)
        wait_s = self._every_s if well else min(grown, LONGEST_PAUSE_S, most)
        self.due_s = now_s + wait_s * self._chance.uniform(0.8, 1.2)


class Updater:
    """Call `step` every `LOOK_S` seconds."""

    def __init__(self, config: UpdateConfig, hands: Hands, chance: random.Random | None = None) -> None:
        chance = chance or random.Random()
        self._config, self._hands = config, hands
        self._asking, self._fetching = Pause(config.check_h * 3600, chance), Pause(0.0, chance)
        self._installing, self._settling = Pause(0.0, chance), Pause(SETTLE_S, chance)
        self._asked_reboot = False
        self._troubles: dict[str, str] = {}
        """What stands against each kind of work, until it goes well again."""

    def step(self) -> None:
        """Do what is due and allowed; what is not is told. Trouble is logged, and tried again later."""
        vehicle, now_s = self._hands.vehicle(), self._hands.clock_s()
        waits: list[str] = []
        try:
            with self._hands.agent() as agent:
                self._note("agent", "")
                waits.extend(self._steps(agent, vehicle, now_s))
        except UpdateError as error:
            self._note("agent", str(error))
        told = [*waits, *self._troubles.values()]
        self._hands.status("; ".join(dict.fromkeys(filter(None, told))))

    def _steps(self, agent: Agent, vehicle: Vehicle, now_s: float) -> Iterator[str]:
        """What is waited for, after doing what could be done."""
        self._do("servers", self._asking, lambda: _checked(agent), now_s)
        stages = {unit: pending.stage for unit, pending in agent.ledger.state.pending.items()}
        if "available" in stages.values():
            no = may_download(self._config, vehicle)
            yield no
            if not no:
                fetch = partial(agent.download, self._while_it_may(self._may_download))
                self._do("fetching", self._fetching, fetch, now_s)
        yield from self._install(agent, vehicle, now_s)
        if set(stages.values()) & LATE:
            self._do("settling", self._settling, agent.settle, now_s)
        if agent.wants_reboot():
            yield self._reboot(agent, vehicle)

    def _install(self, agent: Agent, vehicle: Vehicle, now_s: float) -> Iterator[str]:
        pending = agent.ledger.state.pending.items()
        ready = [unit for unit, one in pending if one.stage in ("downloaded", "writing")]
        noes = {unit: may_install(self._config, vehicle, unit) for unit in ready}
        yield from noes.values()
        allowed = [unit for unit, no in noes.items() if not no]
        if allowed:
            install = partial(agent.install, self._while_it_may(lambda: ""), units=allowed)
            self._do("installing", self._installing, install, now_s)

    def _do(self, kind: str, pause: Pause, what: Callable[[], Report], now_s: float) -> None:
        """Do it, where it is due."""
        if now_s < pause.due_s:
            return
        try:
            troubles = what().troubles
        except UpdateError as error:
            troubles = {"": str(error)}
        pause.went(not troubles, self._hands.clock_s())
        self._note(kind, "; ".join(f"{unit}: {why}" if unit else why for unit, why in troubles.items()))

    def _may_download(self) -> str:
        return may_download(self._config, self._hands.vehicle())

    def _while_it_may(self, why_not: Callable[[], str]) -> Progress:
        """Shows that this lives, and ends what goes on as soon as it may no more."""
        asked_s = self._hands.clock_s()

        def progress(done: int, total: int) -> None:
            nonlocal asked_s
            self._hands.alive()
            if self._hands.clock_s() - asked_s >= LOOK_S:
                asked_s = self._hands.clock_s()
                if no := why_not():
                    raise UpdateWaitsError(no)

        return progress

    def _reboot(self, agent: Agent, vehicle: Vehicle) -> str:
        version = agent.ledger.state.pending[IMAGE].target.version
        no = may_reboot(self._config, vehicle)
        if not no and not self._asked_reboot:
            self._hands.reboot(f"image {version} is installed")
            self._asked_reboot = True
        return f"image {version} starts with the next boot: {no or 'rebooting'}"

    def _note(self, kind: str, why: str) -> None:
        """Logged once, not at each look."""
        if why and self._troubles.get(kind) != why:
            _log.warning("%s", why)
        self._troubles[kind] = why


def _checked(agent: Agent) -> Report:
    """Refusals are told by the status; only servers that cannot be asked are tried again sooner."""
    agent.check()
    return Report()
