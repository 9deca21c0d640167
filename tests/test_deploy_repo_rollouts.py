"""Roll-outs by share and board, and their end where heartbeats tell of failures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="pip install 'edge-alpr[repo]'")
pytest.importorskip("cryptography.hazmat.primitives.asymmetric.types", reason="pip install 'edge-alpr[repo]'")

from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import TargetFile

from deploy.repo_tool import rollouts as plan
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.rates import MOST_CHANGES, Tally, Verdict, why_pause, wilson_lower
from deploy.repo_tool.rollouts import Rollout
from deploy.repo_tool.settings import Fleet, Watching
from deploy.repo_tool.watch import Results, follow, read_line
from tests.helpers_repo import Car, Operator, new_operator

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
NOW = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
CARS = [f"car-{n}" for n in range(10_000)]
CUSTOM = {"unit": "models", "version": "1.4", "boards": ["orin-nano", "orin-nx"], "needs": ""}
FILE = TargetFile(7, {"sha256": "0" * 64}, "models/m.tar", {"custom": CUSTOM})


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def begun(share: float = 0.01, *boards: str, **more: bool) -> Rollout:
    return plan.begin({}, Rollout("one", "models/m.tar", "", "", share, boards, **more), FILE, NOW)


def inside(rollout: Rollout, cars: Iterable[str] = CARS) -> set[str]:
    return {car for car in cars if rollout.has(car)}


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.25, 0.5, 0.9, 1])
def test_the_share_is_that_of_the_fleet(share: float):
    assert len(inside(begun(share))) / len(CARS) == pytest.approx(share, abs=0.01)
    assert len(inside(begun(share))) in ({0}, {len(CARS)})[int(share)] if share in (0, 1) else True


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_widening_only_adds_cars(shares: list[float]):
    rollout, before = begun(min(shares)), set[str]()
    for share in sorted(shares):
        rollout = plan.widen(rollout, share, (), NOW)
        after = inside(rollout, CARS[:500])
        assert before <= after
        before = after


def test_another_roll_out_begins_with_other_cars():
    other = plan.begin({}, Rollout("two", "models/m.tar", "", "", 0.1), FILE, NOW)
    both = inside(begun(0.1)) & inside(other)
    assert len(both) / len(CARS) == pytest.approx(0.01, abs=0.005)


def test_boards_come_one_after_the_other():
    rollout = begun(0.1, "orin-nano")
    assert rollout.boards == ("orin-nano",)
    assert plan.widen(rollout, None, ["orin-nx"], NOW).boards == ("orin-nano", "orin-nx")
    assert begun(0.1).boards == ("orin-nano", "orin-nx")  # those that the file is made for
    with pytest.raises(RepoError, match=r"models/m\.tar is made for orin-nano, orin-nx only"):
        begun(0.1, "thor")


def told(*rollouts: Rollout) -> dict[str, object]:
    files = plan.director_files({one.name: one for one in rollouts}, {FILE.path: FILE})
    return {path: file.custom for path, file in files.items()}


def test_what_the_director_says_of_it():
    rollout = begun(0.0123456789)
    said = {**CUSTOM, "rollout": "one"}
    assert told(rollout) == {FILE.path: {**said, "share": "0.012346"}}
    paused = plan.pause(rollout, "why", NOW)
    assert told(paused) == {FILE.path: {**said, "share": "0"}}
    assert told(plan.resume(paused, NOW)) == told(rollout)
    assert told(plan.withdraw(paused, "", NOW)) == {}
    assert told(begun(1, back=True)) == {FILE.path: {**said, "share": "1", "back": True}}
    assert [change.what for change in plan.resume(paused, NOW).history] == ["start", "pause", "resume"]


def test_what_makes_no_sense_is_refused():
    rollout = begun(0.5)
    paused, gone = plan.pause(rollout, "", NOW), plan.withdraw(rollout, "", NOW)
    for refused, reason in (
        (lambda: plan.widen(rollout, 0.4, (), NOW), "has a share of 0.5 already; pause or withdraw it"),
        (lambda: plan.widen(paused, 0.6, (), NOW), "one is paused; only what runs can be widened"),
        (lambda: plan.pause(paused, "", NOW), "one is paused already"),
        (lambda: plan.resume(rollout, NOW), "one is running, not paused"),
        (lambda: plan.resume(gone, NOW), "one is withdrawn, not paused"),
        (lambda: plan.begin({"one": gone}, rollout, FILE, NOW), "there is a roll-out one"),
        (lambda: plan.begin({"x": rollout}, Rollout("b", FILE.path, "", "", 1), FILE, NOW), "one rolls .* out already"),
        (lambda: plan.begin({}, Rollout("b", "models/x.tar", "", "", 1), None, NOW), "has no models/x.tar"),
        (lambda: plan.begin({}, Rollout("B!", FILE.path, "", "", 1), FILE, NOW), "'B!' is no name"),
    ):
        with pytest.raises(RepoError, match=reason):
            refused()


@pytest.mark.parametrize(
    ("failed", "took", "least"), [(0, 0, 0), (0, 50, 0), (1, 1, 0.2065), (3, 100, 0.0103), (10, 100, 0.0552)]
)
def test_wilson(failed: int, took: int, least: float):
    assert wilson_lower(failed, took, 1.96) == pytest.approx(least, abs=5e-5)


def tallied(results: dict[str, int], at: datetime = NOW, share: float = 1) -> str:
    """Why a roll-out is paused when so many cars say so."""
    tally, names = Tally(), iter(inside(begun(share)))
    for result, count in results.items():
        for _ in range(count):
            tally.take(Verdict(next(names), "models", "1.4", result, at, "no frame"))  # type: ignore[arg-type]
    return why_pause(tally.rate(begun(share), Watching(), NOW), Watching())


def test_it_is_paused_once_the_failures_are_surely_too_many():
    assert tallied({"good": 500, "back": 10}) == ""
    assert tallied({"back": 2}) == ""  # two cars prove nothing
    assert tallied({"good": 500, "trial": 400}) == ""
    assert tallied({"good": 500, "back": 20}) == (
        "20 of 520 cars failed, surely more than 2.5% of all (limit 2.0%): 20 x no frame"
    )
    assert "3 of 3 cars failed" in tallied({"refused": 3})
    assert "40 x no verdict since it was installed" in tallied(
        {"good": 500, "trial": 40}, NOW - timedelta(days=15)
    )


def test_a_car_counts_once_with_its_last_word_and_only_within_the_share():
    tally, rollout = Tally(), begun(0.5)
    members, strangers = sorted(inside(rollout)), sorted(set(CARS) - inside(rollout))
    for minute, result in enumerate(("trial", "back", "back", "good")):
        at = NOW + timedelta(minutes=minute)
        tally.take(Verdict(members[0], "models", "1.4", result, at))  # type: ignore[arg-type]
    tally.take(Verdict(members[0], "models", "1.4", "back", NOW))  # comes late
    tally.take(Verdict(members[1], "models", "1.3", "back", NOW))  # of another version
    for stranger in strangers[:50]:
        tally.take(Verdict(stranger, "models", "1.4", "back", NOW))
    rate = tally.rate(rollout, Watching(), NOW)
    assert (rate.took, rate.failed) == (1, 0)


def heartbeat(car: str, result: str, why: str = "", **more: object) -> str:
    update = {"unit": "models", "version": "1.0", "result": result, "why": why}
    head = {"version": 1, "device_id": car, "timestamp": "2026-11-28T11:00:00Z", "running": True, "rss_mb": 3.5}
    return json.dumps({**head, "update": [update], **more})


def published(prefix: str, topic: str, payload: str) -> str:
    """As mosquitto_sub -F '%t %x' writes it."""
    return f"{prefix}/{topic}/stats {payload.encode().hex()}"


def listening(folder: Path, pattern: str = "") -> Results:
    """While version 1.0 of the models is rolled out."""
    rollout = Rollout("one", "models/m-1.0.tar", "models", "1.0", 1)
    Fleet(folder).rollouts_file.write_bytes(plan.encode({"one": rollout}))
    return Results(Fleet(folder), pattern).load()


PATTERN = "my fleet/{device_id}"


def test_one_car_has_one_vote_whatever_it_says_of_itself(tmp_path: Path):
    results = listening(tmp_path, PATTERN)
    own = published("my fleet", "car_1", heartbeat("car_1", "back"))
    for device in ("car-2", "car.1", "car 1", "car/1", "car_1"):
        results.take(published("my fleet", "car_1", heartbeat(device, "back")).encode(), NOW)
    results.take(f"{own.replace('car_1', 'car_1/car-3')}\n".encode(), NOW)  # below its own, and read by fleet/#
    results.take(own.replace("my fleet", "other").encode(), NOW)
    assert list(results.tally.verdicts["models", "1.0"]) == ["car_1"]
    assert (results.unread, results.fleet.results_file.read_bytes().count(b"\n")) == (3, 1)
    assert listening(tmp_path).tally.verdicts == results.tally.verdicts
    assert "my fleet/car_1/stats told of car-2, whose topic is my fleet/car-2/stats (--topic)" in results.stranger


@pytest.mark.parametrize("line", [heartbeat("car-1", "back"), f"my fleet/car-1/stats {heartbeat('car-1', 'back')}"])
def test_a_payload_that_could_hold_a_line_break_is_not_taken(line: str, tmp_path: Path):
    results = listening(tmp_path, PATTERN)
    results.take(line.encode(), NOW)
    assert results.tally.verdicts == {}
    assert "mosquitto_sub -F '%t %x', or --without-topics" in results.stranger


def test_a_car_that_goes_back_and_forth_fills_no_disk(tmp_path: Path):
    for _ in range(2):  # also not by the tool being begun again
        results = listening(tmp_path)
        for minute in range(60):
            moment = f"2026-11-28T11:{minute:02}:00Z"
            results.take(heartbeat("a", "back" if minute % 2 else "good", sent=moment).encode(), NOW)
    assert results.fleet.results_file.read_bytes().count(b"\n") == 1 + MOST_CHANGES


@pytest.mark.parametrize(
    "line",
    ["", '{"device_id": "a", "x": ' + "[" * 60_000, "{", "[]", '{"device_id": "a"}', "\xff",
     heartbeat("", "good"), heartbeat("a", "fine"),
     heartbeat("a" * 129, "good"), heartbeat("a", "good", timestamp="2026-11-28T11:00:00"), heartbeat("a", "good")[:9]],
)  # fmt: skip
def test_a_line_that_is_no_heartbeat_is_counted_and_passed_over(line: str, tmp_path: Path):
    results = listening(tmp_path)
    results.take(line.encode("latin-1"), NOW)
    assert (results.unread, results.news) == (1, False)
    assert not results.fleet.results_file.exists()


@settings(max_examples=50)
@given(st.binary() | st.dictionaries(st.sampled_from(["device_id", "timestamp", "update", "x"]), JSON).map(encode))
def test_no_line_stops_the_watch(line: bytes):
    Results(Fleet(Path("nowhere"))).take(line, NOW)
    Results(Fleet(Path("nowhere")), PATTERN).take(line, NOW)
    Results(Fleet(Path("nowhere")), PATTERN).take(b"my fleet/a/stats " + line.hex().encode(), NOW)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_car_with_any_clock_is_heard(moment: str, tmp_path: Path):
    results = listening(tmp_path)
    results.take(heartbeat("a", "back", timestamp=moment).encode(), NOW)
    assert results.tally.verdicts["models", "1.0"]["a"].at <= NOW
    assert listening(tmp_path).load().tally.verdicts == results.tally.verdicts


def test_of_versions_that_nobody_rolls_out_nothing_is_kept(tmp_path: Path):
    results = listening(tmp_path)
    for n in range(3):
        results.take(heartbeat("a", "back").replace("1.0", f"9.{n}").encode(), NOW)
    assert results.tally.verdicts == {}
    assert not results.fleet.results_file.exists()


def test_other_lines_say_nothing_and_one_update_may_stand_alone():
    assert read_line(b'{"device_id": "a", "timestamp": "2026-11-28T11:00:00Z", "plate": "B1"}') == []
    alone = {"unit": "models", "version": "1.0", "result": "back", "why": "p99 \x1b[2J\nover"}
    (verdict,) = read_line(heartbeat("a", "good", update=alone).encode())
    assert (verdict.result, verdict.why) == ("back", "p99  [2J over")


def test_a_reader_that_beats_no_more_is_told_of_by_the_uplink(tmp_path: Path):
    results = listening(tmp_path)
    for sent, result in (("11:00:01", "trial"), ("11:05:01", "back")):
        results.take(heartbeat("a", result, sent=f"2026-11-28T{sent}.000+00:00").encode(), NOW)
    assert results.tally.verdicts["models", "1.0"]["a"].result == "back"


def test_what_was_heard_outlives_the_tool_and_a_torn_line(tmp_path: Path):
    results = listening(tmp_path)
    for _ in range(3):
        results.take(heartbeat("a", "back").encode(), NOW)
    file = results.fleet.results_file
    assert file.read_bytes().count(b"\n") == 1
    file.write_bytes(file.read_bytes() + b'{"device_id":"b","unit"')
    listening(tmp_path).take(heartbeat("c", "good").encode(), NOW)
    last = listening(tmp_path)
    assert set(last.tally.verdicts["models", "1.0"]) == {"a", "c"}
    assert last.unread == 1


def test_a_file_that_grows_is_followed(tmp_path: Path):
    file = tmp_path / "stats.jsonl"
    file.write_bytes(b"one\ntw")
    lines = follow(file, lambda _: None)
    assert [next(lines), next(lines)] == [b"one\n", b""]
    with file.open("ab") as more:
        more.write(b"o\n")
    assert next(lines) == b"two\n"
    assert next(lines) == b""
    file.unlink()
    file.write_bytes(b"three\n")  # as logrotate does
    assert next(line for line in lines if line) == b"three\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """A model set that runs on all cars."""
    operator = new_operator(tmp_path_factory.mktemp("fleet") / "made")
    path = operator.add("m-1.0.tar", "1.0")
    operator("rollout", "start", "one", "--target", path, "--share", "1")
    return operator


def test_heartbeats_of_failures_pause_the_roll_out(made: Operator, tmp_path: Path):
    operator = made.copy("paused")
    car = Car(tmp_path, operator.public.as_uri()).begin(operator)
    lines = [heartbeat(f"car-{n}", "back" if n % 10 == 0 else "good", "camera: no frame") for n in range(100)]

    stream = [published("fleet", f"car-{n}", line) for n, line in enumerate(lines[:20])]
    forged = [published("fleet", "car-1", line) for line in lines[:20:10]]
    said = operator("watch", "-", "--topic", "fleet/{device_id}", stdin="\n".join([*stream, *forged]).encode())
    assert "not counted: fleet/car-1/stats told of car-0, whose topic is fleet/car-0/stats" in said
    assert "paused:" not in said
    assert "lines that were no heartbeat, or not of the car that they name: 2" in said
    assert car.wanted()["models/m-1.0.tar"]["share"] == "1"
    (operator.folder / "stats.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = operator("watch", str(operator.folder / "stats.jsonl"), "--without-topics")

    assert "one paused: 10 of 100 cars failed, surely more than 5.5% of all (limit 2.0%): 10 x camera: no frame" in said
    assert car.wanted()["models/m-1.0.tar"]["share"] == "0"
    assert "pause 100.00% any board 10 of 100 cars failed" in operator("rollout", "status", "one")
    operator("rollout", "resume", "one")
    assert "one paused: 10 of 100" in operator("watch", "-", stdin=b"")


def test_a_topic_that_names_no_car_is_refused(made: Operator):
    with pytest.raises(RepoError, match=r"--topic fleet/all: \{device_id\} is needed"):
        made("watch", "-", "--topic", "fleet/all", stdin=b"")


def test_watching_needs_the_keys_that_pause(made: Operator):
    operator = made.copy("keyless")
    operator.carry_away("director-targets")
    with pytest.raises(RepoError, match="director-targets: not here"):
        operator("watch", "-", stdin=b"")


def test_a_pause_that_was_cut_is_told_by_the_next_refresh(made: Operator, tmp_path: Path):
    operator = made.copy("cut")
    car = Car(tmp_path, operator.public.as_uri()).begin(operator)
    file = operator.folder / "rollouts.json"
    known = plan.decode(file.read_bytes())
    file.write_bytes(plan.encode({"one": plan.pause(known["one"], "", NOW)}))  # and no further

    operator("refresh")

    assert car.wanted()["models/m-1.0.tar"]["share"] == "0"
