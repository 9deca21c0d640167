"""The commands of `edge-alpr models`. A folder in place of a command lists that folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from edge_alpr.config import load_config
from edge_alpr.errors import ConfigError

HELP_OPTIONS = ("-h", "--help")


class ListUnlessTold(TyperGroup):
    """A group whose command is `list` where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before what is no command of the group and no call for help; a shell completes commands."""
        told = {*self.commands, *HELP_OPTIONS}
        if (args and args[0] not in told) or not (args or ctx.resilient_parsing):
            args = ["list", *args]
        return super().parse_args(ctx, args)


models = typer.Typer(
    cls=ListUnlessTold,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": [*HELP_OPTIONS]},
    help="""List, verify, compare and swap model packages: an ONNX file with a card of the same name.

**Examples**

```text
edge-alpr models                                list the shipped ones
edge-alpr models ~/my-models                    list a folder
edge-alpr models verify my-reader.onnx          hash, card, graph, trial run
edge-alpr models compare old.onnx new.onnx      side by side
edge-alpr models use my-reader.onnx             write it into edge-alpr.toml
```
""",
)


@models.command("list")
def list_(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of model packages; the shipped ones if left out.", metavar="FOLDER")
    ] = None,
) -> None:
    """List model packages and check that each graph fits its card. Exit code 2 if one does not.

    **Examples**

    ```text
    edge-alpr models list ~/my-models
    ```
    """
    from edge_alpr.screen import show_models

    if not show_models(folder, Console(highlight=False)):
        raise typer.Exit(2)


@models.command()
def verify(
    targets: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders or files; the shipped ones if left out.", metavar="FOLDER|FILE…"),
    ] = None,
) -> None:
    """Check hash, card and graph of packages, and run each on a drawn plate. Exit code 2 if one does not hold.

    **Examples**

    ```text
    edge-alpr models verify
    edge-alpr models verify my-detector.onnx my-reader.onnx
    ```
    """
    from edge_alpr.shelf.trial import packages_of, show_trials, try_package

    if not show_trials([try_package(path) for path in packages_of(targets or [])], Console(highlight=False)):
        raise typer.Exit(2)


@models.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A")],
    second: Annotated[Path, typer.Argument(metavar="B")],
    images: Annotated[
        Path | None, typer.Option(help="Pictures to read; frames of the sample drive if left out.", metavar="FOLDER")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Names the other half of the pair.", metavar="FILE")
    ] = None,
) -> None:
    """Put two detectors or two readers side by side: cards, figures, speed on one core, agreement on pictures.

    **Examples**

    ```text
    edge-alpr models compare old.onnx new.onnx
    edge-alpr models compare old.onnx new.onnx --images photos
    ```
    """
    from edge_alpr.shelf.compare import compare as put_side_by_side

    put_side_by_side((first, second), images, load_config(config), Console(highlight=False))


@models.command()
def use(
    files: Annotated[list[Path] | None, typer.Argument(help="A detector, a reader, or both.", metavar="FILE…")] = None,
    shipped: Annotated[bool, typer.Option("--shipped", help="Go back to the shipped pair.")] = False,
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write to.", metavar="FILE")] = Path(
        "edge-alpr.toml"
    ),
) -> None:
    """Verify packages, then name them in the configuration; comments stay. Nothing is written if one does not hold.

    **Examples**

    ```text
    edge-alpr models use my-detector.onnx my-reader.onnx
    edge-alpr models use my-reader.onnx --config car.toml
    edge-alpr models use --shipped --config car.toml
    ```
    """
    from edge_alpr.shelf import swap
    from edge_alpr.shelf.trial import show_trials, try_package

    console = Console(highlight=False)
    if shipped == bool(files):
        raise ConfigError("name the packages to use, or --shipped, and not both: edge-alpr models use FILE.onnx")
    names = dict(swap.SHIPPED)
    if files:
        trials = [try_package(path) for path in files]
        if not show_trials(trials, console):
            raise typer.Exit(2)
        names = swap.chosen(trials)
    changed = swap.use(names, config)
    for line in changed or ["nothing: it says so already"]:
        console.print(f"{config}: {line}", soft_wrap=True, markup=False)
    console.print(f"Drive with it: edge-alpr run --config {config}", soft_wrap=True, markup=False)
