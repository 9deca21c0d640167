"""Marks, finds and reports in a line, for tests of scoring."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from edge_alpr.evaluate import LabelledImage, LabelledPlate, PlateFound, Report, evaluate_stills
from edge_alpr.geometry import box_quad
from edge_alpr.types import Candidate, Read


def plate(x: float, text: str, width: float = 100, legibility: str = "", **more) -> LabelledPlate:
    known = legibility or ("ok" if text else "unreadable")
    return LabelledPlate((x, 10.0, x + width, 40.0), text, known, **more)


def picture(*plates: LabelledPlate, name: str = "a.jpg", **more) -> LabelledImage:
    return LabelledImage(Path(name), name, "dev", plates, **more)


def found(x: float, text: str, *others: str, width: float = 100, score: float = 0.9) -> PlateFound:
    candidates = tuple(Candidate(t, score / (i + 1)) for i, t in enumerate((text, *others)))
    read = Read(text, score, (score,) * len(text), candidates, np.zeros((0, 37), np.float32))
    return PlateFound(box_quad(x, 10, x + width, 40), 0.8, read)


def evaluated(answers: dict[str, list[PlateFound]], *images: LabelledImage) -> Report:
    return evaluate_stills(images, lambda path: answers.get(str(path), []))


def group(report: Report, key: str):
    return next(figure for g, figure in report.groups if g.key == key)


def printed(render, report) -> str:
    console = Console(file=io.StringIO(), width=80)
    render(report, console)
    return console.file.getvalue()


def seen(ride: str, second: float, *texts: str, legibility: str = "") -> LabelledImage:
    return picture(*(plate(0, text, legibility=legibility) for text in texts), ride=ride, second=second)
