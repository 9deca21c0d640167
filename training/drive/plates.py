"""Kinds of plates and their texts; what they look like is painted in plate_art."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """How a kind of plate looks; sizes in millimetres, colours RGB."""

    width: int
    height: int
    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    font: str
    letter_height: int
    strips: str = ""
    """Sides that carry a blue strip: l, r or lr."""
    banner: str = ""


STYLES = {
    "eu": Style(520, 110, (236, 236, 230), (16, 16, 18), "GL-Nummernschild-Mtl.ttf", 75, "l"),
    "eu-din": Style(520, 110, (236, 236, 230), (16, 16, 18), "opendin/OSP-DIN.ttf", 76, "l"),
    "eu-both": Style(520, 110, (234, 235, 230), (18, 18, 24), "BarlowSemiCondensed-SemiBold.ttf", 74, "lr"),
    "uk": Style(520, 111, (236, 236, 228), (14, 14, 14), "BarlowCondensed-SemiBold.ttf", 79),
    "dark": Style(520, 110, (24, 24, 25), (206, 206, 200), "BarlowSemiCondensed-SemiBold.ttf", 78),
    "us": Style(305, 152, (232, 236, 240), (28, 40, 92), "BarlowCondensed-Medium.ttf", 70, banner="NORTHMOOR"),
    "square": Style(340, 220, (236, 236, 230), (16, 16, 18), "GL-Nummernschild-Mtl.ttf", 75, "l"),
}


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate: its style and its lines as they are printed."""

    style: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """What a reader should say: A-Z and 0-9 only."""
        return "".join(c for line in self.lines for c in line if c.isalnum())

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height in metres."""
        style = STYLES[self.style]
        return style.width / 1000, style.height / 1000
