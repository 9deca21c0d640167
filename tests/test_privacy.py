"""What may leave the car."""

from __future__ import annotations

import pytest
from helpers_sinks import make_event

from edge_alpr.config import Config, PrivacyConfig
from edge_alpr.privacy import is_hit, may_leave
from edge_alpr.types import Match

HIT = Match("stolen", "B0001XO", "exact")


@pytest.mark.parametrize(
    ("share", "plain", "hit", "withdrawn"),
    [("hits", False, True, True), ("all", True, True, True), ("nothing", False, False, False)],
)
def test_what_may_leave_the_car(share: str, plain: bool, hit: bool, withdrawn: bool):
    privacy = PrivacyConfig(share=share)  # type: ignore[arg-type]
    assert may_leave(make_event(), privacy) is plain
    assert may_leave(make_event(match=HIT), privacy) is hit
    assert may_leave(make_event(match=HIT, state="withdrawn"), privacy) is withdrawn


def test_by_default_only_hits_leave_and_the_others_are_forgotten():
    assert Config().privacy == PrivacyConfig(forget_after_min=15.0, share="hits")


def test_a_hit_that_is_withdrawn_is_kept_for_who_heard_of_it():
    assert all(is_hit(make_event(match=HIT, state=state)) for state in ("possible", "confirmed", "withdrawn"))
    assert not is_hit(make_event())
