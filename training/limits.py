"""How small and how oblique a plate may be: rendered plates in road pictures, found and read by the product.

    python -m training.limits --data ../shared/data
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_alpr.app import Models, open_models
from edge_alpr.config import Config, ModelsConfig, Tier
from edge_alpr.evidence import canonical
from edge_alpr.geometry import box_iou, quad_box
from training.detector.paste import put, relight, solid
from training.detector.pictures import load_negatives
from training.plates import render_plate

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]
WIDTHS_PX = (24, 32, 40, 48, 64, 96, 150, 300)
"""In the frame, 1280 x 720: half as much in the detector's input."""
YAWS = (0, 20, 35, 50, 60)
UNIT = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


@dataclass
class Tally:
    """What became of the plates of one size and angle; `corners` in plate heights."""

    plates: int = 0
    found: int = 0
    read: int = 0
    corners: float = 0.0


def pose(aspect: float, width_px: float, yaw: float) -> Floats:
    """Corners (4, 2) around the origin of a plate turned by `yaw` degrees; `width_px` is its width as seen."""
    angle, distance = np.deg2rad(yaw), 6.0
    x, z = UNIT[:, 0] * np.cos(angle), UNIT[:, 0] * np.sin(angle)
    flat = np.stack([x, UNIT[:, 1] / aspect], 1) * (distance / (distance + z))[:, None]
    return np.asarray(flat * width_px / np.ptp(flat[:, 0]), np.float32)


def scene(ground: Luma, width_px: float, yaw: float, rng: np.random.Generator) -> tuple[Luma, Floats, str]:
    """A road picture with one clean plate in it, its quad and text."""
    frame = np.asarray(cv2.resize(ground, (1280, 720), interpolation=cv2.INTER_AREA), np.uint8)
    plate = render_plate(rng)
    quad = pose(plate.luma.shape[1] / plate.luma.shape[0], width_px, yaw)
    low, high = quad.min(axis=0), quad.max(axis=0)
    quad = quad + rng.uniform(-low + 20, np.array([1259, 699]) - high).astype(np.float32)
    put(frame, solid(relight(rng, plate.luma.astype(np.float32), 120, 45)), quad, 0.3)
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 0.6), np.uint8), quad, plate.text


def judge(models: Models, frame: Luma, quad: Floats, text: str, tally: Tally) -> None:
    tally.plates += 1
    seen, _ = models.observe(frame)
    overlaps = [box_iou(quad_box(o.detection.quad), quad_box(quad)) for o in seen]
    if not seen or max(overlaps) < 0.3:
        return
    best = seen[int(np.argmax(overlaps))]
    height = float(np.hypot(*(quad[3] - quad[0])) + np.hypot(*(quad[2] - quad[1]))) / 2
    tally.found += 1
    tally.corners += float(np.hypot(*(best.detection.quad - quad).T).mean()) / height
    tally.read += canonical(best.read.plate) == canonical(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tier", default="large", choices=["large", "small"])
    parser.add_argument("--plates", type=int, default=60, help="plates for each size and angle")
    args = parser.parse_args()
    tier: Tier = args.tier
    models = open_models(Config(models=ModelsConfig(tier=tier)))
    grounds = [np.asarray(cv2.cvtColor(p.rgb, cv2.COLOR_RGB2GRAY), np.uint8) for p in load_negatives(args.data, 4)]
    table = Table("px wide", *(f"{yaw}°" for yaw in YAWS), title="found % / read whole % / corners off, plate heights")
    for width in track(WIDTHS_PX):
        cells = []
        for yaw in YAWS:
            tally = Tally()
            for number in range(args.plates):
                rng = np.random.default_rng((31, width, yaw, number))
                judge(models, *scene(grounds[number % len(grounds)], width, yaw, rng), tally)
            off = tally.corners / max(1, tally.found)
            cells.append(f"{100 * tally.found / tally.plates:.0f} / {100 * tally.read / tally.plates:.0f} / {off:.2f}")
        table.add_row(str(width), *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
