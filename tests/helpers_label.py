"""Drawn plates to label, and the page served by the real command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

TEXTS = ("B123XYZ", "KA7788", "M404ZZ")
QUAD = ((60.0, 40.0), (220.0, 46.0), (220.0, 82.0), (60.0, 76.0))


def drawn_plate(text: str, size: tuple[int, int] = (280, 120)) -> np.ndarray:
    """A grey picture with a plate at QUAD."""
    picture = np.full(size[::-1], 90, np.uint8)
    plate = np.full((72, 320), 225, np.uint8)
    cv2.putText(plate, text, (14, 56), cv2.FONT_HERSHEY_DUPLEX, 1.9, 20, 4, cv2.LINE_AA)
    corners = np.array([[0, 0], [320, 0], [320, 72], [0, 72]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, np.array(QUAD, np.float32))
    return cv2.warpPerspective(plate, matrix, size, picture, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)


@contextmanager
def served(*arguments: str | Path, cwd: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of `edge-alpr label`, running; it must end well."""
    command = [sys.executable, "-m", "edge_alpr.cli", "label", *map(str, arguments)]
    root = str(Path(__file__).resolve().parents[1])
    child = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        address = child.stdout.readline().strip()
        assert address, child.stderr.read()
        yield address, child
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "Traceback" not in err, err
