"""Whatever the configuration file holds: a configuration, or one line that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers_fuzz import FUZZ_S, fuzz
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_alpr.config import Config, SourceConfig, WebhookConfig, format_config, load_config, parse_config
from edge_alpr.errors import ConfigError

HOOK = WebhookConfig(name="police", url="https://example.org/plates")
VALID = format_config(Config(cameras=(SourceConfig(camera_id="rear"),), webhooks=(HOOK,))).splitlines()
HOSTILE = [
    "nan", "-nan", "inf", "-inf", "0", "-0.0", "-1", "1e308", "1e999", "9" * 19, "9" * 40, "9" * 5000,
    "0x7fffffffffffffff", "true",
    '""', '"\\u0000"', '"\\uD800"', '"\\U0010FFFF"', "''", '"0.0.0.0:99999"', "[]", "[[]]", "[1, 'a']", "{}",
    "{a = {b = 1}}", "[{}]", "2026-01-02", "2026-99-99", "07:32:00", "1979-05-27T00:32:00.999999-07:00", "[" * 3000,
    "[" * 3000 + "]" * 3000, "{a=" * 2000, "a" * 70000,
]  # fmt: skip
LINES = st.one_of(
    st.sampled_from(VALID),
    st.sampled_from(["[source]", "[[source]]", "[[cameras]]", "[cameras]", "[source.uri]", "[a.b]", "source = 1"]),
    st.builds("{} = {}".format, st.sampled_from([line.split(" = ")[0] for line in VALID if " = " in line]),
              st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.integers().map(str), st.floats().map(str))),
    st.text(max_size=30),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The valid file with some lines changed, taken out, put in, or a few bytes exchanged."""
    lines = list(VALID)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["value", "value", "value", "line", "out", "in"]))
        if kind == "value" and " = " in lines[place]:
            value = draw(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.floats().map(str)))
            lines[place] = f"{lines[place].split(' = ')[0]} = {value}"
        elif kind == "out":
            del lines[place]
        else:
            lines[place : place + (kind == "line")] = [draw(LINES)]
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


ANY = st.one_of(
    mutated(),
    st.lists(LINES, max_size=12).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")),
    st.binary(max_size=80),
)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)


def check(data: bytes, folder: Path) -> None:
    path = folder / "car.toml"
    path.write_bytes(data)
    try:
        config = load_config(path)
    except ConfigError as error:
        assert str(error).startswith(str(path)), "it names the file"
        return
    assert isinstance(config, Config)
    assert all(map(math.isfinite, numbers(msgspec.to_builtins(config))))
    assert parse_config(format_config(config)) == config, "what is printed reads back"


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(data=ANY)
@example(data=b"[source]\nstall_s = nan\n")
@example(data=b"[source]\nstall_s = inf\n")
@example(data=b"[source]\nlatency_ms = " + b"9" * 5000)
@example(data=b"source = " + b"[" * 3000)
@example(data=b"source" + b".a" * 3000 + b" = 1")
def test_no_file_breaks_the_configuration(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(data, tmp_path_factory.getbasetemp())


@pytest.mark.skipif(not FUZZ_S, reason="set EDGE_ALPR_FUZZ_S to fuzz for so many seconds")
def test_long_fuzzing_of_the_configuration(tmp_path: Path) -> None:
    fuzz(ANY, lambda data: check(data, tmp_path), "configuration files", 2000)
