"""The `label` verb."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rich.console import Console

from edge_alpr.app import Models, open_models
from edge_alpr.config import Config
from edge_alpr.errors import LabelError
from edge_alpr.label.pictures import FolderPictures, KeptExamples, Pictures
from edge_alpr.label.session import Session
from edge_alpr.ops.examples import Examples, examples_of
from edge_alpr.ops.keeper import Keeper
from edge_alpr.sinks.sealing import open_key


def label(dataset: Path | None, examples: Path | None, out: Path, port: int, config: Config) -> None:
    """Serve the page until interrupted. Raises the typed errors of its parts."""
    try:
        from edge_alpr.label.server import serve  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LabelError(f"the page takes {error.name}; pip install 'edge-alpr[display,learn]'") from error
    console = Console(highlight=False, stderr=True)

    @cache
    def models() -> Models:
        return open_models(config)

    if dataset is not None and dataset.resolve() == out.resolve():
        raise LabelError(f"{out}: cannot be both read and written; choose another folder with --out")
    pictures: Pictures = FolderPictures(dataset, models, out) if dataset else _kept(examples, config)
    session = Session(pictures, out)

    def ready(address: str) -> None:
        console.print(f"{len(pictures.names)} pictures to label; what is done goes to {out}", soft_wrap=True)
        console.print("Open this address in a browser on this machine; it works once. Ctrl-C ends it:")
        print(address, flush=True)

    serve(session, models, port, ready)


def mark_wrong(uuid: str, text: str | None, config: Config) -> None:
    """Keep an event as an example that the driver corrected."""
    example = Keeper(config, {}).mark_wrong(uuid, text)
    said = f"it reads {example.correction}" if example.correction else "its text is wrong"
    Console(highlight=False).print(f"kept for labelling: {uuid} said {example.plate}, {said}", soft_wrap=True)


def _kept(folder: Path | None, config: Config) -> KeptExamples:
    known = examples_of(config)
    kept = Examples(folder, known.quota) if folder else known
    if not kept.entries():
        raise LabelError(
            f"{kept.folder}: no hard examples to label; set learning.keep_hard_examples = true and drive, "
            "or name a folder of pictures"
        )
    return KeptExamples(kept, open_key(Path(config.learning.key_file).expanduser()))
