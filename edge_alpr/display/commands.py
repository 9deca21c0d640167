"""The `display` verb."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_alpr.config import load_config
from edge_alpr.errors import ConfigError, DisplayError


def display(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration file (TOML); see `edge-alpr config`.", metavar="FILE"),
    ] = None,
    store: Annotated[str | None, typer.Option(help="Folder of the event store.", metavar="FOLDER")] = None,
    port: Annotated[
        int | None, typer.Option(help="Instead of `display.port`; 0: any free one.", min=0, max=65535)
    ] = None,
    kiosk: Annotated[bool, typer.Option("--kiosk", help="Open it over the whole screen of this machine.")] = False,
    hash_password: Annotated[
        bool, typer.Option("--hash-password", help="Ask for a password and print its hash for `display.password`.")
    ] = False,
) -> None:
    """Serve the page for the car's screen, on this machine only unless configured.

    **Examples**

    ```text
    edge-alpr display                    open the address in a browser
    edge-alpr display --kiosk            over the whole screen
    edge-alpr display --hash-password    for a tablet: host and password in the configuration
    ```
    """
    if hash_password:
        print(f'password = "{_hashed()}"')
        return
    settings = load_config(config)
    if store is not None:
        settings = msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, path=store))
    try:
        from edge_alpr.display.run import serve
    except ImportError as error:
        raise DisplayError(f"the page takes {error.name}; pip install 'edge-alpr[display]'") from error
    serve(settings, settings.display.port if port is None else port, kiosk)


def _hashed() -> str:
    from edge_alpr.display.secret import hash_password

    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if len(password) < 8:
        raise ConfigError("a password takes at least 8 characters")
    return hash_password(password)
