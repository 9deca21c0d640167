"""The processes of `edge-alpr update`: the service, and the proof at boot."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge_alpr.config import Config, StoreConfig, load_config
from edge_alpr.errors import ConfigError, UpdateError
from edge_alpr.ota.agent import Agent
from edge_alpr.ota.types import IMAGE
from edge_alpr.position.whereabouts import open_position
from edge_alpr.service import Manager
from edge_alpr.update.lock import locked
from edge_alpr.update.reboot import ask_for_reboot
from edge_alpr.update.service import LOOK_S, Hands, Updater
from edge_alpr.update.vehicle import VehicleWatch
from edge_alpr.update.wiring import make_agent, places

_log = logging.getLogger(__name__)
GOES_BACK = 3
"""Exit code of the proof at boot for a verdict against the image; 1 and 2 are faults."""
_PROVE_WAIT_S = 1500.0
"""How long the proof at boot waits for another process that works on updates: as long as writing an image may take."""
_BACK_WAIT_S = 120.0


def wanted(config: Config) -> None:
    """Raises `UpdateError` where updates are off."""
    if not config.update.url:
        raise UpdateError("updates are off: set update.url; see docs/updates.md")


@contextmanager
def held_agent(
    config: Config, file: Path | None, tick: Callable[[], None] = lambda: None, wait_s: float = 2.0
) -> Iterator[Agent]:
    """The agent, and the lock. Raises `UpdateError`."""
    with locked(places(config).update, wait_s, tick):
        yield make_agent(config, file, tick)


def serve(config: Config, file: Path | None, limit_s: float | None = None) -> None:
    """Keep the installation up to date until a signal, or so many seconds. Where that is off, the status says so."""
    manager = Manager(os.environ)
    with ExitStack() as stack:
        stack.enter_context(_ending())
        position = stack.enter_context(open_position(config.position))
        stack.callback(manager.stopping)
        hands = Hands(
            agent=lambda: held_agent(config, file, manager.alive),
            vehicle=VehicleWatch(config.update, position.speed_kmh).look,
            alive=manager.alive,
            reboot=lambda why: ask_for_reboot(config, why),
            status=manager.status,
            clock_s=time.monotonic,
        )
        updater = Updater(config.update, hands)
        until_s = time.monotonic() + (float("inf") if limit_s is None else limit_s)
        manager.ready()
        while time.monotonic() < until_s:
            updater.step()
            manager.alive()
            time.sleep(max(0.0, min(LOOK_S, until_s - time.monotonic())))


def prove(config: Config, file: Path | None) -> bool:
    """After a boot: prove what is on trial, or go back. Whether all is well; if not, a reboot is asked for."""
    with held_agent(config, file, wait_s=_PROVE_WAIT_S) as agent:
        report = agent.after_boot()
        for unit, why in report.troubles.items():
            _log.warning("%s: %s", unit, why)
        if report.reboot:
            pending = agent.ledger.state.pending.get(IMAGE)
            ask_for_reboot(config, f"back: {pending.why if pending else ''}")
    return not report.reboot


def at_boot(file: Path | None) -> Config:
    """The settings; where they do not hold, only where updates lie, as systemd says it: a proven image stays proven
    though somebody mistyped a setting. Raises `ConfigError` where nobody says it."""
    try:
        return load_config(file)
    except ConfigError as error:
        place = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        if not place:
            raise
        _log.error("%s", error)
        return Config(store=StoreConfig(path=place))


def give_up(config: Config, file: Path | None) -> bool:
    """The proof itself broke down: a side on trial goes back, any other stays. Whether it stays."""
    if not make_agent(config, file).may_go_back():
        return True
    with held_agent(config, file, wait_s=_BACK_WAIT_S) as agent:
        goes = agent.proof_failed("the proof at boot broke down: journalctl -u edge-alpr-prove")
        if goes:
            ask_for_reboot(config, "back: the proof at boot broke down")
    return not goes


class _Ended(SystemExit):
    """A signal: it ends whatever runs, as a power cut would, only tidier."""


@contextmanager
def _ending() -> Iterator[None]:
    def end(number: int, _frame: object) -> None:
        raise _Ended(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


