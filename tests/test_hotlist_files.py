"""Lists as people send them: whatever stands in a file, the rest is read and what is not is named."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers_hotlist import loaded, needs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_alpr.config import HotListsConfig
from edge_alpr.errors import HotListError, ListNotKeptError
from edge_alpr.evidence import ALPHABET
from edge_alpr.hotlist import edit
from edge_alpr.hotlist.compiled import compile_list, from_file, to_bytes
from edge_alpr.hotlist.entry import Entry, Fault, plain_text
from edge_alpr.hotlist.folder import compile_apart
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.parse import parse

CLASSES = Classes(HotListsConfig().classes)
FUZZ_S = float(os.environ.get("EDGE_ALPR_FUZZ_S", "0"))
"""So long the list files are fuzzed; in a usual run a few hundred examples."""


def items(data: bytes | str, suffix: str = ".csv") -> tuple[list[Entry], list[Fault]]:
    found = list(parse(data.encode() if isinstance(data, str) else data, suffix, "x")[1])
    return [i for i in found if isinstance(i, Entry)], [i for i in found if isinstance(i, Fault)]


def test_a_list_with_a_head_columns_and_quotes() -> None:
    data = (
        "# name: Stolen cars\n# priority: 7\n# colour: #d00000\n# sound: siren\n# source: police\n"
        "# issued: 2026-01-02\n# expires: 2026-12-31\n# anything else\n\n"
        'note,Plate,until\n"red, old",b 123-abc,2026-03-01\n,CJ 4? XYZ,\n"a ""b""",/B[0-9]+/,2026-03-01T10:00Z\n'
    )
    info, _ = parse(data.encode(), ".csv", "x")
    assert (info.name, info.priority, info.color, info.sound) == ("Stolen cars", 7, "#d00000", "siren")
    assert info.expires_s - info.issued_s == 364 * 86_400  # the last day is whole
    entries, faults = items(data)
    assert faults == []
    assert entries == [
        Entry("B123ABC", 11, "text", 1772409600, "b 123-abc", "red, old"),
        Entry("CJ4?XYZ", 12, "wildcard", 0, "CJ 4? XYZ", ""),
        Entry("B[0-9]+", 13, "regex", 1772359200, "/B[0-9]+/", 'a "b"'),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"B123ABC,x\nCJ10XYZ\n",
        b"\xef\xbb\xbfplate;note\r\nB123ABC;x\r\nCJ10XYZ;\r\n",
        b"plate\tnote\rB123ABC\tx\rCJ10XYZ\t\r",
        "plate,note\nB123ABC,x\nCJ10XYZ,\n".encode("utf-16"),
        "plate,note\nВ123АВС,x\nCJ-10-XYZ,\n".encode(),  # noqa: RUF001 - Cyrillic
    ],
    ids=["no-columns", "bom-crlf-semicolon", "cr-tab", "utf-16", "cyrillic"],
)
def test_usual_encodings_line_ends_and_delimiters(data: bytes) -> None:
    entries, faults = items(data)
    assert ([entry.text for entry in entries], faults) == (["B123ABC", "CJ10XYZ"], [])


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b'"B123ABC', "quote"),
        (b"B", "no plate"),
        (b"B123ABC,x,tomorrow", "no date"),
        (b"A" * 5000, "longer than"),
        (b"B12\x003", "NUL"),
        (b"*", "two characters"),
        ("Б123".encode(), "no plate"),
        (b"M\xfc 123", "Latin-1"),
        (b"/" + b"a" * 200 + b"/", "120 characters"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_the_rest_is_read(line: bytes, word: str) -> None:
    entries, faults = items(b"plate,note,expires\nCJ10AAA\n" + line + b"\nCJ20BBB\n")
    assert [f.line for f in faults] == [3]
    assert word in faults[0].reason
    assert {"CJ10AAA", "CJ20BBB"} <= {entry.text for entry in entries}


def test_a_json_list_and_its_bad_entries() -> None:
    entry = b'{"plate":"B2BBB","reason":"x","until":"2026-01-02"}'
    data = b'{"name":"Fleet","priority":2,"entries":["B 1 AAA",' + entry + b',7,{"q":1}]}'
    info, _ = parse(data, ".json", "x")
    entries, faults = items(data, ".json")
    assert (info.name, info.priority) == ("Fleet", 2)
    assert [(e.text, e.note, e.line) for e in entries] == [("B1AAA", "", 1), ("B2BBB", "x", 2)]
    assert [f.line for f in faults] == [3, 4]
    for broken in (b"{", b"7", b'{"name": "x"}', b"[" * 100_000):
        with pytest.raises(HotListError):
            items(broken, ".json")


def _check(data: bytes, suffix: str) -> None:
    """Whatever the bytes: typed errors only, and what was read is sane and survives the compiled form."""
    try:
        compiled = compile_list(data, suffix, "x", CLASSES)
    except HotListError:
        return
    for row in compiled.index.rows():
        text = compiled.index.text(row)
        assert 2 <= len(text) <= 16
        assert set(text) <= set(ALPHABET)
        assert len(compiled.index.said(row)[0]) <= 32
    assert all(fault.reason.isprintable() for fault in compiled.head.faults)
    assert compiled.head.info.name
    raw = to_bytes(compiled)
    assert len(raw) % 64 == 0


CELLS = st.one_of(
    st.sampled_from(["B123ABC", "B 1 O", "*", "CJ*9?", "/a+/", "2026-01-02", "9999-99-99", '"', '""', "#", "plate"]),
    st.text(max_size=12),
)
LINES = st.lists(CELLS, max_size=5).map(",".join)
HEADS = st.tuples(st.sampled_from(["name", "priority", "color", "sound", "expires", "issued"]), st.text(max_size=9))
CSV = st.builds(
    lambda heads, lines, end, encoding: (
        end.join([*(f"# {key}: {value}" for key, value in heads), *lines]).encode(encoding, "replace")
    ),
    st.lists(HEADS, max_size=3),
    st.lists(LINES, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16", "cp1251"]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["entries", "plate", "note", "expires", "name", "kind", "priority"]), inner),
    ),
    max_leaves=12,
).map(lambda value: repr(value).replace("'", '"').replace("None", "null").encode("utf-8", "replace"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(CSV)
@example(b"# priority: 99999999\n# name:\nplate\n\xff\xfeB123ABC\n")
def test_no_csv_breaks_the_reader(data: bytes) -> None:
    _check(data, ".csv")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(JSON, st.binary(max_size=60)))
def test_no_json_breaks_the_reader(data: bytes) -> None:
    _check(data, ".json")


@pytest.mark.skipif(not FUZZ_S, reason="set EDGE_ALPR_FUZZ_S to fuzz for so many seconds")
def test_long_fuzzing() -> None:
    begin, rounds = time.monotonic(), 0
    while time.monotonic() - begin < FUZZ_S:
        rounds += 1
        seeded = settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        seeded(given(CSV)(lambda data: _check(data, ".csv")))()
        seeded(given(st.one_of(JSON, st.binary(max_size=200)))(lambda data: _check(data, ".json")))()
    print(f"{rounds * 4000} files in {time.monotonic() - begin:.0f} s")


@given(st.text(ALPHABET, min_size=2, max_size=9))
@settings(max_examples=30, deadline=None)
def test_the_keys_near_a_text_are_those_of_all_texts_one_character_away(text: str) -> None:
    made = {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))}
    made |= {text[:i] + char + text[i + over :] for i in range(len(text) + 1) for over in (0, 1) for char in ALPHABET}
    texts = np.array([one.encode() for one in made], "S16")
    assert set(CLASSES.keys(texts).tolist()) == set(CLASSES.near(text).tolist())
    assert CLASSES.few([text]).tolist() == CLASSES.keys(np.array([text.encode()], "S16")).tolist()


