"""The commands of `edge-alpr events`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge_alpr.config import load_config
from edge_alpr.errors import RecordError

if TYPE_CHECKING:
    from edge_alpr.records.desk import Desk
    from edge_alpr.records.select import Wanted

events = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Look at the stored events, export, lock or purge them, and account for what is kept.

**Examples**

```text
edge-alpr events list --since 2h                     the last two hours
edge-alpr events export --hits --out hits.csv        CSV; .jsonl and .html as well
edge-alpr events export UUID --out evidence.html     signed, with pictures, one file
edge-alpr events verify evidence.html --key KEY      is it as the device wrote it?
edge-alpr events report                              what is kept, and why
```
""",
)

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file (TOML).", metavar="FILE")]
Uuids = Annotated[list[str] | None, typer.Argument(help="Passages, by their uuid.", metavar="UUID…")]
Named = Annotated[list[str], typer.Argument(help="Passages, by their uuid.", metavar="UUID…")]
Plate = Annotated[str, typer.Option(help="Of this plate; O and 0, I and 1 count as the same.", metavar="TEXT")]
List = Annotated[str, typer.Option("--list", help="Hits of this hot list.", metavar="NAME")]
Hits = Annotated[bool, typer.Option("--hits", help="Only hits.")]
Locked = Annotated[bool, typer.Option("--locked", help="Only locked ones.")]
Since = Annotated[str, typer.Option(help="Seen since: 2026-01-02, 2026-01-02T10:00Z, 90m, 2h, 7d.", metavar="TIME")]
Until = Annotated[str, typer.Option(help="Seen before.", metavar="TIME")]
Limit = Annotated[int | None, typer.Option(help="At most so many, the newest.", min=1)]


@events.command("list")
def list_(
    *,
    plate: Plate = "",
    hot_list: List = "",
    hits: Hits = False,
    locked: Locked = False,
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    config: Config = None,
) -> None:
    """List passages, the newest first.

    **Examples**

    ```text
    edge-alpr events list
    edge-alpr events list --hits --since 7d
    edge-alpr events list --plate B123XYZ
    ```
    """
    from edge_alpr.records.desk import open_desk
    from edge_alpr.records.select import chosen
    from edge_alpr.records.tables import to_table

    with open_desk(load_config(config)) as desk:
        wanted = _wanted(desk, None, plate, hot_list, (hits, locked), (since, until))
        found = chosen(desk.view, wanted, limit)
        Console(highlight=False).print(to_table(found, desk.marked()) if found else "no such events")


@events.command()
def show(uuids: Named, config: Config = None) -> None:
    """Show all that is stored of passages.

    **Examples**

    ```text
    edge-alpr events show 0193e5a0-0000-7000-8000-000000000007
    ```
    """
    from edge_alpr.records.desk import described, open_desk
    from edge_alpr.records.select import Wanted, chosen

    with open_desk(load_config(config)) as desk:
        for event in chosen(desk.view, Wanted(tuple(uuids))):
            print(described(desk, event))


@events.command()
def export(
    uuids: Uuids = None,
    *,
    out: Annotated[Path | None, typer.Option(help="Left out: standard output.", metavar="FILE")] = None,
    kind: Annotated[
        str, typer.Option("--format", help="csv, jsonl or html; left out: by the name of FILE, else csv.")
    ] = "",
    plate: Plate = "",
    hot_list: List = "",
    hits: Hits = False,
    locked: Locked = False,
    since: Since = "",
    until: Until = "",
    limit: Limit = None,
    config: Config = None,
) -> None:
    """Write passages to a file: CSV, JSON lines, or an evidence page with pictures that the device signs.

    Every export is noted in the audit log.

    **Examples**

    ```text
    edge-alpr events export --hits --since 30d --out hits.csv
    edge-alpr events export --format jsonl | jq .plate
    edge-alpr events export UUID --out evidence.html
    ```
    """
    from edge_alpr.records.desk import FORMATS, open_desk
    from edge_alpr.records.select import chosen
    from edge_alpr.sinks.sealing import write_whole

    wanted_kind = kind or (out.suffix.removeprefix(".").lower() if out else "csv")
    if wanted_kind not in FORMATS:
        raise RecordError(f"'{wanted_kind}' is no format of an export; use --format {', '.join(FORMATS)}")
    if out is not None and not out.parent.is_dir():
        raise RecordError(f"{out.parent}: no such folder; make it first")
    with open_desk(load_config(config)) as desk:
        wanted = _wanted(desk, uuids, plate, hot_list, (hits, locked), (since, until))
        found = chosen(desk.view, wanted, limit)
        content = desk.export(found, wanted_kind, str(out.absolute()) if out else "-")
    if out is None:
        sys.stdout.buffer.write(content)
        return
    write_whole(out, content)
    Console(stderr=True, highlight=False).print(f"{out}: {len(found)} passages", soft_wrap=True, markup=False)


