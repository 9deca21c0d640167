"""Fuzzing that is short here, and as long as EDGE_ALPR_FUZZ_S says (seconds)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ_S = float(os.environ.get("EDGE_ALPR_FUZZ_S", "0"))
_Case = TypeVar("_Case")


def fuzz(cases: st.SearchStrategy[_Case], check: Callable[[_Case], None], what: str, at_a_time: int) -> None:
    """Try cases for FUZZ_S seconds, and say how many."""
    begin, count = time.monotonic(), 0

    def counted(case: _Case) -> None:
        nonlocal count
        count += 1
        check(case)

    logging.disable()  # what is passed over is told, and that is many lines
    while time.monotonic() - begin < FUZZ_S:
        many = settings(max_examples=at_a_time, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        many(given(case=cases)(counted))()
    logging.disable(logging.NOTSET)
    print(f"{count} {what} in {time.monotonic() - begin:.0f} s")
