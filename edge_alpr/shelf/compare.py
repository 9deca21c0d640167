"""Two packages of a kind side by side: their cards, their speed, and how far they agree on pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from edge_alpr.agreement import SURE, Agreement
from edge_alpr.app import Models, open_models
from edge_alpr.camera import open_source
from edge_alpr.config import Config, SourceConfig
from edge_alpr.errors import ModelError
from edge_alpr.infer.package import ModelPackage
from edge_alpr.shelf.trial import Trial, try_package
from edge_alpr.types import Frame, Luma

_EVERY, _MOST = 10, 60
"""Frames of the sample drive that are taken, and how many at most."""


def compare(paths: tuple[Path, Path], images: Path | None, config: Config, console: Console) -> None:
    """Print both packages side by side and their agreement; the other half of the pair is the configured one.

    Raises `ModelError` where one does not hold or the two are not of a kind, and the errors of the source.
    """
    trials = [try_package(path) for path in paths]
    for trial in trials:
        if trial.failed:
            raise ModelError(trial.problem)
    first, second = (trial.package for trial in trials)
    if first is None or second is None or first.card.kind != second.card.kind:
        raise ModelError(f"{paths[0]} and {paths[1]} are not of a kind; compare two detectors or two readers")
    console.print(_cards(trials))
    models = [_models(config, package) for package in (first, second)]
    _tell(agreement(models[0], models[1], frames(images)), console)


def agreement(first: Models, second: Models, pictures: Iterable[Luma]) -> Agreement:
    """Read every picture with both."""
    tally = Agreement()
    for luma in pictures:
        tally.add(first.observe(luma)[0], second.observe(luma)[0])
    return tally


def frames(images: Path | None) -> Iterator[Luma]:
    """The pictures of a folder, or some frames of the sample drive; each is lent until the next."""
    uri = "sample://drive" if images is None else f"dir://{images}"
    every, most = (_EVERY, _MOST) if images is None else (1, None)
    with open_source(SourceConfig(uri=uri)) as source:
        total = None if source.info.total_frames is None else -(-source.info.total_frames // every)
        chosen = (frame for i, frame in enumerate(_lent(source)) if i % every == 0)
        yield from track(islice(chosen, most), "comparing", total, console=Console(stderr=True), transient=True)


def _lent(source: Iterable[Frame]) -> Iterator[Luma]:
    for frame in source:
        with frame:
            yield frame.luma


def _models(config: Config, package: ModelPackage) -> Models:
    named = {package.card.kind: str(package.path)}
    own = msgspec.structs.replace(config.models, threads=1, precision="full", **named)  # this file, no variant of it
    return open_models(msgspec.structs.replace(config, models=own))


def _cards(trials: Sequence[Trial]) -> Table:
    """A row for each thing that can be told of a package."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    told = [_told(trial) for trial in trials]
    for name in dict.fromkeys(name for facts in told for name in facts):
        table.add_row(*(Text(text) for text in (name, *(facts.get(name, "-") for facts in told))))
    return table


def _told(trial: Trial) -> dict[str, str]:
    package = trial.package
    if package is None:
        return {}
    card, source = package.card, package.card.input
    facts = {
        "name": f"{card.title} {card.version}",
        "sha256": card.sha256[:12],
        "licence": card.licence,
        "size": f"{len(package.model) / 1e6:.2f} MB",
        "input": f"{source.dtype} {'x'.join(str(side or 'N') for side in source.shape)} {source.layout}",
    }
    if card.detector:
        facts |= {"decode": card.detector.decode, "tier": card.detector.tier}
    if card.reader:
        facts |= {"decode": card.reader.decode, "alphabet": card.reader.alphabet}
    facts |= {name: f"{value:g}" for name, value in card.figures.items()}
    return facts | {"drawn plate": trial.said, "one core": f"{trial.ms:.2f} ms"}


def _tell(tally: Agreement, console: Console) -> None:
    first, second = tally.plates
    console.print(f"\n{tally.pictures} pictures: {first} and {second} plates, {tally.both} of them in the same place")
    share = f" ({tally.same / tally.sure:.1%})" if tally.sure else ""
    console.print(f"texts that one is sure of ({SURE:.0%}): {tally.sure}, the same {tally.same}{share}")
    for texts in tally.differ:
        console.print("  differ: " + " / ".join(text or "no text" for text in texts), markup=False)
