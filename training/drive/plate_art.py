"""Fictional plates as flat pictures, sharp and clean; the scene adds perspective, light and blur."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.drive.plates import STYLES, Plate, Style

PIXELS_PER_MM = 2.5
HOLDER_MM = 9
"""The dark frame around a plate; not part of its quad."""

DEBIAN = Path("/usr/share/fonts/truetype")


def render_plate(plate: Plate, fonts: Path) -> NDArray[np.uint8]:
    """The plate in its holder, (H, W, 3) uint8 BGR, PIXELS_PER_MM; `fonts` is the folder of the faces."""
    style = STYLES[plate.style]
    scale = PIXELS_PER_MM
    image = Image.new(
        "RGB", (round((style.width + 2 * HOLDER_MM) * scale), round((style.height + 2 * HOLDER_MM) * scale))
    )
    draw = ImageDraw.Draw(image)
    image.paste((20, 20, 21), (0, 0, *image.size))
    left, top = HOLDER_MM * scale, HOLDER_MM * scale
    right, bottom = left + style.width * scale, top + style.height * scale
    draw.rounded_rectangle((left, top, right, bottom), 9 * scale, fill=style.paper)
    draw.rounded_rectangle(
        (left + 8, top + 8, right - 8, bottom - 8), 7 * scale, outline=style.ink, width=round(2.2 * scale)
    )
    for side in style.strips:
        _strip(draw, (left, top, right, bottom), side, fonts)
    if style.banner:
        _banner(draw, style, (left, top, right), fonts)
    clear = (left + (46 * scale if "l" in style.strips else 14 * scale), top, right, bottom)
    clear = (*clear[:2], right - (46 * scale if "r" in style.strips else 14 * scale), bottom)
    _letters(image, plate, style, clear, fonts)
    for x in (0.24, 0.76):
        centre = left + x * (right - left), top + (10 * scale if style.banner else 0.5 * (bottom - top))
        if style.banner:
            _dot(draw, centre, 4.5 * scale, (150, 150, 152))
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    return _wear(pixels, plate.text)


def _dot(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: tuple[int, int, int]) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _strip(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], side: str, fonts: Path) -> None:
    left, top, right, bottom = box
    wide = 41 * PIXELS_PER_MM
    x0 = left if side == "l" else right - wide
    draw.rounded_rectangle((x0, top, x0 + wide, bottom), 8 * PIXELS_PER_MM, fill=(24, 52, 150))
    centre, ring = (x0 + wide / 2, top + 36 * PIXELS_PER_MM), 13 * PIXELS_PER_MM
    for k in range(12 if side == "l" else 0):
        turn = 2 * np.pi * k / 12
        _dot(
            draw, (centre[0] + ring * np.cos(turn), centre[1] + ring * np.sin(turn)), 2 * PIXELS_PER_MM, (240, 205, 60)
        )
    face = ImageFont.truetype(str(fonts / "Barlow-SemiBold.ttf"), round(30 * PIXELS_PER_MM))
    if side == "l":
        draw.text((centre[0], top + 82 * PIXELS_PER_MM), "X", font=face, fill=(240, 240, 240), anchor="mm")


def _banner(draw: ImageDraw.ImageDraw, style: Style, box: tuple[float, float, float], fonts: Path) -> None:
    left, top, right = box
    face = ImageFont.truetype(str(fonts / "Barlow-SemiBold.ttf"), round(22 * PIXELS_PER_MM))
    middle = (left + right) / 2
    draw.text((middle, top + 19 * PIXELS_PER_MM), style.banner, font=face, fill=(150, 40, 40), anchor="mm")
    foot = top + 136 * PIXELS_PER_MM
    draw.line((left + 40, foot, right - 40, foot), fill=(60, 100, 160), width=round(4 * PIXELS_PER_MM))


def _letters(
    image: Image.Image, plate: Plate, style: Style, clear: tuple[float, float, float, float], fonts: Path
) -> None:
    left, top, right, bottom = clear
    rows = len(plate.lines)
    for number, line in enumerate(plate.lines):
        middle = top + (bottom - top) * (number + 0.5) / rows + (6 * PIXELS_PER_MM if style.banner else 0)
        strip = _line_mask(line, style, fonts)
        room = (right - left) * 0.94
        width = round(min(room, strip.width))
        strip = strip.resize((width, strip.height), Image.Resampling.LANCZOS)
        spot = (round((left + right) / 2 - width / 2), round(middle - strip.height / 2))
        image.paste(style.ink, (*spot, spot[0] + width, spot[1] + strip.height), strip)


def _line_mask(line: str, style: Style, fonts: Path) -> Image.Image:
    """A line of text as coverage, exactly as high as its capitals."""
    high = style.letter_height * PIXELS_PER_MM
    path = DEBIAN / style.font if "/" in style.font else fonts / style.font
    probe = ImageFont.truetype(str(path), 400)
    _, cap_top, _, cap_bottom = probe.getbbox("H")
    face = ImageFont.truetype(str(path), round(400 * high / (cap_bottom - cap_top)))
    gap = 9 * PIXELS_PER_MM if style.width > 320 else 5 * PIXELS_PER_MM
    boxes = [face.getbbox(c) for c in line]
    wide = [30 * PIXELS_PER_MM * 0.7 if c == " " else b[2] - b[0] for c, b in zip(line, boxes, strict=True)]
    mask = Image.new("L", (round(sum(wide) + gap * (len(line) - 1)), round(high)))
    pen = ImageDraw.Draw(mask)
    top = face.getbbox("H")[1]
    x = 0.0
    for character, box, advance in zip(line, boxes, wide, strict=True):
        if character != " ":
            pen.text((x - box[0], -top), character, font=face, fill=255)
        x += advance + gap
    return mask


def _wear(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Soft edges of pressed letters and a little dirt, more towards the lower edge."""
    rng = np.random.default_rng(sum(ord(c) * (k + 1) for k, c in enumerate(text)))
    height, width = pixels.shape[:2]
    dirt = cv2.resize(rng.random((9, 24)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(0.3, 1, height, dtype=np.float32)[:, None]
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.2).astype(np.float32)
    return np.clip(soft * (1 - 0.14 * dirt * slope)[..., None], 0, 255).astype(np.uint8)
