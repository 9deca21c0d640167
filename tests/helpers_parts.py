"""Parts that a test needs of the machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip, visibly, where a part is not installed; fail where scripts/test has installed all parts."""
    if os.environ.get("EDGE_ALPR_PARTS") == "installed":
        pytest.fail(f"{what}, though scripts/test installs it")
    pytest.skip(what)
