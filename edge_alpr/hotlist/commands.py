"""The commands of `edge-alpr hotlist`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from edge_alpr.config import Config, load_config
from edge_alpr.errors import StoreError

if TYPE_CHECKING:
    from edge_alpr.hotlist.match import LoadedList

hotlist = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Plates to look for: take lists in, change them, try them. A drive that runs takes changes within seconds.

**Examples**

```text
edge-alpr hotlist import stolen.csv --priority 5 --color "#d00000"
edge-alpr hotlist add "B 123 XYZ" --note "red van" --expires 2026-12-31
edge-alpr hotlist list
edge-alpr hotlist test B123XYZ
```
""",
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML); see `edge-alpr config`.", metavar="FILE"),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Sign what is changed with this private key.", metavar="FILE.key")
]


@hotlist.command("import")
def import_(  # noqa: PLR0913
    file: Annotated[Path, typer.Argument(help="A list, .csv or .json.", metavar="FILE")],
    *,
    name: Annotated[str, typer.Option(help="Its name; the file's if left out.")] = "",
    priority: Annotated[int | None, typer.Option(help="Higher is more urgent.", min=-9999, max=9999)] = None,
    color: Annotated[str, typer.Option(help="Of its alerts, as #ff8800 or red.")] = "",
    sound: Annotated[str, typer.Option(help="Name of its chime.")] = "",
    expires: Annotated[str, typer.Option(help="When the whole list ends, e.g. 2026-12-31.")] = "",
    source: Annotated[str, typer.Option(help="Where it comes from.")] = "",
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a list in, or its new version. Lines that are no entries are named, the rest is taken.

    **Examples**

    ```text
    edge-alpr hotlist import stolen.csv
    edge-alpr hotlist import fleet.json --name "Our cars" --priority 1 --sound soft
    ```
    """
    from edge_alpr.hotlist.manage import Shelf
    from edge_alpr.hotlist.show import say, show_faults

    settings, console = load_config(config), Console(highlight=False)
    texts = {"name": name, "color": color, "sound": sound, "expires": expires, "source": source}
    heads = {head: value for head, value in texts.items() if value}
    if priority is not None:
        heads["priority"] = str(priority)
    taken = Shelf(settings, key).take(file, heads)
    show_faults(taken, console)
    say(console, f"{taken.info.name}: {len(taken):,} entries, in {taken.path}")
    _show_past(taken, settings, console)


@hotlist.command()
def add(
    plates: Annotated[list[str], typer.Argument(help='Plates, wildcards ("B*X?") or /expressions/.', metavar="PLATE…")],
    *,
    list_: Annotated[str, typer.Option("--list", help="Which list; a new one is made.", metavar="NAME")] = "mine",
    note: Annotated[str, typer.Option(help="What to say of it.")] = "",
    expires: Annotated[str, typer.Option(help="Until when, e.g. 2026-12-31 or 2026-12-31T18:00Z.")] = "",
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Add plates to a list, and name the passages in the store that look like them.

    **Examples**

    ```text
    edge-alpr hotlist add "B 123 XYZ" --note "red van"
    edge-alpr hotlist add "CJ 4? ABC" --list wanted --expires 2026-12-31
    ```
    """
    from edge_alpr.hotlist.manage import Shelf
    from edge_alpr.hotlist.show import say

    settings, console = load_config(config), Console(highlight=False)
    changed = Shelf(settings, key).add(list_, plates, note, expires)
    say(console, f"{changed.info.name}: {len(changed):,} entries, in {changed.path}")
    for plate in plates:
        _show_past(_alone(plate, changed, settings), settings, console)


@hotlist.command()
def expire(
    plates: Annotated[
        list[str] | None, typer.Argument(help="Plates to take off; left out: what is over.", metavar="PLATE…")
    ] = None,
    *,
    list_: Annotated[str, typer.Option("--list", help="Only off this list.", metavar="NAME")] = "",
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Take plates off the lists, and all entries that are over. Exit code 1 if there was nothing to take off.

    **Examples**

    ```text
    edge-alpr hotlist expire "B 123 XYZ"
    edge-alpr hotlist expire --list wanted
    ```
    """
    from edge_alpr.hotlist.edit import first_words
    from edge_alpr.hotlist.live import now_ms
    from edge_alpr.hotlist.manage import Shelf
    from edge_alpr.hotlist.show import say

    console = Console(highlight=False)
    gone = Shelf(load_config(config), key).expire(list_, plates or (), now_ms() // 1000)
    for path, entries in gone.items():
        say(console, f"{path}: taken off: {first_words(entries)}")
    if not gone:
        say(console, "nothing to take off")
        raise typer.Exit(1)


@hotlist.command("list")
def list_lists(
    faults: Annotated[bool, typer.Option("--faults", help="Name the lines that are passed over.")] = False,
    config: ConfigOption = None,
) -> None:
    """List the lists, and how sure a hit must be. Exit code 2 if one cannot be used.

    **Examples**

    ```text
    edge-alpr hotlist list --faults
    ```
    """
    from edge_alpr.hotlist.folder import lists_folder, open_folder
    from edge_alpr.hotlist.live import now_ms
    from edge_alpr.hotlist.show import say, show_faults, show_lists

    settings, console = load_config(config), Console(highlight=False)
    folder = lists_folder(settings)
    loaded = open_folder(folder, settings.hotlists)
    show_lists(loaded, settings.hotlists, now_ms(), console)
    for one in loaded.lists if faults else ():
        show_faults(one, console, most=100)
    if not (loaded.lists or loaded.troubles):
        say(console, f"no lists in {folder}; edge-alpr hotlist import FILE.csv takes one in")
    if loaded.troubles:
        raise typer.Exit(2)


@hotlist.command()
def test(
    plates: Annotated[list[str], typer.Argument(help="Texts as they would be read.", metavar="PLATE…")],
    config: ConfigOption = None,
) -> None:
    """Which entries a text would hit if it were read surely. Exit code 1 if one hits nothing.

    **Examples**

    ```text
    edge-alpr hotlist test B123XYZ
    ```
    """
    from edge_alpr.hotlist.entry import plain_text
    from edge_alpr.hotlist.folder import lists_folder, open_folder
    from edge_alpr.hotlist.live import now_ms
    from edge_alpr.hotlist.match import Matcher
    from edge_alpr.hotlist.show import show_match, show_threshold
    from edge_alpr.hotlist.sure import sure_read

    settings, console = load_config(config), Console(highlight=False)
    loaded = open_folder(lists_folder(settings), settings.hotlists)
    matcher = Matcher(settings.hotlists, loaded.lists)
    found = {text: matcher(sure_read(text), now_ms()) for text in map(plain_text, plates)}
    for text, matches in found.items():
        show_match(text, matches, console)
    show_threshold(matcher, console)
    if not all(found.values()):
        raise typer.Exit(1)


@hotlist.command()
def sign(
    files: Annotated[list[Path], typer.Argument(help="Lists.", metavar="FILE…")],
    key: Annotated[Path, typer.Option(help="The private key.", metavar="FILE.key")],
) -> None:
    """Sign lists: writes FILE.sig beside each.

    **Examples**

    ```text
    edge-alpr hotlist sign stolen.csv --key office.key
    ```
    """
    from edge_alpr.hotlist.manage import sign_file
    from edge_alpr.hotlist.show import say

    for file in files:
        say(Console(highlight=False), f"{sign_file(file, key)}: written")


@hotlist.command()
def keygen(name: Annotated[Path, typer.Argument(help="Of the two files.", metavar="NAME")]) -> None:
    """Make a pair of keys: NAME.key signs lists and stays with you, NAME.pub goes into the car's folder of keys.

    **Examples**

    ```text
    edge-alpr hotlist keygen office
    ```
    """
    from edge_alpr.hotlist.show import say
    from edge_alpr.hotlist.signature import make_keys

    private, public = make_keys(name)
    say(Console(highlight=False), f"{private}: keep it safe; {public}: into the folder that hotlists.keys names")


def _alone(plate: str, of: LoadedList, settings: Config) -> LoadedList:
    """A list of one entry."""
    from dataclasses import replace

    from edge_alpr.hotlist.compiled import compile_list
    from edge_alpr.hotlist.edit import NEW, with_entry
    from edge_alpr.hotlist.keys import Classes
    from edge_alpr.hotlist.patterns import Patterns

    data = with_entry(NEW, ".csv", plate)
    compiled = compile_list(data, ".csv", of.info.name, Classes(settings.hotlists.classes))
    return replace(of, compiled=compiled, patterns=Patterns(compiled.head.patterns))


def _show_past(of: LoadedList, settings: Config, console: Console) -> None:
    """Name the passages of the store that hit a list."""
    from edge_alpr.hotlist.match import Matcher
    from edge_alpr.hotlist.past import past_hits
    from edge_alpr.hotlist.show import say, show_past
    from edge_alpr.sinks.view import StoreView

    folder = Path(settings.store.path)
    try:
        view = StoreView(folder, settings.store)
    except StoreError:
        say(console, "not searched in past reads: there is no store yet")
        return
    with view:
        show_past(past_hits(view, Matcher(settings.hotlists, [of])), console)

