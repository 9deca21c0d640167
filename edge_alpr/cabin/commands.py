"""The `sound` verb."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edge_alpr.config import Config, load_config
from edge_alpr.errors import SoundError


def sound(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration file (TOML); see `edge-alpr config`.", metavar="FILE"),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Play the chimes and a spoken plate, and stop.")] = False,
    mute: Annotated[
        float | None, typer.Option(help="Mute for so many minutes, 0: no longer, and stop.", min=0, max=1440)
    ] = None,
) -> None:
    """Chimes and spoken plates of a drive, and the buttons. The highest list is never muted.

    **Examples**

    ```text
    edge-alpr sound              beside edge-alpr run, until interrupted
    edge-alpr sound --test       is it heard?
    edge-alpr sound --mute 15
    ```
    """
    settings = load_config(config)
    if mute is not None:
        _mute(settings, mute)
    elif test:
        _test(settings)
    else:
        _run(settings)


def _mute(settings: Config, minutes: float) -> None:
    from edge_alpr.cabin.muting import Muting

    try:
        Muting(Path(settings.store.path), settings.sound).mute(minutes)
    except OSError as error:
        raise SoundError(f"not muted: {error}; start a drive first: edge-alpr run") from error


def _test(settings: Config) -> None:
    from edge_alpr.cabin.player import Player
    from edge_alpr.cabin.spelling import spoken
    from edge_alpr.cabin.tones import CHIMES

    with Player(settings.sound) as player:
        speak = player.prepared(spoken("B07KX", "", settings.sound.language))
        for name in CHIMES:
            player.sound(name, lambda: False)
        speak(lambda: False)


def _run(settings: Config) -> None:
    import signal
    import threading

    from edge_alpr.cabin.run import Signs
    from edge_alpr.cabin.run import sound as run_sound
    from edge_alpr.service import Manager, aside

    manager = Manager(os.environ)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: aside(stop.set))
    run_sound(settings, stop, Signs(manager.ready, manager.alive, manager.status))
    manager.stopping()
