"""Puts the page's parts together and serves them."""

from __future__ import annotations

import ipaddress
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console

from edge_alpr.config import Config
from edge_alpr.display.gate import Sessions
from edge_alpr.display.hub import Hub
from edge_alpr.display.kiosk import Kiosk, kiosk_command
from edge_alpr.display.secret import Password
from edge_alpr.display.server import listen, make_app, make_server
from edge_alpr.errors import ConfigError
from edge_alpr.runtime import runtime_folder
from edge_alpr.service import Manager


def serve(config: Config, port: int, kiosk: bool) -> None:
    """Serve the page until interrupted. Raises `ConfigError`, `DisplayError`, `RuntimeFolderError`."""
    display = config.display
    if not is_loopback(display.host) and not display.password:
        raise ConfigError(
            f"display.host {display.host} is open to others and there is no password; set display.password "
            "(edge-alpr display --hash-password) or leave host at 127.0.0.1"
        )
    runtime = runtime_folder(config)
    hub = Hub({"night": display.night, "card_minutes": display.card_minutes})
    with listen(config, port) as listener:
        port = listener.getsockname()[1]
        sessions = Sessions(Password(display.password) if display.password else None, port)
        server = make_server(make_app(config, runtime, hub, sessions, port, Manager(os.environ)), hub)
        address = f"http://{_local(display.host)}:{port}/"

        def command() -> list[str]:
            opened = f"{address}?token={sessions.token()}" if display.password else address
            return kiosk_command(opened, runtime / "browser", os.environ)

        if kiosk:
            command()  # what is missing is told before anything is served
        Console(highlight=False, stderr=True).print("The page for the screen; Ctrl-C ends it:", soft_wrap=True)
        print(address, flush=True)
        with _ending_well(), Kiosk(command) if kiosk else nullcontext():
            server.run(sockets=[listener])


@contextmanager
def _ending_well() -> Iterator[None]:
    """The server minds the signals while it serves, and passes them on when it has ended: to nobody."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can ask there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _local(host: str) -> str:
    """How this machine itself opens it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host

