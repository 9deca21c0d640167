"""The commands of `deploy/repo rollout`, and `watch`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from deploy.repo_tool import rollouts as plan
from deploy.repo_tool import show, work
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.opening import Boards, at_desk, end, err, out
from deploy.repo_tool.publish import Desk
from deploy.repo_tool.rates import to_pause
from deploy.repo_tool.rollouts import Rollout
from deploy.repo_tool.settings import IMAGE
from deploy.repo_tool.topics import DEVICE
from deploy.repo_tool.watch import Results, follow, lines_of, utc_now
from edge_alpr.config import MqttConfig

LOOK_S, IDLE_S = 1.0, 10.0
"""Between two decisions: while there is news, and without."""
rollout = typer.Typer(no_args_is_help=True, help="Which share of the fleet is to run which file.")

Why = Annotated[str, typer.Option(help="Kept in the history.", metavar="TEXT")]
Name = Annotated[str, typer.Argument(help="Of the roll-out.", metavar="NAME")]


@rollout.command()
def start(
    context: typer.Context,
    name: Name,
    target: Annotated[str, typer.Option(help="As `add` printed it.", metavar="PATH")],
    share: Annotated[float, typer.Option(help="Of the cars, 0 to 1.", min=0, max=1)],
    board: Boards = None,
    back: Annotated[bool, typer.Option("--back", help="Cars with a newer version go back to this one.")] = False,
) -> None:
    """Have a share of the cars run a file."""
    with at_desk(context) as desk:
        wanted = Rollout(name, target, "", "", share, tuple(board or ()), back=back)
        file = desk.state(IMAGE).targets.signed.targets.get(target)
        made = plan.begin(work.read_rollouts(desk), wanted, file, desk.now)
        _change(desk, made)


@rollout.command()
def widen(
    context: typer.Context,
    name: Name,
    share: Annotated[float | None, typer.Option(help="Not below what it is.", min=0, max=1)] = None,
    board: Boards = None,
) -> None:
    """More cars, or more boards."""
    with at_desk(context) as desk:
        _change(desk, plan.widen(_rollout(desk, name), share, board or (), desk.now))


@rollout.command()
def pause(context: typer.Context, name: Name, why: Why = "") -> None:
    """No further car begins. Cars that run it go on running it."""
    with at_desk(context) as desk:
        _change(desk, plan.pause(_rollout(desk, name), why, desk.now))


@rollout.command()
def resume(context: typer.Context, name: Name) -> None:
    """At the share where it was paused."""
    with at_desk(context) as desk:
        _change(desk, plan.resume(_rollout(desk, name), desk.now))


@rollout.command()
def withdraw(context: typer.Context, name: Name, why: Why = "") -> None:
    """The director forgets it. To have cars go back, start a roll-out of the older file with --back."""
    with at_desk(context) as desk:
        _change(desk, plan.withdraw(_rollout(desk, name), why, desk.now))


@rollout.command("status")
def rollout_status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="With its history.", metavar="NAME")] = None,
) -> None:
    """All roll-outs and what cars said of them."""
    with at_desk(context) as desk:
        chosen = [_rollout(desk, name)] if name else list(work.read_rollouts(desk).values())
        show_rollouts(desk, chosen)
    for change in chosen[0].history if name else ():
        boards = ", ".join(change.boards) or "any board"
        show.say(out, f"{change.at:%Y-%m-%d %H:%M} {change.what} {change.share:.2%} {boards} {change.why}".rstrip())


def watch(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(help="What mosquitto_sub -F '%t %x' writes; - is the standard input.", metavar="FILE|-")
    ],
    follow_: Annotated[bool, typer.Option("--follow", help="Go on as the file grows.")] = False,
    topic: Annotated[str, typer.Option(help="The cars' mqtt.topic.", metavar="TOPIC")] = MqttConfig().topic,
    without_topics: Annotated[
        bool, typer.Option("--without-topics", help="Lines are heartbeats alone; you trust whoever wrote the file.")
    ] = False,
) -> None:
    """Count what cars say of updates in their heartbeats; pause a roll-out whose failures are surely too many.

    A heartbeat counts only under the topic of the car that it names.
    """
    if DEVICE not in topic:
        raise RepoError(f"--topic {topic}: {DEVICE} is needed in it, or it tells no car from another")
    with at_desk(context) as desk:
        work.try_keys(desk)
        results = Results(desk.fleet, "" if without_topics else topic).load()
    _look(context, results)
    looked, told = time.monotonic(), False
    for line in _lines(file, follow_):
        if line:
            results.take(line, utc_now())
        if results.stranger and not told:  # at once: where all lines are such, nothing is watched
            show.say(err, results.stranger)
            told = True
        if time.monotonic() - looked >= (LOOK_S if results.news else IDLE_S):
            _look(context, results)
            looked = time.monotonic()
    _look(context, results)
    if results.unread:
        show.say(err, f"lines that were no heartbeat, or not of the car that they name: {results.unread}")
    with at_desk(context) as desk:
        show_rollouts(desk, list(work.read_rollouts(desk).values()))


def _look(context: typer.Context, results: Results) -> None:
    """Pause what has to be. The folder is only locked, and keys only used, where something has."""
    settings = results.fleet.read_settings()
    results.look()
    if not to_pause(results.rollouts, results.tally, settings.watch, utc_now()):
        return
    with at_desk(context) as desk:
        for name, why in to_pause(work.read_rollouts(desk), results.tally, settings.watch, desk.now).items():
            needed = work.change_rollout(desk, plan.pause(_rollout(desk, name), why, desk.now))
            show.say(out, f"{name} paused: {why}", *needed)


def _lines(file: str, follow_: bool) -> Iterator[bytes]:
    if file == "-":
        yield from lines_of(sys.stdin.buffer)
        return
    try:
        if follow_:
            yield from follow(Path(file))
        else:
            with Path(file).open("rb") as stream:
                yield from lines_of(stream)
    except OSError as error:
        raise RepoError(f"{file}: {error.strerror}") from error


def _rollout(desk: Desk, name: str) -> Rollout:
    rollouts = work.read_rollouts(desk)
    if name not in rollouts:
        raise RepoError(f"there is no roll-out {name}; there are {', '.join(rollouts) or 'none'}")
    return rollouts[name]


def _change(desk: Desk, changed: Rollout) -> None:
    needed = work.change_rollout(desk, changed)
    boards = ", ".join(changed.boards) or "any board"
    show.say(out, f"{changed.name}: {changed.state}, {changed.share:.2%} of {boards}, {changed.target}")
    end(needed)


def show_rollouts(desk: Desk, chosen: list[Rollout]) -> None:
    """As a table."""
    if not chosen:
        show.say(out, "no roll-outs")
        return
    tally = Results(desk.fleet).load().tally
    show.rollouts_table(chosen, tally, desk.settings.watch, desk.now, out)
