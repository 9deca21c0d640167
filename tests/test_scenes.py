"""Many plates, one mind: rendered drives go in, one notification for each passage comes out.

`EDGE_ALPR_SCENES=n` plays each drive n times more, with other plates, sizes and shaking (a second of CPU each).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers_scenes import Scenario, notified, play, taken_back, varied
from scenes import SCENARIOS

from edge_alpr.app import Models, open_models
from edge_alpr.config import Config, ModelsConfig
from edge_alpr.evidence import canonical

CONFIG = Config(models=ModelsConfig(precision="full"))  # the same on every processor
VARIATIONS = range(int(os.environ.get("EDGE_ALPR_SCENES", "0")))
NAMES = [scenario.name for scenario in SCENARIOS]
SEEDED = 3
"""A variation in which a plate, half behind the next car, was once told as a vehicle of its own."""


@pytest.fixture(scope="module")
def models() -> Models:
    return open_models(CONFIG)


def check(scenario: Scenario, models: Models) -> None:
    events = play(scenario, CONFIG, models)
    assert notified(events) == sorted(map(canonical, scenario.due))
    assert not taken_back(events)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_each_passage_is_told_once_and_nothing_else(scenario: Scenario, models: Models) -> None:
    check(scenario, models)


def test_the_rest_of_a_hidden_plate_is_no_vehicle_of_its_own(models: Models) -> None:
    check(varied(SCENARIOS[0], SEEDED), models)


@pytest.mark.slow
@pytest.mark.skipif(not VARIATIONS, reason="EDGE_ALPR_SCENES says how many variations to play")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_so_it_is_with_other_plates_sizes_and_shaking(scenario: Scenario, models: Models) -> None:
    for seed in VARIATIONS:
        drive = varied(scenario, seed)
        events = play(drive, CONFIG, models)  # a text may be taken back for the right one: small, far plates
        assert notified(events) == sorted(map(canonical, drive.due)), f"variation {seed}"


def test_a_drive_is_rendered_the_same_every_time() -> None:
    first, again = ([frame.luma.copy() for frame in SCENARIOS[3].frames()] for _ in range(2))
    assert len(first) > 20
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
