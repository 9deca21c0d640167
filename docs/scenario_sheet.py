"""Play the drives of tests/scenes.py; draw docs/scenarios.jpg, print the table: python docs/scenario_sheet.py"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from edge_alpr.app import open_models
from edge_alpr.config import Config
from edge_alpr.evidence import canonical
from edge_alpr.types import Luma

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))
from helpers_scenes import Scenario, notified, play, taken_back  # noqa: E402
from scenes import SCENARIOS  # noqa: E402

TILE = (320, 180)
SHARES = (0.3, 0.55, 0.8)
"""Where in a drive its three pictures are taken, as shares of its frames."""


def strip(number: int, scenario: Scenario) -> Luma:
    """Three pictures of a drive side by side under its number and name."""
    wanted = [round(share * (sum(shot.frames for shot in scenario.shots) - 1)) for share in SHARES]
    found = [frame.luma for frame in scenario.frames() if frame.index in wanted]
    tiles = [np.asarray(cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA), np.uint8) for picture in found]
    title = np.full((26, TILE[0] * len(tiles)), 255, np.uint8)
    cv2.putText(title, f"{number}  {scenario.name}", (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 20, 1, cv2.LINE_AA)
    return np.vstack([title, np.hstack(tiles)])


def main() -> None:
    """Write the picture; print a row for each drive."""
    drives = SCENARIOS
    strips = [strip(number, scenario) for number, scenario in enumerate(drives, 1)]
    strips += [np.full_like(strips[0], 255)] * (len(strips) % 2)
    sheet = np.vstack([np.hstack(strips[k : k + 2]) for k in range(0, len(strips), 2)])
    cv2.imwrite(str(DOCS / "scenarios.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 72])
    config = Config()
    models = open_models(config)
    for number, scenario in enumerate(drives, 1):
        events = play(scenario, config, models)
        due, got = " ".join(sorted(map(canonical, scenario.due))), " ".join(notified(events))
        passed = [shot.at_s - before.at_s for before, shot in pairwise(scenario.shots)]
        gaps = " ".join(f"+{gap:.0f} s" for gap in passed) or "-"
        print(f"| {number} | {scenario.name} | {gaps} | {due} | {got} | {len(taken_back(events))} |")


if __name__ == "__main__":
    main()
