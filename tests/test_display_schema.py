"""The page's HTTP as an OpenAPI description, and what a fuzzer (schemathesis) makes of it: right and wrong requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from helpers_display import Reader, configured, screen
from helpers_fuzz import FUZZ_S
from helpers_sinks import make_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
          negative_data_rejection]  # fmt: skip
TEXT = {"type": "string"}
UUID = {"anyOf": [{"enum": [make_event(number).uuid for number in (1, 2)]}, TEXT]}
NAME = {"enum": ["acknowledged", "wrong", "locked"]}


def record(**properties: Any) -> dict[str, Any]:
    """An object with exactly these."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def answers(*codes: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """JSON for those codes, `body` for 200; the gate's own words are plain."""
    error = {"application/json": {"schema": record(error=TEXT)}, "text/plain": {"schema": TEXT}}
    good = {"application/json": {"schema": body or {"type": "object"}}}
    return {str(code): {"description": "", "content": good if code == 200 else error} for code in codes}


def sent(body: dict[str, Any]) -> dict[str, Any]:
    """A body that must be there."""
    return {"required": True, "content": {"application/json": {"schema": body}}}


def parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """In the path or in the query."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


PICTURE = {"200": {"description": "", "content": {"image/jpeg": {}}}}
API: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "page", "version": "1"},
    "paths": {
        "/live.jpg": {"get": {"responses": {**PICTURE, "204": {"description": "no drive"}}}},
        "/history": {"get": {
            "parameters": [parameter("only", "query", {"enum": ["all", "hits", "locked"]}),
                           parameter("plate", "query", {"type": "string", "maxLength": 32}),
                           parameter("before", "query", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})],
            "responses": answers(200, 400, body={"type": "object", "required": ["passages", "marks", "next"]})}},
        "/pictures/{uuid}/{kind}": {"get": {
            "parameters": [parameter("uuid", "path", UUID), parameter("kind", "path", {"enum": ["plate", "frame"]})],
            "responses": {**PICTURE, **answers(404)}}},
        "/marks": {"post": {"requestBody": sent(record(uuid=UUID, name=NAME, set={"type": "boolean"})),
                            "responses": answers(200, 400, 403, 404)}},
        "/camera": {"post": {"requestBody": sent(record(camera=TEXT)), "responses": answers(200, 400, 403, 404)}},
        "/login": {"post": {"requestBody": sent(record(password=TEXT)),
                            "responses": answers(200, 400, 403, 429)}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page over a store with pictures."""
    folder: Path = tmp_path_factory.mktemp("schema")
    with Reader(folder) as reader:
        for number in range(1, 20):
            reader.tell(number, f"AB{number:02}XYZ", pictured=True)
        with screen(configured(folder)) as (where, _):
            yield where


def cases() -> st.SearchStrategy[Any]:
    """Requests as described, and such as break the description."""
    schema = schemathesis.openapi.from_dict(API)
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    found = [each.ok() for each in schema.get_all_operations()]
    return st.one_of([each.as_strategy(generation_mode=mode) for each in found for mode in modes])


def try_out(address: str, examples: int) -> int:
    """How many requests were made."""
    count = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases())
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        case.call_and_validate(base_url=address, headers={"Origin": address}, checks=CHECKS)

    ask()
    return count


def test_what_is_described_is_kept_and_what_is_not_is_refused(address: str):
    assert try_out(address, 400) >= 300


@pytest.mark.skipif(not FUZZ_S, reason="EDGE_ALPR_FUZZ_S says how long")
def test_long(address: str):
    begin, count = time.monotonic(), 0
    logging.disable()
    while time.monotonic() - begin < FUZZ_S:
        count += try_out(address, 500)
    logging.disable(logging.NOTSET)
    print(f"{count} requests by schemathesis in {time.monotonic() - begin:.0f} s")
