"""deploy/flash: check, run, table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from edge_alpr.errors import EdgeAlprError
from flash_tool.boards import BOARDS, Board, Medium
from flash_tool.check import Findings, Request, examine, this_bench
from flash_tool.image import Image
from flash_tool.layout import TemplateError, make_table, partitions
from flash_tool.plan import Plan, make_plan
from flash_tool.problems import Problem, problem
from flash_tool.run import carry_out
from flash_tool.sizes import parse_size, told

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
_screen, _aside = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
_NAMES = ", ".join(BOARDS)

Bsp = Annotated[Path, typer.Option(help="NVIDIA's Linux_for_Tegra folder.")]
BoardName = Annotated[str, typer.Option("--board", help=f"One of {_NAMES}.")]
MediumName = Annotated[str, typer.Option("--medium", help="nvme, or emmc on agx-orin.")]
Slot = Annotated[str, typer.Option(help="Size of each of the two root file systems.")]
Disk = Annotated[str, typer.Option(help="Size of the disk; else what NVIDIA takes for it (57GiB, Thor 234GiB).")]
Config = Annotated[str, typer.Option(help="NVIDIA's configuration of the carrier board, if it is not the kit's.")]
ImageFile = Annotated[Path | None, typer.Option("--image", help="Tar of the root file system; else what is in rootfs.")]
Sha256 = Annotated[str, typer.Option(help="Hash of the image that you trust, in place of a signature.")]
Key = Annotated[Path | None, typer.Option(help="The release's public key.")]
Sysfs = Annotated[Path, typer.Option(hidden=True)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, print what would be done, and do nothing.")]
Log = Annotated[Path | None, typer.Option(help="Where all output goes; else flash.log in the BSP folder.")]


def _medium(board: Board, name: str) -> Medium | Problem:
    there = ", ".join(medium.name for medium in board.media)
    found = [medium for medium in board.media if medium.name == name]
    return found[0] if found else problem("no-such-medium", title=board.title, medium=name, there=there)


def _request(bsp: Path, board: str, medium: str, sizes: tuple[str, str], config: str, image: Image | None) -> Request:
    """What was asked for; leaves with exit status 2 where that is nothing that can be flashed."""
    if board not in BOARDS:
        raise typer.BadParameter(f"{board!r} is none of {_NAMES}", param_hint="--board")
    kind = BOARDS[board]
    place = _medium(kind, medium)
    if isinstance(place, Problem):
        raise typer.BadParameter(f"{place.what}; {place.remedy}", param_hint="--medium")
    try:
        slot, disk = parse_size(sizes[0]), parse_size(sizes[1]) if sizes[1] else place.disk_bytes
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return Request(bsp, kind, place, config or kind.config, slot, disk, image)


def _show(request: Request, findings: Findings) -> None:
    release = findings.bsp.told if findings.bsp else "unknown"
    system = told(findings.system.bytes) if findings.system.bytes else "nothing"
    place = f"{request.medium.name} ({told(request.disk_bytes)})"
    slots = f"two slots of {told(request.slot_bytes)}"
    _screen.print(f"{request.board.title}, {place}, L4T {release}: {system} into {slots}")
    for found in findings.problems:
        _screen.print(f"[red]✗[/] {escape(found.what)}\n  → {escape(found.remedy)}")
    if not findings.problems:
        _screen.print("[green]✓[/] nothing is missing")


@app.command()
def check(
    *, bsp: Bsp, board: BoardName, medium: MediumName = "nvme", slot: Slot = "12GiB", disk: Disk = "",
    config: Config = "", image: ImageFile = None, sha256: Sha256 = "", key: Key = None, sysfs: Sysfs = Path("/sys"),
) -> None:  # fmt: skip
    """Tell what is missing, and what mends it. Exit status 2 where something is."""
    request = _request(bsp, board, medium, (slot, disk), config, Image(image, sha256, key) if image else None)
    findings = examine(request, this_bench(sysfs))
    _show(request, findings)
    raise typer.Exit(2 if findings.problems else 0)


@app.command()
def table(
    *, bsp: Bsp, board: BoardName, medium: MediumName = "nvme", slot: Slot = "12GiB", disk: Disk = "",
) -> None:  # fmt: skip
    """Print the partition table that would be used, as NVIDIA's tool reads it."""
    request = _request(bsp, board, medium, (slot, disk), "", None)
    try:
        sys.stdout.write(make_table(bsp / request.medium.template, request.layout))
    except (OSError, SyntaxError, TemplateError) as error:
        _aside.print(f"{bsp / request.medium.template}: {error}")
        raise typer.Exit(2) from error


@app.command()
def run(
    *, bsp: Bsp, board: BoardName, medium: MediumName = "nvme", slot: Slot = "12GiB", disk: Disk = "",
    config: Config = "", image: ImageFile = None, sha256: Sha256 = "", key: Key = None, sysfs: Sysfs = Path("/sys"),
    dry_run: DryRun = False, log: Log = None,
) -> None:  # fmt: skip
    """Flash the board that is connected. All that is on its disk is lost, but the data of one with the same table."""
    request = _request(bsp, board, medium, (slot, disk), config, Image(image, sha256, key) if image else None)
    findings = examine(request, this_bench(sysfs))
    wrong = [found for found in findings.problems if not (dry_run and found.code == "not-root")]
    if wrong:
        _show(request, Findings(findings.bsp, findings.system, tuple(wrong)))
        raise typer.Exit(2)
    plan = make_plan(request, findings.system)
    if dry_run:
        _dry(plan, request)
        return
    file = log or bsp / "flash.log"
    with _screen.status("flashing") as status:
        carry_out(plan, file, lambda what, line: status.update(escape(f"{what}: {line[:100]}")))
    _screen.print(f"[green]✓[/] flashed; the log is {file}\n{_after(request)}")


def _dry(plan: Plan, request: Request) -> None:
    for line in plan.lines():
        _screen.print(line, markup=False)
    for name, (number, size) in partitions(plan.table_text, request.medium).items():
        _screen.print(f"#   {request.medium.node}p{number:<3} {name:<20} {told(size)}", markup=False)


def _after(request: Request) -> str:
    return (
        "Next: take the jumper off and power the board anew. Its first start makes keys and its id, and formats "
        f"{request.medium.node}'s partition `data`.\nThen, on the board: nvbootctrl -t rootfs dump-slots-info "
        "(two slots), edge-alpr doctor, edge-alpr build."
    )


def main() -> None:
    """Entry of the command line."""
    try:
        app()
    except EdgeAlprError as error:
        _aside.print(f"flash: {error}", markup=False)
        sys.exit(1)
