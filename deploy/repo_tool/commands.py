"""The commands of `deploy/repo`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.repo_tool import beginning, check, rotation, show, tidy, work
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import locked
from deploy.repo_tool.keys import Keyring, is_online
from deploy.repo_tool.opening import Boards, at_desk, end, err, out
from deploy.repo_tool.publish import Desk
from deploy.repo_tool.rollout_commands import rollout, show_rollouts, watch
from deploy.repo_tool.secret_words import Secrets
from deploy.repo_tool.settings import REPOSITORIES, Fleet
from deploy.repo_tool.watch import utc_now
from deploy.repo_tool.work import NewFile

EXAMPLES = """Makes and signs the two TUF repositories that cars update from, and stages roll-outs. Exit codes: 0 done,
1 something is left to do (it says what), 2 refused, and nothing that is served has changed.

**Examples**

```text
deploy/repo --fleet fleet init
deploy/repo --fleet fleet add edge-alpr-1.4.0.raucb --unit image --version 1.4.0 --board orin-nano
deploy/repo --fleet fleet rollout start image-1.4.0 --target image/edge-alpr-1.4.0.raucb --share 0.01
mosquitto_sub -t 'fleet/+/stats' -F '%t %x' | deploy/repo --fleet fleet watch - --topic 'fleet/{device_id}'
deploy/repo --fleet fleet refresh                                     each hour, from cron
```
"""
app = typer.Typer(
    name="deploy/repo",
    help=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(rollout, name="rollout")
app.command()(watch)

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
        keyring = Keyring(fleet, dict(settings.keys), secrets)
        keys = beginning.make_keys(fleet, keyring, uris, online_secret)
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
    with at_desk(context) as desk:
        with show.copying(file, err) if file.is_file() else _silent() as progress:
            target = work.add(desk, new, progress)
        needed = work.sign(desk)
    show.say(out, f"{target.path}: {target.length:,} bytes, sha256 {target.hashes['sha256']}")
    end(needed)


@app.command()
def remove(context: typer.Context, path: Annotated[str, typer.Argument(help="Of the target.", metavar="PATH")]) -> None:
    """Take a file out of the image repository: no car takes it any more, whatever the director says."""
    with at_desk(context) as desk:
        tidy.remove(desk, path)
        end(work.sign(desk))


@app.command()
def prune(
    context: typer.Context,
    days: Annotated[float, typer.Option(help="Known as unnamed for so long; a car may be fetching others.", min=0)] = 7,
) -> None:
    """Delete served files that nothing names any more. The days count from the `refresh` or `prune` that saw it."""
    with at_desk(context) as desk:
        show.say(out, *tidy.prune(desk, days))


@app.command()
def sign(context: typer.Context, lost: Lost = False) -> None:
    """Sign what is staged with the keys that are here, and publish what is complete."""
    with at_desk(context) as desk:
        end(work.sign(desk, lost))


@app.command()
def drop(context: typer.Context) -> None:
    """Forget what is staged."""
    with at_desk(context) as desk:
        work.drop(desk)


@app.command()
def refresh(context: typer.Context) -> None:
    """Sign timestamps anew, and snapshots in time; publish what is complete. For cron, several times a day."""
    with at_desk(context) as desk:
        needed = work.refresh(desk)
        tidy.note_unnamed(desk)
        end(needed)


@app.command()
def rotate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the key, as fleet.toml has it.", metavar="KEY")],
    key: Annotated[str, typer.Option(help="The new one; a file is made if left out.", metavar="URI")] = "",
    secret: Annotated[
        Path | None, typer.Option(help="Its passphrase or PIN; the old one's if left out.", metavar="FILE")
    ] = None,
    lost: Lost = False,
) -> None:
    """Replace a key. The new root needs two root keys of before and two of after, then it is published."""
    with at_desk(context) as desk:
        spec = rotation.rotate(desk, name, key, secret)
        needed = work.sign(desk, lost)
    show.say(out, f"{name} is now {spec.uri}")
    end(needed)


@app.command()
def renew(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="image-root, image-targets, director-root, …", metavar="WHAT")],
) -> None:
    """Sign root or targets metadata again, before it expires."""
    with at_desk(context) as desk:
        rotation.renew(desk, what)
        end(work.sign(desk))


@app.command()
def trust(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Gets director/root.json and image/root.json.", metavar="FOLDER")],
) -> None:
    """Write the roots that a new device starts from: they go into its image, and all its trust begins there."""
    with at_desk(context) as desk:
        for repository in REPOSITORIES:
            work.write_trust(desk, repository, folder)
    show.say(out, f"{folder}: written")


@app.command("check")
def check_(context: typer.Context) -> None:
    """Check the whole folder as a client would, and that no private key is served."""
    with at_desk(context) as desk:
        found, remarks = check.problems(desk), check.remarks(desk)
    show.say(out, *remarks)
    end(found)
    show.say(out, "a client takes all of it")


@app.command()
def status(context: typer.Context) -> None:
    """Versions, dates of expiry, files and roll-outs."""
    with at_desk(context) as desk:
        states = {repository: desk.state(repository) for repository in REPOSITORIES}
        for repository, state in states.items():
            show.say(out, *show.state_lines(repository, state))
        show.say(out, *check.remarks(desk))
        show.files_table(states[REPOSITORIES[0]].targets.signed.targets.values(), out)
        show_rollouts(desk, list(work.read_rollouts(desk).values()))


@contextmanager
def _silent() -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def _pair(text: str) -> tuple[str, str]:
    name, equals, uri = text.partition("=")
    if not equals:
        raise RepoError(f"--key {text}: NAME=URI is needed")
    return name, uri
