"""What all tests share: the folders around them, and patience on a busy machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A slow moment of the machine is not a failed example. All else stays: on CI the examples are the same every time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The labelled pictures beside the repository; where they are missing, the test is skipped and says so."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no pictures beside the repository: ../shared/data is missing")
    return folder
