"""`edge-alpr events`: looking at, exporting, locking, purging and proving what is stored, as a user does it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from helpers_sinks import make_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import assert_one_clear_line, edge_alpr
from typer.testing import CliRunner

from edge_alpr.cli import app
from edge_alpr.config import Config, PrivacyConfig, StoreConfig, format_config
from edge_alpr.errors import EdgeAlprError
from edge_alpr.records.check import check_files, check_log
from edge_alpr.records.page import Exhibit, Provenance, render
from edge_alpr.records.sealed_page import signed, verdict
from edge_alpr.records.select import moment
from edge_alpr.sinks.audit import Audit, check_audit
from edge_alpr.sinks.signing import open_signer
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.types import Event, Match

HIT = Match("stolen", "B0002XO", "exact")


def jpeg(width: int, height: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width), 128, np.uint8))[1].tobytes()


PICTURES = Pictures(jpeg(64, 16), jpeg(96, 54))


class Car:
    """A store with some passages, and its command line."""

    def __init__(self, folder: Path, **store: object) -> None:
        self.folder, self.store = folder, folder / "store"
        self.config = Config(
            store=StoreConfig(
                path=str(self.store), signing_key=str(folder / "signing"), key_file=str(folder / "key"),
                **store,  # type: ignore[arg-type]
            )
        )  # fmt: skip
        (folder / "car.toml").write_text(format_config(self.config))
        with EventStore(self.store, self.config.store) as opened:
            self.plain = opened.append(make_event(1), PICTURES)
            opened.append(make_event(2, match=HIT, state="possible"))
            gps = {"lat": 52.5, "lon": 13.4, "speed_kmh": 48}
            self.hit = opened.append(make_event(2, match=HIT, gps=gps), PICTURES)
            opened.append(make_event(3, match=HIT, state="possible"))
            self.withdrawn = opened.append(make_event(3, state="withdrawn"))

    def __call__(self, *args: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["events", *map(str, args), "--config", str(self.folder / "car.toml")])
        if isinstance(done.exception, EdgeAlprError):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.stdout

    def listed(self, *args: object) -> list[str]:
        return re.findall(r"B000\dXO(?= +0)", self("list", *args))


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def car(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Car:
    monkeypatch.setenv("COLUMNS", "200")
    return Car(tmp_path, encrypt=request.param)


def test_passages_are_listed_by_what_is_asked(car: Car):
    assert car.listed() == ["B0003XO", "B0002XO", "B0001XO"]
    assert car.listed("--hits") == ["B0002XO"], "what was withdrawn hits nothing"
    assert car.listed("--list", "stolen") == ["B0002XO"]
    assert car.listed("--list", "other") == []
    assert car.listed("--plate", "b-ooo1-x0") == ["B0001XO"]
    assert car.listed("--limit", "1") == ["B0003XO"]
    assert car.listed("--since", "2026-01-02T10:00:02Z") == ["B0003XO", "B0002XO"]
    assert car.listed("--until", "2026-01-02T10:00:02+00:00") == ["B0001XO"]
    assert car.listed("--since", "1d") == []


def test_a_passage_is_shown_whole(car: Car):
    text = car("show", car.hit.uuid)
    assert json.loads(text[: text.rindex("}") + 1])["gps"]["speed_kmh"] == 48
    assert "states: possible (seq 2), confirmed (seq 3)" in text


def test_csv_and_json_lines_say_what_the_store_says(car: Car):
    rows = list(csv.DictReader(io.StringIO(car("export"))))
    assert [(row["plate"], row["list"], row["lat"]) for row in rows] == [
        ("B0003XO", "", ""), ("B0002XO", "stolen", "52.5"), ("B0001XO", "", ""),
    ]  # fmt: skip
    lines = [msgspec.json.decode(line, type=Event) for line in car("export", "--format", "jsonl").splitlines()]
    assert [event.seq for event in lines] == [1, 2, 3, 4, 5]
    assert lines[2] == car.hit


def test_a_text_is_no_formula_in_a_spreadsheet(tmp_path: Path):
    car = Car(tmp_path)
    with EventStore(car.store, car.config.store) as store:
        store.append(make_event(9, match=Match("=cmd()", '@x"', "exact")))
    row = next(csv.DictReader(io.StringIO(car("export", "--limit", "1"))))
    assert (row["list"], row["entry"]) == ("'=cmd()", "'@x\"")


def test_an_evidence_page_holds_all_and_any_change_is_found(car: Car):
    out = car.folder / "evidence.html"
    car("export", car.hit.uuid, "--out", out)
    page = out.read_bytes()
    assert out.stat().st_mode & 0o077 == 0
    for said in ("B0002XO", "97.0%", "onnxruntime-cpu:1f3a", "ntp", "lat 52.500000", "data:image/jpeg;", "possible as"):
        assert said.encode() in page
    assert b"http://" not in page
    assert b"https://" not in page
    key = car("key").strip()
    assert f"holds; signed by {key}" in car("verify", out)
    assert "holds" in car("verify", out, "--key", key)
    assert "not by 0000" in car("verify", out, "--key", "0" * 64, code=1)
    for at in range(0, len(page), len(page) // 12):
        out.write_bytes(page[:at] + bytes([page[at] ^ 1]) + page[at + 1 :])
        assert "NOT PROVEN" in car("verify", out, code=1)
    out.write_bytes(page + b"<p>more")
    assert "does not end with a signature" in car("verify", out, code=1)
    another = open_signer(car.folder / "forger")
    out.write_bytes(signed(page.decode().replace("B0002XO", "B0003XO"), another))
    assert f"signed by the key {another.public}, not by {key}" in car("verify", out, code=1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(tmp_path_factory: pytest.TempPathFactory, plate: str, name: str, camera: str):
    texts = [f"<i>{t.encode('utf-8', 'ignore').decode()}\"$x</i>" for t in (plate, name, camera)]
    match = Match(texts[1], texts[1], "exact")
    event = make_event(plate=texts[0], match=match, camera_id=texts[2], models={"a": texts[1]})
    page = render([Exhibit((event,), b"", b"")], Provenance("t", texts[1], "0", "k", 0, "h"))
    assert "<i>" not in page
    found = re.search(r'id="events">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert msgspec.json.decode(found[1], type=list[Event]) == [event]
    signer = open_signer(tmp_path_factory.getbasetemp() / "fuzz-signing")
    assert verdict(signed(page, signer), signer.public).problem == ""


def test_locked_passages_stay_and_purged_ones_are_gone(car: Car):
    car("lock", car.hit.uuid)
    assert car.listed("--locked") == ["B0002XO"]
    assert "locked by command" in car("show", car.hit.uuid)
    said = car("purge", "--all", "--yes")
    assert said == "deleted 2 passages and 2 pictures (1 locked ones stay)\n"
    assert car.listed() == ["B0002XO"]
    car("unlock", car.hit.uuid)
    assert car("purge", "--plate", "B0002X0", "--yes") == "deleted 1 passages and 2 pictures\n"
    assert car.listed() == []
    assert [p for p in (car.store / "pictures").rglob("*") if p.is_file()] == []
    left = b"".join(p.read_bytes() for p in car.store.iterdir() if p.is_file())
    assert b"B0002XO" not in left
    assert [json.loads(line)["action"] for line in (car.store / "audit.jsonl").read_text().splitlines()] == [
        "lock", "purge", "unlock", "purge",
    ]  # fmt: skip


def test_purging_works_beside_a_drive(tmp_path: Path):
    car = Car(tmp_path)
    with EventStore(car.store, car.config.store) as drive:
        car("purge", car.plain.uuid, "--yes")
        assert [e.uuid for e in drive.after(0)] == [car.hit.uuid] * 2 + [car.withdrawn.uuid] * 2
        assert drive.append(make_event(8)).seq == 6


def test_the_report_says_what_is_kept_and_why(car: Car):
    car("lock", car.plain.uuid)
    report = json.loads(car("report", "--json"))
    assert {kept["why"]: kept["passages"] for kept in report["kept"]} == {
        "locked": 1, "hit of a list": 2, "seen within 15 min (no hit)": 0,
    }  # fmt: skip
    assert report["lists"] == {"stolen": 1}
    car("purge", "--all", "--yes")
    assert [gone["reason"] for gone in json.loads(car("report", "--json"))["deleted"]] == ["purged"]
    assert "purged: by command" in car("report")
    assert report["encrypted"] == car.config.store.encrypt


def cut_last(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def cut_middle(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def change(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"export"', b'"xxport"'), *lines[1:]]


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


@pytest.mark.parametrize("tamper", [cut_last, cut_middle, change, swap])
def test_tampering_with_the_audit_log_is_found(tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]]):
    car = Car(tmp_path)
    for _ in range(3):
        car("export")
    assert "holds; 3 lines" in car("verify")
    file = car.store / "audit.jsonl"
    file.write_bytes(b"".join(tamper(file.read_bytes().splitlines(keepends=True))))
    assert "NOT PROVEN" in car("verify", code=1)


def test_a_log_that_somebody_else_wrote_anew_is_found(tmp_path: Path):
    car = Car(tmp_path)
    car("export")
    (car.store / "audit.jsonl").unlink()
    Audit(car.store, open_signer(tmp_path / "forger")).note("export", [])
    assert "not by" in car("verify", code=1)


def test_a_torn_line_is_taken_off_and_the_chain_goes_on(tmp_path: Path):
    car = Car(tmp_path)
    car("export")
    with (car.store / "audit.jsonl").open("ab") as file:
        file.write(b'{"n":2,"torn')
    car("export")
    assert check_audit(car.store).lines == 2
    assert check_audit(car.store).problem == ""


def test_no_plate_stands_in_the_audit_log(tmp_path: Path):
    car = Car(tmp_path)
    car("export", "--plate", "B0002XO")
    car("purge", "--plate", "B0002XO", "--yes")
    assert "B000" not in (car.store / "audit.jsonl").read_text()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_file_breaks_the_check(tmp_path_factory: pytest.TempPathFactory, junk: bytes):
    folder = tmp_path_factory.mktemp("junk")
    config = Config(store=StoreConfig(path=str(folder), signing_key=str(folder / "signing")))
    for tail in (b"", b"\n", b"<!-- edge-alpr-signature ed25519 " + junk):
        (folder / "page.html").write_bytes(junk + tail)
        assert not check_files([folder / "page.html"], "", config)[0].holds
        (folder / "audit.jsonl").write_bytes(junk + tail)
        assert not check_log("", config).holds or b"\n" not in junk + tail


@settings(max_examples=40)
@given(st.text(max_size=20))
def test_a_time_is_understood_or_refused(text: str):
    try:
        assert isinstance(moment(text, 1_790_000_000_000), int)
    except EdgeAlprError as error:
        assert "is no time" in str(error)


def test_times():
    now = 1_790_000_000_000
    assert moment("2h", now) == now - 7_200_000
    assert moment("2026-01-02", now) == moment("2026-01-02T01:00+01:00", now) == 1_767_312_000_000


def test_wrong_use_is_one_clear_line(tmp_path: Path):
    Car(tmp_path)
    config = ("--config", str(tmp_path / "car.toml"))

    def said(*args: str) -> subprocess.CompletedProcess[str]:
        return edge_alpr("events", *args, *config)

    assert_one_clear_line(said("show", "none"), "no event none in the store")
    assert_one_clear_line(said("export", "--format", "xml"), "no format of an export")
    assert_one_clear_line(said("purge"), "say which passages")
    assert_one_clear_line(edge_alpr("events", "list", "--config", str(other_store(tmp_path))), "there is none yet")


def other_store(folder: Path) -> Path:
    file = folder / "other.toml"
    file.write_text(format_config(Config(store=StoreConfig(path=str(folder / "other")), privacy=PrivacyConfig())))
    return file
