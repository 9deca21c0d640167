"""Draw the documents' pictures from a real run over the sample drive: python docs/pictures.py"""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.console import Console

from edge_alpr.app import open_models
from edge_alpr.assess import Request, assess
from edge_alpr.camera import open_source
from edge_alpr.config import Config, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Screen
from edge_alpr.screen import show_summary
from edge_alpr.stages.keep import picture
from edge_alpr.types import Luma, Observation, Scene

DOCS = Path(__file__).resolve().parent
FRAME = 112


def terminal() -> None:
    """docs/output.svg: what the terminal shows."""
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        drive = Drive(msgspec.structs.replace(Config(), store=StoreConfig(path=folder)), Screen(console))
        drive.run()
    show_summary(console, drive.summary)
    drawing = re.sub(r"@font-face \{.*?\}\n", "", console.export_svg(title="scripts/run"), flags=re.DOTALL)
    (DOCS / "output.svg").write_text(drawing.replace("Fira Code, monospace", "monospace"), encoding="utf-8")


def scene() -> None:
    """docs/scene.jpg: one frame with every plate that was read in it."""
    models = open_models(Config())
    with open_source(SourceConfig(uri="sample://drive")) as source:
        for frame in source:
            with frame:
                if frame.index == FRAME:
                    seen, _ = models.observe(frame.luma)
                    size = frame.width, frame.height
                    chroma = tuple(np.asarray(cv2.resize(plane, size), np.uint8) for plane in frame.chroma)
                    canvas = picture(Scene(frame.luma.copy(), chroma, *size))
    for plate in (o for o in seen if o.read.score > 0.3):
        _mark(canvas, plate)
    cv2.imwrite(str(DOCS / "scene.jpg"), canvas, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _mark(canvas: Luma, plate: Observation) -> None:
    green, text = (80, 220, 80), f"{plate.read.plate} {plate.read.score:.0%}"
    quad = np.round(plate.detection.quad).astype(np.int32)
    cv2.polylines(canvas, [quad], True, green, 2, cv2.LINE_AA)
    (width, height), _ = cv2.getTextSize(text, 0, 0.8, 2)
    x, y = int(quad[:, 0].mean()) - width // 2, int(quad[:, 1].min()) - 14
    cv2.rectangle(canvas, (x - 6, y - height - 8), (x + width + 6, y + 8), (30, 30, 30), -1)
    cv2.putText(canvas, text, (x, y), 0, 0.8, green, 2, cv2.LINE_AA)


def worst_cases() -> None:
    """docs/worst-cases.jpg: the top of the sheet that `eval` draws."""
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        assess(Request("sample://drive", sheet=sheet), Config(), Console(file=io.StringIO()))
        top = cv2.imread(str(sheet))[: 64 + 3 * 164]
    cv2.imwrite(str(DOCS / "worst-cases.jpg"), top, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    terminal()
    scene()
    worst_cases()