@events.command()
def lock(uuids: Named, config: Config = None) -> None:
    """Keep passages: neither forgotten nor deleted by age or quota.

    **Examples**

    ```text
    edge-alpr events lock 0193e5a0-0000-7000-8000-000000000007
    ```
    """
    from edge_alpr.records.desk import open_desk
    from edge_alpr.records.select import Wanted, chosen

    with open_desk(load_config(config)) as desk:
        desk.lock(chosen(desk.view, Wanted(tuple(uuids))))


@events.command()
def unlock(uuids: Named, config: Config = None) -> None:
    """Let passages go by the limits again.

    **Examples**

    ```text
    edge-alpr events unlock 0193e5a0-0000-7000-8000-000000000007
    ```
    """
    from edge_alpr.records.desk import open_desk
    from edge_alpr.records.select import Wanted, chosen

    with open_desk(load_config(config)) as desk:
        desk.unlock(chosen(desk.view, Wanted(tuple(uuids))))


@events.command()
def purge(
    uuids: Uuids = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All passages.")] = False,
    plate: Plate = "",
    hot_list: List = "",
    hits: Hits = False,
    since: Since = "",
    until: Until = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Delete passages now: texts, pictures and marks, also while a drive runs. Locked ones stay: unlock them first.

    **Examples**

    ```text
    edge-alpr events purge --plate B123XYZ
    edge-alpr events purge --until 7d --yes
    edge-alpr events purge --all
    ```
    """
    from edge_alpr.records.desk import open_desk
    from edge_alpr.records.select import chosen

    if not (everything or uuids or plate or hot_list or hits or since or until):
        raise RecordError("say which passages: uuids, --plate, --list, --hits, --since, --until, or --all")
    with open_desk(load_config(config)) as desk:
        found = chosen(desk.view, _wanted(desk, uuids, plate, hot_list, (hits, False), (since, until)))
        locked = {mark.uuid for mark in desk.marks.named("locked")}
        going = [event for event in found if event.uuid not in locked]
        stay = f" ({len(found) - len(going)} locked ones stay)" if len(found) > len(going) else ""
        if not yes:
            typer.confirm(f"delete {len(going)} passages with their pictures{stay}?", abort=True)
        done = desk.purge(going)
    print(f"deleted {done.passages} passages and {done.pictures} pictures{stay}")


@events.command()
def report(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False, config: Config = None
) -> None:
    """Say what is kept and why, what was deleted and why, and what may leave the car.

    **Examples**

    ```text
    edge-alpr events report
    ```
    """
    import json

    from edge_alpr.records.desk import open_desk
    from edge_alpr.records.report import as_dict, make_report, show_report

    settings = load_config(config)
    with open_desk(settings) as desk:
        made = make_report(desk.view, settings)
    if as_json:
        print(json.dumps(as_dict(made)))
    else:
        show_report(made, Console(highlight=False))


@events.command()
def verify(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Evidence pages; left out: this device's audit log.", metavar="FILE…")
    ] = None,
    key: Annotated[str, typer.Option(help="The device's public key; left out: that of this device.")] = "",
    config: Config = None,
) -> None:
    """Prove that evidence pages, or the audit log, are as this device wrote them. Exit code 1 if one is not.

    **Examples**

    ```text
    edge-alpr events verify evidence.html --key 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29
    edge-alpr events verify
    ```
    """
    from edge_alpr.records.check import check_files, check_log

    settings = load_config(config)
    lines = check_files(files, key, settings) if files else [check_log(key, settings)]
    for line in lines:
        print(line.text)
    if not all(line.holds for line in lines):
        raise typer.Exit(1)


@events.command("key")
def show_key(config: Config = None) -> None:
    """Print this device's public key, which others verify its evidence with.

    **Examples**

    ```text
    edge-alpr events key
    ```
    """
    from edge_alpr.sinks.signing import open_signer

    print(open_signer(Path(load_config(config).store.signing_key)).public)


def _wanted(
    desk: Desk,
    uuids: list[str] | None,
    plate: str,
    hot_list: str,
    only: tuple[bool, bool],
    times: tuple[str, str],
) -> Wanted:
    """`only` is (hits, locked), `times` (since, until) as typed."""
    import time

    from edge_alpr.records.select import Wanted, moment

    now_ms = time.time_ns() // 1_000_000
    since, until = (moment(text, now_ms) if text else None for text in times)
    locked = frozenset(mark.uuid for mark in desk.marks.named("locked")) if only[1] else None
    return Wanted(tuple(uuids or ()), plate, hot_list, only[0], since, until, locked)
