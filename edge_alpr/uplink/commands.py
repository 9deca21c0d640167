"""The command `edge-alpr uplink`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edge_alpr.config import load_config
from edge_alpr.errors import LinkError


def uplink(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration file (TOML).", metavar="FILE")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Send what waits, then end: 2 if some still waits.")] = False,
    limit: Annotated[
        float | None, typer.Option(help="End after so many seconds; 60 with --once.", min=0, metavar="SECONDS")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Show what waits and what was refused, and end.")] = False,
) -> None:
    """Tell the outside: MQTT, webhooks, metrics. Runs beside `edge-alpr run`, on the same configuration.

    **Examples**

    ```text
    edge-alpr uplink --config car.toml
    edge-alpr uplink --config car.toml --once
    edge-alpr uplink --config car.toml --status
    ```
    """
    settings = load_config(config)
    if status:
        from edge_alpr.uplink.status import show_status

        show_status(Path(settings.store.path))
        return
    try:
        from edge_alpr.service import Manager
        from edge_alpr.uplink.service import Uplink
        from edge_alpr.uplink.signals import reloading
    except ImportError as error:
        raise LinkError(f"{error.name} is not installed: pip install 'edge-alpr[uplink]'") from error
    manager = Manager(os.environ)
    with reloading(lambda: Uplink(load_config(config), manager), manager) as uplinks:
        for link in uplinks:
            link.run(60.0 if once and limit is None else limit, once)
