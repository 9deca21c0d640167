"""The commands of `deploy/repo`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.repo_tool import beginning, check, rotation, show, work
from deploy.repo_tool import rollouts as plan
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import locked
from deploy.repo_tool.keys import Keyring, is_online
from deploy.repo_tool.publish import Desk
from deploy.repo_tool.rates import to_pause
from deploy.repo_tool.rollouts import Rollout
from deploy.repo_tool.secret_words import Secrets
from deploy.repo_tool.settings import REPOSITORIES, Fleet
from deploy.repo_tool.watch import Results, follow, lines_of, utc_now
from deploy.repo_tool.work import NewFile

EXAMPLES = """Makes and signs the two TUF repositories that cars update from, and stages roll-outs. Exit codes: 0 done,
1 something is left to do (it says what), 2 refused, and nothing that is served has changed.

**Examples**

```text
deploy/repo --fleet fleet init
deploy/repo --fleet fleet add edge-alpr-1.4.0.raucb --unit image --version 1.4.0 --board orin-nano
deploy/repo --fleet fleet rollout start image-1.4.0 --target image/edge-alpr-1.4.0.raucb --share 0.01
mosquitto_sub -t 'fleet/+/stats' | deploy/repo --fleet fleet watch -
deploy/repo --fleet fleet refresh                                     each hour, from cron
```
"""
LOOK_S = 1.0
"""Between two decisions while heartbeats come in."""

app = typer.Typer(
    name="deploy/repo",
    help=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rollout = typer.Typer(no_args_is_help=True, help="Which share of the fleet is to run which file.")
app.add_typer(rollout, name="rollout")
out, err = Console(), Console(stderr=True)

Boards = Annotated[list[str] | None, typer.Option("--board", help="Only for these; any if left out.", metavar="BOARD")]
Why = Annotated[str, typer.Option(help="Kept in the history.", metavar="TEXT")]
Name = Annotated[str, typer.Argument(help="Of the roll-out.", metavar="NAME")]
Lost = Annotated[
    bool, typer.Option("--lost", help="The old key is gone: for a moment, cars that ask get an error and ask again.")
]


@app.callback()
def common(
    context: typer.Context,
    fleet: Annotated[Path, typer.Option(help="Your folder; FOLDER/public is served.", metavar="FOLDER")] = Path(),
    secret_file: Annotated[
        Path | None, typer.Option(help="Passphrase or PIN of keys that name no file of their own.", metavar="FILE")
    ] = None,
) -> None:
    """Options of all commands."""
    context.obj = (Fleet(fleet), Secrets(secret_file))


@app.command()
def init(
    context: typer.Context,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Take this key, e.g. image-root-1=pkcs11:token=A;id=%01?module-path=…", metavar="NAME=URI"),
    ] = None,
    online_secret: Annotated[
        Path | None, typer.Option(help="File with the passphrase of the online keys, noted as theirs.", metavar="FILE")
    ] = None,
) -> None:
    """Make both repositories and the keys that are not given. Afterwards, carry the offline keys away."""
    fleet, secrets = context.obj
    uris = dict(_pair(text) for text in key or ())
    beginning.begin_folder(fleet)
    with locked(fleet.lock):
        settings = fleet.read_settings()
        keyring = Keyring(fleet, dict(settings.keys), secrets, lambda name: online_secret if is_online(name) else None)
        keys = beginning.make_keys(fleet, keyring, uris)
        beginning.make_repositories(Desk(fleet, settings, keyring, utc_now()), keys)
    show.say(out, f"made; serve {fleet.public}; deploy/repo trust FOLDER writes what goes into the image of the device")
    away = [f"{keyring.keys[name].uri} ({name})" for name in keyring.keys if not is_online(name)]
    show.say(out, "to be carried away, each root key of a repository to another place:", *(f"  {one}" for one in away))


@app.command()
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A bundle, a model set or a list.", metavar="FILE")],
    unit: Annotated[str, typer.Option(help="image, models or list/NAME.", metavar="UNIT")],
    version: Annotated[str, typer.Option(help="E.g. 1.4.0.", metavar="VERSION")],
    board: Boards = None,
    needs: Annotated[str, typer.Option(help="The oldest image that it works with.", metavar="VERSION")] = "",
) -> None:
    """Put a file into the image repository. No car takes it before a roll-out says so."""
    new = NewFile(file, unit, version, tuple(board or ()), needs)
    with _desk(context) as desk:
        with show.copying(file, err) if file.is_file() else _silent() as progress:
            target = work.add(desk, new, progress)
        needed = work.sign(desk)
    show.say(out, f"{target.path}: {target.length:,} bytes, sha256 {target.hashes['sha256']}")
    _end(needed)


@app.command()
def sign(context: typer.Context, lost: Lost = False) -> None:
    """Sign what is staged with the keys that are here, and publish what is complete."""
    with _desk(context) as desk:
        _end(work.sign(desk, lost))


@app.command()
def drop(context: typer.Context) -> None:
    """Forget what is staged."""
    with _desk(context) as desk:
        work.drop(desk)


@app.command()
def refresh(context: typer.Context) -> None:
    """Sign timestamps anew, and snapshots in time; publish what is complete. For cron, several times a day."""
    with _desk(context) as desk:
        _end(work.refresh(desk))


@app.command()
def rotate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the key, as fleet.toml has it.", metavar="KEY")],
    key: Annotated[str, typer.Option(help="The new one; a file is made if left out.", metavar="URI")] = "",
    lost: Lost = False,
) -> None:
    """Replace a key. The new root needs two root keys of before and two of after, then it is published."""
    with _desk(context) as desk:
        spec = rotation.rotate(desk, name, key)
        needed = work.sign(desk, lost)
    show.say(out, f"{name} is now {spec.uri}")
    _end(needed)


@app.command()
def renew(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="image-root, image-targets, director-root, …", metavar="WHAT")],
) -> None:
    """Sign root or targets metadata again, before it expires."""
    with _desk(context) as desk:
        rotation.renew(desk, what)
        _end(work.sign(desk))


@app.command()
def trust(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Gets director/root.json and image/root.json.", metavar="FOLDER")],
) -> None:
    """Write the roots that a new device starts from: they go into its image, and all its trust begins there."""
    with _desk(context) as desk:
        for repository in REPOSITORIES:
            work.write_trust(desk, repository, folder)
    show.say(out, f"{folder}: written")


@app.command("check")
def check_(context: typer.Context) -> None:
    """Check the whole folder as a client would, and that no private key is served."""
    with _desk(context) as desk:
        found, remarks = check.problems(desk), check.remarks(desk)
    show.say(out, *remarks)
    _end(found)
    show.say(out, "a client takes all of it")


@app.command()
def status(context: typer.Context) -> None:
    """Versions, dates of expiry, files and roll-outs."""
    with _desk(context) as desk:
        states = {repository: desk.state(repository) for repository in REPOSITORIES}
        for repository, state in states.items():
            show.say(out, *show.state_lines(repository, state))
        show.say(out, *check.remarks(desk))
        show.files_table(states[REPOSITORIES[0]].targets.signed.targets.values(), out)
        _show_rollouts(desk, list(work.read_rollouts(desk).values()))


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
    with _desk(context) as desk:
        wanted = Rollout(name, target, "", "", share, tuple(board or ()), back=back)
        file = desk.state(REPOSITORIES[0]).targets.signed.targets.get(target)
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
    with _desk(context) as desk:
        _change(desk, plan.widen(_rollout(desk, name), share, board or (), desk.now))


@rollout.command()
def pause(context: typer.Context, name: Name, why: Why = "") -> None:
    """No further car begins. Cars that run it go on running it."""
    with _desk(context) as desk:
        _change(desk, plan.pause(_rollout(desk, name), why, desk.now))


@rollout.command()
def resume(context: typer.Context, name: Name) -> None:
    """At the share where it was paused."""
    with _desk(context) as desk:
        _change(desk, plan.resume(_rollout(desk, name), desk.now))


@rollout.command()
def withdraw(context: typer.Context, name: Name, why: Why = "") -> None:
    """The director forgets it. To have cars go back, start a roll-out of the older file with --back."""
    with _desk(context) as desk:
        _change(desk, plan.withdraw(_rollout(desk, name), why, desk.now))


@rollout.command("status")
def rollout_status(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="With its history.", metavar="NAME")] = None,
) -> None:
    """All roll-outs and what cars said of them."""
    with _desk(context) as desk:
        chosen = [_rollout(desk, name)] if name else list(work.read_rollouts(desk).values())
        _show_rollouts(desk, chosen)
    for change in chosen[0].history if name else ():
        boards = ", ".join(change.boards) or "any board"
        show.say(out, f"{change.at:%Y-%m-%d %H:%M} {change.what} {change.share:.2%} {boards} {change.why}".rstrip())


@app.command()
def watch(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Heartbeats, one a line; - is the standard input.", metavar="FILE|-")],
    follow_: Annotated[bool, typer.Option("--follow", help="Go on as the file grows.")] = False,
) -> None:
    """Count what cars say of updates in their heartbeats; pause a roll-out whose failures are surely too many."""
    with _desk(context) as desk:
        work.try_keys(desk)
        results = Results(desk.fleet).load()
    _look(context, results)
    looked, news = time.monotonic(), False
    for line in _lines(file, follow_):
        news = (bool(line) and results.take(line, utc_now())) or news
        if (news or not line) and time.monotonic() - looked >= LOOK_S:
            _look(context, results)
            looked, news = time.monotonic(), False
    _look(context, results)
    if results.unread:
        show.say(err, f"lines that were no heartbeat: {results.unread}")
    with _desk(context) as desk:
        _show_rollouts(desk, list(work.read_rollouts(desk).values()))


def _look(context: typer.Context, results: Results) -> None:
    """Pause what has to be. The folder is only locked, and keys only used, where something has."""
    fleet, _ = context.obj
    settings = fleet.read_settings()
    rollouts = plan.decode(fleet.rollouts_file.read_bytes()) if fleet.rollouts_file.exists() else {}
    if not to_pause(rollouts, results.tally, settings.watch, utc_now()):
        return
    with _desk(context) as desk:
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


@contextmanager
def _desk(context: typer.Context) -> Iterator[Desk]:
    fleet, secrets = context.obj
    settings = fleet.read_settings()
    with locked(fleet.lock):
        yield Desk(fleet, settings, Keyring(fleet, dict(settings.keys), secrets), utc_now())


@contextmanager
def _silent() -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def _rollout(desk: Desk, name: str) -> Rollout:
    rollouts = work.read_rollouts(desk)
    if name not in rollouts:
        raise RepoError(f"there is no roll-out {name}; there are {', '.join(rollouts) or 'none'}")
    return rollouts[name]


def _change(desk: Desk, changed: Rollout) -> None:
    needed = work.change_rollout(desk, changed)
    boards = ", ".join(changed.boards) or "any board"
    show.say(out, f"{changed.name}: {changed.state}, {changed.share:.2%} of {boards}, {changed.target}")
    _end(needed)


def _show_rollouts(desk: Desk, chosen: list[Rollout]) -> None:
    if not chosen:
        show.say(out, "no roll-outs")
        return
    tally = Results(desk.fleet).load().tally
    show.rollouts_table(chosen, tally, desk.settings.watch, desk.now, out)


def _end(needed: list[str]) -> None:
    """Exit code 1 where something is left to do."""
    if needed:
        show.say(err, *needed)
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    name, equals, uri = text.partition("=")
    if not equals:
        raise RepoError(f"--key {text}: NAME=URI is needed")
    return name, uri
