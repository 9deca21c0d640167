"""Probes of what goes on beside the drive: do the models still fit the road, and are hard examples kept?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.doctor.finding import Finding, from_error
from edge_alpr.errors import SealError
from edge_alpr.ops import ledger
from edge_alpr.ops.drift import judge
from edge_alpr.ops.examples import examples_of
from edge_alpr.sinks.sealing import open_key

_AREA = "models fit the road"


def drift(config: Config) -> Iterator[Finding]:
    """Whether the last weeks went like the first ones."""
    if not config.learning.watch_drift:
        yield Finding(_AREA, "ok", "not watched (learning.watch_drift = false)")
        return
    path = ledger.path_of(config)
    try:
        known = ledger.load(path)
    except OSError as error:
        yield Finding(_AREA, "limited", f"{path}: {error.strerror}", "give this user the right to read it")
        return
    if known is None:
        yield Finding(_AREA, "ok", "not enough data yet: no drive with a live camera was counted")
        return
    judgement = judge(known, time.time_ns() // 1_000_000)
    if judgement.verdict == "attention":
        remedy = (
            "clean lens and windscreen; if that is not it: edge-alpr label, then train with what it writes "
            f"(docs/learning.md); if the road is new for good: rm {path}"
        )
        yield Finding(_AREA, "limited", f"attention: {'; '.join(judgement.reasons)}", remedy)
    elif judgement.verdict == "ok":
        yield Finding(_AREA, "ok", "; ".join(judgement.reasons))
    else:
        yield Finding(_AREA, "ok", f"{judgement.verdict}: {'; '.join(judgement.reasons)}")


def hard_examples(config: Config) -> Iterator[Finding]:
    """Nothing where they are not kept; else how many there are, and whether the key opens them."""
    if not config.learning.keep_hard_examples:
        return
    examples = examples_of(config)
    entries = examples.entries()
    key = Path(config.learning.key_file).expanduser()
    try:
        if entries or key.exists():
            examples.load(entries[0], open_key(key)) if entries else open_key(key)
    except SealError as error:
        yield from_error("hard examples", error, "limited")
        return
    size = sum(entry.size for entry in entries) / 1e6
    yield Finding("hard examples", "ok", f"{examples.folder}: {len(entries)} kept, {size:.1f} MB, encrypted")
