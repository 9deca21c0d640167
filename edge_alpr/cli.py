"""The command line. Every verb ends with 0, or with 2 and one line on stderr that says what to do."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.logging import RichHandler

from edge_alpr import __version__
from edge_alpr.cabin.commands import sound
from edge_alpr.config import MOST_CAMERAS, Config, load_config, with_sources
from edge_alpr.display.commands import display
from edge_alpr.errors import EdgeAlprError, OutputClosedError
from edge_alpr.hotlist.commands import hotlist
from edge_alpr.records.commands import events as events_commands
from edge_alpr.shelf.commands import models
from edge_alpr.update.commands import update
from edge_alpr.uplink.commands import uplink

EXAMPLES = """
**Examples**

```text
edge-alpr run                                   the sample drive
edge-alpr run --source drive.mp4 --events -     a recording, events as JSON
edge-alpr run --source rtsp://10.0.0.7/front    a live camera
edge-alpr read photo.jpg --jsonl                a still
edge-alpr doctor                                is this device able?
```
"""

app = typer.Typer(
    name="edge-alpr",
    help="In-car number-plate reader: a drive in, one notification per plate out.\n" + EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models, name="models")
app.add_typer(hotlist, name="hotlist")
app.command()(uplink)
app.add_typer(events_commands, name="events")
app.add_typer(update, name="update")
app.command()(display)
app.command()(sound)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML); see `edge-alpr config`.", metavar="FILE"),
]


def main() -> None:
    """Entry point: typed errors become one line and exit code 2."""
    try:
        app()
    except OutputClosedError:
        sys.exit(0)
    except EdgeAlprError as error:
        print(f"edge-alpr: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edge-alpr {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, on stderr.")] = False,
) -> None:
    """Set up logging: warnings are always shown; a service tells its journal all that is of interest."""
    shown = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    kept = None
    if "JOURNAL_STREAM" in os.environ:
        from edge_alpr.service import journal

        kept = journal()
    level = logging.INFO if verbose or kept else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[kept or shown])


@app.command()
def run(
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Path, file://, dir://FOLDER, rtsp://…, v4l2:///dev/videoN, csi://N or sample://drive; "
            "once for each camera.",
            metavar="URI",
        ),
    ] = None,
    config: ConfigOption = None,
    events: Annotated[
        str | None, typer.Option(help="Append events to this file as JSON lines; `-`: standard output.", metavar="FILE")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Folder of the event store.", metavar="FOLDER")] = None,
    no_display: Annotated[bool, typer.Option("--no-display", help="No rows and no bar, only the summary.")] = False,
    limit: Annotated[float | None, typer.Option(help="Stop after so many seconds.", min=0, metavar="SECONDS")] = None,
) -> None:
    """Read a drive: every plate once, as it is confirmed.

    **Examples**

    ```text
    edge-alpr run --source sample://drive
    edge-alpr run --source dir://frames --events plates.jsonl
    edge-alpr run --source v4l2:///dev/video0 --limit 60
    edge-alpr run --source rtsp://10.0.0.7/front --source rtsp://10.0.0.8/rear
    ```
    """
    from edge_alpr.drive import Drive  # here, so that `--help` does not load the networks' run-time
    from edge_alpr.screen import show_summary, watching
    from edge_alpr.service import Manager

    def load() -> Config:
        return _override(load_config(config), source, events, store)

    settings, manager = load(), Manager(os.environ)
    console = Console(stderr=settings.output.events == "-", highlight=False)
    with watching(console, not no_display) as screen:
        drive = Drive(settings, manager.behind(screen))
        reloading = {signal.SIGHUP: lambda: _reload(manager, drive, load)}
        with _stopping(drive.stop, reloading):
            try:
                drive.run(limit)
            finally:
                manager.stopping()
                show_summary(console, drive.summary)


def _reload(manager: Any, drive: Any, load: Callable[[], Config]) -> None:
    """Take the configuration anew; a broken one is told and changes nothing."""
    manager.reloading()
    try:
        drive.reload(load())
    except EdgeAlprError as error:
        logging.getLogger(__name__).error("the configuration stays as it was: %s", error)
    manager.ready()


def _override(config: Config, sources: list[str] | None, events: str | None, store: str | None) -> Config:
    replace = msgspec.structs.replace
    if sources:
        config = with_sources(config, sources)
    if events is not None:
        config = replace(config, output=replace(config.output, events=events))
    if store is not None:
        config = replace(config, store=replace(config.store, path=store))
    return config


@contextmanager
def _stopping(stop: Callable[[], None], others: Mapping[signal.Signals, Callable[[], None]] = {}) -> Iterator[None]:
    """Let Ctrl-C and a service manager's stop end the drive cleanly; `others` by their signals."""
    answers = {signal.SIGINT: stop, signal.SIGTERM: stop, **others}
    before = {number: signal.signal(number, lambda *_, do=do: do()) for number, do in answers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command()
def read(
    images: Annotated[list[Path], typer.Argument(help="Pictures.", metavar="IMAGE…")],
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, for programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Read the plates of stills.

    A picture that cannot be read gives an error in its line, and exit code 2 at the end; the others are still read.

    **Examples**

    ```text
    edge-alpr read photo.jpg
    edge-alpr read --jsonl *.jpg | jq -r '.plates[].plate'
    ```
    """
    from edge_alpr.stills import print_stills

    if print_stills(images, load_config(config), jsonl):
        raise typer.Exit(2)


@app.command("eval")
def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(help="Folder with labels.jsonl, Pascal VOC, YOLO or CSV; or sample://drive.", metavar="DATASET"),
    ],
    *,
    split: Annotated[str | None, typer.Option(help="Only this split of the labels, e.g. dev.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.", metavar="FILE")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(help="Another configuration (.toml) or an earlier --json to compare with.", metavar="FILE"),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw the plates that failed to this PNG, the worst first.", metavar="FILE.png")
    ] = None,
    reliability: Annotated[
        Path | None, typer.Option(help="Draw to this PNG how far scores can be trusted.", metavar="FILE.png")
    ] = None,
    write_labels: Annotated[
        Path | None, typer.Option(help="Write the labels, of whatever kind, as labels.jsonl.", metavar="FILE")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Measure the models on labelled pictures: recall, whole plates, characters, and whole rides where there are any.

    **Examples**

    ```text
    edge-alpr eval ../shared/data/dashcam --split dev
    edge-alpr eval my-photos --json figures.json --sheet worst.png --reliability scores.png
    edge-alpr eval sample://drive
    edge-alpr eval my-photos --compare other.toml       two model pairs on the same pictures
    edge-alpr eval my-photos --compare figures.json     against an earlier run
    edge-alpr eval voc-folder --write-labels voc-folder/labels.jsonl
    ```
    """
    from edge_alpr.assess import Request, assess

    request = Request(dataset, split, json_file, compare, sheet, reliability, write_labels)
    if assess(request, load_config(config), Console(highlight=False)):
        raise typer.Exit(2)


@app.command()
def bench(
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(help="As for `run`; a recording too short for --duration is repeated.", metavar="URI"),
    ] = None,
    pace: Annotated[
        str, typer.Option(help="live: frames come by their time, the newest wins; fast: as quick as it goes.")
    ] = "fast",
    plates: Annotated[
        int | None, typer.Option(help="Instead of a source: so many rendered plates in view.", min=0, max=12)
    ] = None,
    size: Annotated[str | None, typer.Option(help="Of the frames of --plates.", metavar="WxH")] = None,
    cameras: Annotated[
        int | None, typer.Option(help="So many of them with --plates, all alike.", min=1, max=MOST_CAMERAS)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads for a network.", min=0)] = None,
    tier: Annotated[str | None, typer.Option(help="Shipped detector: large or small.")] = None,
    duration: Annotated[float | None, typer.Option(help="Measure so long.", min=0.1, metavar="SECONDS")] = None,
    warm_up: Annotated[float, typer.Option(help="Not measured, at the beginning.", min=0, metavar="SECONDS")] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.", metavar="FILE")] = None,
    compare: Annotated[Path | None, typer.Option(help="An earlier --json.", metavar="OLD.json")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Exit with 1 where one is missed.", metavar="p99=33ms,fps=30,rss=400MB")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the latencies.", metavar="FILE.png")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write a Chrome trace.", metavar="FILE.json")] = None,
    config: ConfigOption = None,
) -> None:
    """Measure speed: each stage and the whole way, frames dropped, processor, memory, power and heat.

    **Examples**

    ```text
    edge-alpr bench --json today.json
    edge-alpr bench --pace live --source rtsp://10.0.0.7/front --duration 60
    edge-alpr bench --plates 4 --size 1920x1080 --threads 1 --duration 20
    edge-alpr bench --plates 1 --cameras 2 --pace live
    edge-alpr bench --compare yesterday.json
    edge-alpr bench --budget p99=33ms,fps=30,rss=400MB
    ```
    """
    from edge_alpr.bench import Bench
    from edge_alpr.bench.outcome import Outputs, prepare, publish
    from edge_alpr.bench.request import configure, make_request

    wanted = prepare(Outputs(json_file, plot, trace), compare, budget)
    request = make_request(pace, source, plates, size, (warm_up, duration), cameras)
    settings = configure(_override(load_config(config), source, None, None), threads, tier)
    measurement = Bench(request, settings)
    with _stopping(measurement.stop):
        report = measurement.run()
    if not publish(report, measurement.meter, wanted, Console(highlight=False)):
        raise typer.Exit(1)


@app.command()
def build(
    *,
    board: Annotated[
        str | None, typer.Option("--for", help="Prepare what an image for this board must carry.", metavar="BOARD")
    ] = None,
    models: Annotated[Path, typer.Option(help="The graphs for the GPU.", metavar="FOLDER")] = Path("engines/build"),
    out: Annotated[
        Path | None, typer.Option(help="Where the plans go; left out: to the graphs.", metavar="FOLDER")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Instead of the recipe's: fp32, fp16 or int8.")] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run the golden check; a plan that has not passed is not used.")
    ] = True,
) -> None:
    """Compile the networks for this board with TensorRT, and prove each plan. What is up to date stays.

    **Examples**

    ```text
    edge-alpr build                                      on the board
    edge-alpr build --precision fp32                     another precision
    edge-alpr build --for orin-nano --out image/engines  for an image, on any machine
    ```
    """
    from edge_alpr.build.command import Request
    from edge_alpr.build.command import build as build_engines

    build_engines(Request(board, models, out, precision, check), Console(highlight=False))


@app.command("formats")
def show_formats(
    regions: Annotated[
        list[str] | None, typer.Argument(help="Codes (ro, us-ca), countries (us), groups (eu).", metavar="[REGION…]")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--test", help="Which formats this text fits, and the likeliest regions.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """List the plate formats of countries and states, or test a text against them. Exit code 1 if it fits none.

    **Examples**

    ```text
    edge-alpr formats                     all of the table
    edge-alpr formats ro us-ca            two regions
    edge-alpr formats eu --test B123ABC   which formats of the EU it fits
    ```
    """
    from edge_alpr.formats import choose, load_table
    from edge_alpr.formats.show import list_regions, test_text

    table = load_table(load_config(config).formats.table)
    chosen = choose(table, regions) if regions else tuple(table.values())
    console = Console(highlight=False)
    if text is None:
        list_regions(chosen, console)
    elif not test_text(text, chosen, console):
        raise typer.Exit(1)


@app.command("config")
def show_config(
    config: ConfigOption = None,
) -> None:
    """Check a configuration file and print the whole configuration, defaults included, as TOML.

    **Examples**

    ```text
    edge-alpr config > edge-alpr.toml           every key with its default
    edge-alpr config --config edge-alpr.toml    check a file
    ```
    """
    from edge_alpr.config import format_config

    print(format_config(load_config(config)), end="")


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Show what this device can do, and what is missing with the command that mends it. Exit code 2 if it cannot run.

    **Examples**

    ```text
    edge-alpr doctor
    ```
    """
    from edge_alpr.doctor import examine, render, worst

    findings = examine(load_config(config))
    render(findings, Console(highlight=False))
    if worst(findings) == "missing":
        raise typer.Exit(2)


@app.command()
def label(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A folder of pictures; left out: the hard examples kept. With --wrong: what the plate reads.",
            metavar="DATASET|TEXT",
        ),
    ] = None,
    examples: Annotated[
        Path | None, typer.Option(help="Folder of hard examples; left out: `learning.folder`.", metavar="FOLDER")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the data set is written.", metavar="FOLDER")] = Path("labelled"),
    port: Annotated[int, typer.Option(help="Port of the page; 0: any free one.", min=0, max=65535)] = 0,
    wrong: Annotated[
        str | None, typer.Option(help="Keep this event as a hard example: its text is wrong.", metavar="UUID")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Mark plates in a page of your browser, corners first, then texts; writes a data set with labels.jsonl.

    Ending it loses nothing: the next run with the same --out goes on.

    **Examples**

    ```text
    edge-alpr label                             the hard examples kept on this device
    edge-alpr label photos --out my-plates      any folder of pictures
    edge-alpr label --wrong UUID B123XYZ        that event was wrong; it reads B123XYZ
    ```
    """
    from edge_alpr.label.run import label as serve_page
    from edge_alpr.label.run import mark_wrong

    settings = load_config(config)
    if wrong is not None:
        mark_wrong(wrong, dataset, settings)
        return
    with _stopping(lambda: None):  # while the page is served, its server minds the signals
        serve_page(Path(dataset) if dataset else None, examples, out, port, settings)


if __name__ == "__main__":
    main()
