"""Metadata changed at random, on the way and by who has the keys: refused as an `UpdateError`, or no change at all."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers_fuzz import FUZZ_S, fuzz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ota_server import changed
from securesystemslib.formats import encode_canonical
from test_ota_attacks import FILES, NEW, ROLES, SIDES, World, repo_of, tampered, world

from edge_alpr.errors import UpdateError

Plan = tuple[str, str, int, int, bytes]
"""(side, role, place, length, bytes that come there instead)."""
BYTES: st.SearchStrategy[Plan] = st.tuples(
    st.sampled_from(SIDES), st.sampled_from(ROLES), st.integers(0, 4000), st.sampled_from([0, 1, 1, 2, 9, 500]),
    st.one_of(st.binary(max_size=3), st.sampled_from([b"", b"0", b"9", b'"', b"{}", b"null", b"-1", b"1e999"])),
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 1 << 70) | st.text(max_size=9) | st.sampled_from(["x" * 999, "sha256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
SIGNED = st.tuples(st.sampled_from(SIDES), st.sampled_from(ROLES), st.integers(0, 200), VALUES)


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@contextmanager
def fresh() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
        made.fleet.director.rotate("root")
        made.fleet.image.rotate("root")
        made.fleet.release("2.0", NEW)
        yield made


def tried(made: World) -> bool:
    """Whether the car took what the fleet signed; refused is well too, all else is raised."""
    made.prize.unlink(missing_ok=True)
    try:
        made.update()
    except UpdateError as error:
        assert "\n" not in str(error)
        assert not made.prize.exists()
        return False
    assert not made.prize.exists() or made.prize.read_bytes() == NEW
    return True


def check_bytes(made: World, plan: Plan) -> None:
    side, role, place, length, fresh_bytes = plan

    def change(data: bytes) -> bytes:
        at = place % max(len(data), 1)
        return data[:at] + fresh_bytes + data[at + length :]

    made.server.faults = {f"{side}/metadata/{FILES[role]}": changed(change)}
    tried(made)
    made.server.faults = {}
    before = made.trusted()
    made.fleet.publish()
    assert tried(made)
    assert made.prize.read_bytes() == NEW
    assert all(version >= before[what] for what, version in made.trusted().items())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def signed_anew(made: World, side: str, role: str, place: int, value: Any) -> bytes:
    """The role's metadata with one place changed, signed by its own keys."""
    repo = repo_of(made.fleet, side)
    signed = json.loads(json.dumps(repo.roles[role].signed.to_dict()))
    *path, last = list(places(signed))[place % len(list(places(signed)))]
    inner = signed
    for key in path:
        inner = inner[key]
    inner[last] = copy.deepcopy(value)
    data = encode_canonical(signed).encode()
    signatures = [signer.sign(data).to_dict() for signer in repo.keys[role]]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def check_signed(made: World, case: tuple[str, str, int, Any]) -> None:
    side, role, place, value = case
    data = signed_anew(made, side, role, place, value)
    made.server.faults = {f"{side}/metadata/{FILES[role]}": changed(lambda _: data)}
    with tempfile.TemporaryDirectory() as folder:
        car = World(made.fleet, made.server, Path(folder))
        (car.folder / "roots").symlink_to(made.folder / "roots")
        tried(car)


def test_bytes_changed_on_the_way_are_refused():
    with fresh() as made:
        if FUZZ_S:
            fuzz(BYTES, lambda plan: check_bytes(made, plan), "changes of metadata", 100)
        few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        few(given(plan=BYTES)(lambda plan: check_bytes(made, plan)))()


def test_nonsense_that_is_rightly_signed_is_refused():
    with fresh() as made:
        if FUZZ_S:
            fuzz(SIGNED, lambda case: check_signed(made, case), "signed pieces of nonsense", 100)
        few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        few(given(case=SIGNED)(lambda case: check_signed(made, case)))()


def test_without_the_check_of_signatures_a_change_would_go_through(monkeypatch: pytest.MonkeyPatch):
    """So the tests above fail where nobody checks."""
    with fresh() as made:
        made.server.faults = {"director/metadata/timestamp.json": changed(tampered)}
        assert not tried(made)
        monkeypatch.setattr("tuf.api.metadata.Root.verify_delegate", lambda *_: None)
        assert tried(made)