def test_a_compiled_list_says_what_the_source_said_and_damage_is_seen(tmp_path: Path) -> None:
    made = loaded("# name: x\nB 123 ABC,red\nCJ10AAA\n/B.*/\nB\n").compiled
    path = tmp_path / "x.hotlist"
    path.write_bytes(to_bytes(made))
    again = from_file(path)
    assert again.head == made.head
    assert [again.index.said(row) for row in again.index.rows()] == [made.index.said(row) for row in made.index.rows()]
    raw = bytearray(path.read_bytes())
    for place in (0, 50, len(raw) - 1):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(HotListError, match="delete it"):
            from_file(path)
    for size in (0, 20, 100):
        path.write_bytes(raw[:size])
        with pytest.raises(HotListError):
            from_file(path)


def test_editing_keeps_all_that_is_not_changed() -> None:
    data = b"# priority: 1\n# mine\nplate;note\nB 123 ABC;red\n\"broken\nCJ10AAA;\n"
    data = edit.with_heads(data, ".csv", {"priority": "5", "name": "A\nB"})
    assert data.startswith(b"# priority: 5\n# name: A B\n# mine\nplate;note\n")
    data = edit.with_entry(data, ".csv", "CJ 20 BBB", 'say "hi"; now')
    assert items(data)[0][-1].note == 'say "hi"; now'
    data, gone = edit.without(data, ".csv", ["b-123-abc"], 0)
    assert [entry.shown for entry in gone] == ["B 123 ABC"]
    assert b'"broken\nCJ10AAA;\n' in data
    with pytest.raises(HotListError, match="no column 'expires'"):
        edit.with_entry(data, ".csv", "B1AAA", expires="2026-01-02")
    listed = edit.with_entry(b'["B1AAA", 7, "B2BBB"]', ".json", "B3CCC", "x")
    listed, gone = edit.without(edit.with_heads(listed, ".json", {"name": "n"}), ".json", ["B1AAA"], 0)
    assert msgspec.json.decode(listed) == {"entries": [7, "B2BBB", {"plate": "B3CCC", "note": "x"}], "name": "n"}


def test_a_pattern_that_cannot_be_is_refused_when_added() -> None:
    needs("re2")
    with pytest.raises(HotListError, match="RE2"):
        edit.with_entry(edit.NEW, ".csv", "/[/")


def test_many_entries_load_apart_from_the_drive(tmp_path: Path) -> None:
    """The whole million is measured by docs/hotlist_figures.py."""
    rng = np.random.default_rng(3)
    texts = np.array(list(ALPHABET))[rng.integers(0, 36, (50_000, 7))]
    data = ("plate,note\n" + "\n".join("".join(row) + ",x" for row in texts.tolist())).encode()
    target = tmp_path / "c" / "x.hotlist"
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    compile_apart(data, Path("x.csv"), target, HotListsConfig())
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin.ru_utime
    assert len(from_file(target).index) == 50_000
    assert target.stat().st_size < 3e6
    assert used < 3  # a million may take 20 s


def test_the_compiler_says_what_it_could_not_do(tmp_path: Path) -> None:
    with pytest.raises(HotListError, match="not valid JSON"):
        compile_apart(b"{", Path("x.json"), tmp_path / "x.hotlist", HotListsConfig())
    with pytest.raises(ListNotKeptError, match="cannot be written"):
        compile_apart(b"B123ABC", Path("x.csv"), Path("/proc/none/x"), HotListsConfig())


def test_plates_are_compared_without_what_only_looks_different() -> None:
    assert plain_text("  mü-ab 12\u00a03 ") == "MUAB123"
