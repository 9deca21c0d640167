"""What the reader found when it ran a model set beside the one in use, and whether that is good enough. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_alpr.ota.disk import Files
from edge_alpr.ota.types import Verdict


class Outcome(msgspec.Struct, frozen=True):
    """`models/trial.json`, which the reader writes: counts over all drives of a trial. `old` is the set that reads,
    `new` the one on trial.

    Texts are compared where one of both is sure of its own. `p99_ms_*` are of processor time on one core, both taken in
    the same way beside the drive, so they compare with each other and not with the drive's own times.
    """

    version: str
    frames: int = 0
    plates_both: int = 0
    """Plates that both found in the same place."""
    plates_old: int = 0
    plates_new: int = 0
    texts_same: int = 0
    texts_differ: int = 0
    p99_ms_old: float = 0.0
    p99_ms_new: float = 0.0
    """0: not measured."""
    seconds: float = 0.0
    """How long it has run beside drives."""
    error: str = ""
    """Why it runs no more; empty while it does."""


@dataclass(frozen=True, slots=True)
class ShadowLimits:
    """What a set must show. `frames` 0: it is not run beside at all."""

    frames: int = 300
    plates: int = 20
    found: float = 0.8
    """Of the plates that the old set found, the new one must find so many in all: a share."""
    same: float = 0.8
    """Of the texts of plates that both found, so many must be the same: a share."""
    slower: float = 1.5
    """The new set's 99th percentile may be so many times the old one's."""
    patience_s: float = 40 * 3600.0
    """A set that the reader ran beside for so long, without enough frames or plates, is given up."""


def judge(seen: Outcome, limits: ShadowLimits) -> Verdict | None:
    """Whether the set is to be switched to; None: wait for more."""
    facts = {"frames": float(seen.frames), "plates_old": float(seen.plates_old), "plates_new": float(seen.plates_new)}
    if limits.frames == 0:
        return Verdict(True)
    if seen.error:
        return Verdict(False, f"beside the old models: {seen.error}", facts)
    if seen.frames < limits.frames or seen.plates_old < limits.plates:
        if seen.seconds > limits.patience_s:
            return Verdict(False, f"too little was seen beside the old models in {seen.seconds / 3600:.0f} h", facts)
        return None
    wrong = _wrong(seen, limits)
    return Verdict(not wrong, wrong, facts)


def _wrong(seen: Outcome, limits: ShadowLimits) -> str:
    texts = seen.texts_same + seen.texts_differ
    if seen.plates_new < limits.found * seen.plates_old:
        return f"beside the old models it found {seen.plates_new} plates where they found {seen.plates_old}"
    if texts and seen.texts_same < limits.same * texts:
        return f"beside the old models {seen.texts_differ} of {texts} texts differ"
    old, new = seen.p99_ms_old, seen.p99_ms_new
    if old and new and new > limits.slower * old:
        return f"a frame takes it {new:.1f} ms (p99) where the old models take {old:.1f}"
    return ""


def read_shadow(files: Files, path: Path) -> Outcome | None:
    """What the reader wrote last; None where there is nothing to be read."""
    try:
        return msgspec.json.decode(files.read(path), type=Outcome) if files.kind(path) == "file" else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
