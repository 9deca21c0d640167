"""What all commands begin and end with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from deploy.repo_tool import show
from deploy.repo_tool.files import locked
from deploy.repo_tool.keys import Keyring
from deploy.repo_tool.publish import Desk
from deploy.repo_tool.watch import utc_now

out, err = Console(), Console(stderr=True)
Boards = Annotated[list[str] | None, typer.Option("--board", help="Only for these; any if left out.", metavar="BOARD")]


@contextmanager
def at_desk(context: typer.Context) -> Iterator[Desk]:
    """The operator's folder, while nobody else works in it."""
    fleet, secrets = context.obj
    settings = fleet.read_settings()
    with locked(fleet.lock):
        yield Desk(fleet, settings, Keyring(fleet, dict(settings.keys), secrets), utc_now())


def end(needed: list[str]) -> None:
    """Exit code 1 where something is left to do."""
    if needed:
        show.say(err, *needed)
        raise typer.Exit(1)
