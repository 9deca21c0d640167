"""The commands of `edge-alpr update`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edge_alpr.config import load_config
from edge_alpr.errors import UpdateError

update = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Keep the installation up to date: image, models, hot lists. See docs/updates.md.

**Examples**

```text
edge-alpr update status             what runs, what is under way, what came of the last ones
edge-alpr update check              ask the servers
edge-alpr update download           fetch it
edge-alpr update install            install it now
edge-alpr update rollback models    back to what ran before
edge-alpr update run                all of it by itself, when the car stands
```
""",
)


@update.callback()
def needs() -> None:
    """Say what is missing, before anything is done."""
    if find_spec("packaging") is None:
        raise UpdateError("packaging is not installed: pip install 'edge-alpr[ota]'")


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file (TOML); see `edge-alpr config`.", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


@update.command()
def check(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Ask the servers what this car is to run, and remember it. Exit code 1 where something is refused.

    **Examples**

    ```text
    edge-alpr update check
    edge-alpr update check --json | jq '.[].refused'
    ```
    """
    from edge_alpr.update.run import held_agent, wanted
    from edge_alpr.update.show import show_plan

    settings = load_config(config)
    wanted(settings)
    with held_agent(settings, config) as agent:
        steps = agent.check()
    show_plan(steps, as_json)
    if any(step.refused for step in steps):
        raise typer.Exit(1)


@update.command()
def download(config: ConfigOption = None) -> None:
    """Fetch what the last check found, going on where an earlier try ended. Exit code 1 where something fails.

    **Examples**

    ```text
    edge-alpr update download
    ```
    """
    from edge_alpr.update.run import held_agent, wanted
    from edge_alpr.update.show import progress_bar, show_report

    settings = load_config(config)
    wanted(settings)
    with held_agent(settings, config) as agent, progress_bar("fetching") as progress:
        report = agent.download(progress)
    if show_report(report, "nothing is left to fetch"):
        raise typer.Exit(1)


@update.command()
def install(config: ConfigOption = None) -> None:
    """Install what was fetched, now: the policy of `run` is not asked. Exit code 1 where something fails.

    **Examples**

    ```text
    edge-alpr update install
    ```
    """
    from edge_alpr.update.run import held_agent
    from edge_alpr.update.show import progress_bar, show_report

    with held_agent(load_config(config), config) as agent, progress_bar("installing") as progress:
        report = agent.install(progress)
    if show_report(report, "nothing is left to install"):
        raise typer.Exit(1)


@update.command()
def status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show what runs, what is under way and what came of the last updates.

    **Examples**

    ```text
    edge-alpr update status
    edge-alpr update status --json
    ```
    """
    from edge_alpr.update.show import show_status
    from edge_alpr.update.wiring import make_agent

    show_status(make_agent(load_config(config), config).status(), as_json)


@update.command()
def rollback(
    unit: Annotated[str, typer.Argument(help="image, models, or list/NAME.", metavar="UNIT")],
    config: ConfigOption = None,
) -> None:
    """Go back to what ran before: models and lists at once, an image with the next boot. It is not tried again.

    **Examples**

    ```text
    edge-alpr update rollback models
    edge-alpr update rollback list/stolen
    ```
    """
    from edge_alpr.update.run import held_agent
    from edge_alpr.update.show import show_report

    with held_agent(load_config(config), config) as agent:
        report = agent.rollback(unit)
    show_report(report, f"{unit}: back to what ran before")


@update.command()
def run(
    limit: Annotated[float | None, typer.Option(help="Stop after so many seconds.", min=0, metavar="SECONDS")] = None,
    config: ConfigOption = None,
) -> None:
    """Do all of it by itself, whenever the policy of `[update]` allows. Runs beside `edge-alpr run`.

    **Examples**

    ```text
    edge-alpr update run --config car.toml
    ```
    """
    from edge_alpr.update.run import serve

    serve(load_config(config), config, limit)


@update.command()
def prove(
    early: Annotated[bool, typer.Option("--early", help="Only mark good what is proven already.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="The proof broke down: go back if on trial.")] = False,
    config: ConfigOption = None,
) -> None:
    """After each boot, when the reader runs: prove what is on trial, or go back. Exit code 3 where it goes back.

    With `--early`, exit code 3 says that the image is on trial.

    **Examples**

    ```text
    edge-alpr update prove
    ```
    """
    from edge_alpr.update.run import GOES_BACK, at_boot, give_up
    from edge_alpr.update.run import prove as prove_boot

    settings = at_boot(config)
    if early:
        from edge_alpr.update.wiring import make_agent

        raise typer.Exit(0 if make_agent(settings, config).mark() else GOES_BACK)
    if not (give_up(settings, config) if failed else prove_boot(settings, config)):
        typer.echo("this image did not do; it goes back by a reboot", err=True)
        raise typer.Exit(GOES_BACK)


@update.command()
def golden(
    models: Annotated[
        Path | None, typer.Option(help="A model set; left out: what reads here.", metavar="FOLDER")
    ] = None,
    p99_ms: Annotated[float, typer.Option(help="Most for a frame, 99th percentile; 0: no limit.", min=0)] = 0.0,
    watts: Annotated[float, typer.Option(help="Most that the board may draw, mean; 0: no limit.", min=0)] = 0.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read the sample drive and judge it: every plate once, within the limits. Exit code 1 where it does not hold.

    **Examples**

    ```text
    edge-alpr update golden
    edge-alpr update golden --models new-set --p99-ms 60
    ```
    """
    import subprocess

    from edge_alpr.update.proof import golden_command

    command = golden_command(config, p99_ms, watts, as_json)
    done = subprocess.run([*command, *(["--models", str(models)] if models else [])], check=False)
    if done.returncode not in (0, 1):
        raise UpdateError(f"the golden drive ended with {done.returncode}; see what it said above")
    raise typer.Exit(done.returncode)


@update.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="The model set, or the list and its signature.", metavar="FOLDER")],
    out: Annotated[Path, typer.Option(help="The tar file.", metavar="FILE.tar")],
    version: Annotated[str, typer.Option(help="Such as 2.1.0.")],
    unit: Annotated[str, typer.Option(help="models, or list/NAME.")] = "models",
) -> None:
    """At the office: pack a model set or a list with its manifest, as cars take it. The same files, the same bytes.

    **Examples**

    ```text
    edge-alpr update pack new-set --version 2.1.0 --out models-2.1.0.tar
    edge-alpr update pack stolen --unit list/stolen --version 2026.11.28 --out stolen.tar
    ```
    """
    from edge_alpr.update.packing import pack_checked

    size = pack_checked(folder, unit, version, out)
    typer.echo(f"{out}: {size / 1e6:.2f} MB")
