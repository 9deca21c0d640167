"""The chimes that ship, as sound: made of a few notes each, no files."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

RATE_HZ = 44_100
_LOUD = 0.6
_EDGE_S = 0.008
"""Notes rise and fall in so long: without, they would click."""
Note: TypeAlias = tuple[float, float]
"""Frequency in Hz (0: a pause) and duration in s."""
USUAL, URGENT, SOFT, GONE, TICK = "chime", "urgent", "soft", "withdrawn", "tick"
CHIMES: dict[str, Sequence[Note]] = {
    USUAL:  ((784, 0.14), (1047, 0.22)),
    URGENT: ((1568, 0.09), (0, 0.03), (1568, 0.09), (0, 0.03), (1568, 0.09), (1175, 0.20)),
    SOFT:   ((523, 0.18),),
    GONE:   ((659, 0.12), (440, 0.20)),
    TICK:   ((1319, 0.04),),
}  # fmt: skip


def chime(name: str) -> bytes:
    """The WAV file of a chime, mono, 16 bits; a name that is none of them is the usual one."""
    samples = np.concatenate([_tone(hz, seconds) for hz, seconds in CHIMES.get(name, CHIMES[USUAL])])
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((samples * 32_767 * _LOUD).astype("<i2").tobytes())
    return file.getvalue()


def _tone(hz: float, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(samples,) float64, -1 to 1."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    edges = np.clip(np.minimum(at, seconds - at) / _EDGE_S, 0, 1)
    rich = np.sin(2 * np.pi * hz * at) + 0.3 * np.sin(4 * np.pi * hz * at)
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = rich * edges / 1.3
    return result
