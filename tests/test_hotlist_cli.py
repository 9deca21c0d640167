"""`edge-alpr hotlist` as a user meets it, and a drive that tells its hits."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from helpers_hotlist import needs
from helpers_sinks import make_event
from typer.testing import CliRunner

from edge_alpr.cli import app
from edge_alpr.config import StoreConfig, load_config
from edge_alpr.drive import Drive, Screen
from edge_alpr.errors import EdgeAlprError, HotListError
from edge_alpr.sinks.store import EventStore
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Candidate


@pytest.fixture
def car(tmp_path: Path) -> Path:
    """A folder with a configuration `car.toml` whose store is in it."""
    (tmp_path / "car.toml").write_text(f'[store]\npath = "{tmp_path / "store"}"\n', encoding="utf-8")
    return tmp_path


def hotlist(*args: str | Path) -> tuple[int, str]:
    """Run a command here; its exit code and what it says. Raises the errors that the command line makes one line of."""
    done = CliRunner().invoke(app, ["hotlist", *map(str, args)], env={"COLUMNS": "200"})
    if isinstance(done.exception, EdgeAlprError):
        raise done.exception
    assert not isinstance(done.exception, Exception), done.exception
    return done.exit_code, done.output


def test_a_list_is_taken_in_tried_and_changed(car: Path) -> None:
    (car / "in.csv").write_text("plate;note\nB 123 ABC;red van\nB;x\nCJ10XYZ;\n", encoding="utf-8")
    config = ("-c", car / "car.toml")
    code, taken = hotlist("import", car / "in.csv", "--name", "Stolen", "--priority", "7", *config)
    assert code == 0
    assert "stolen.csv:5: 'B' is no plate" in taken
    assert "Stolen: 2 entries" in taken
    code, tried = hotlist("test", "B123ABC", "B999ZZZ", *config)
    assert code == 1
    assert "B123ABC  Stolen: B 123 ABC  exact, 99 %  red van" in tried
    assert "B999ZZZ  on no list" in tried
    assert "false alerts in 8 hours" in tried
    assert hotlist("expire", "cj-10-xyz", *config)[0] == 0
    assert hotlist("expire", "cj-10-xyz", *config)[0] == 1
    code, listed = hotlist("list", "--faults", *config)
    assert code == 0
    assert listed.splitlines()[1].split()[:3] == ["Stolen", "1", "7"]
    assert listed.count("is no plate") == 1


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("import", "x.txt"), "neither .csv nor .json"),
        (("import", "none.csv"), "cannot be read"),
        (("add", "!"), "no plate"),
        (("add", "B123ABC", "--expires", "soon"), "no date"),
        (("expire", "--list", "none"), "no list 'none'"),
        (("test", "B 12!"), "no plate"),
    ],
)
def test_wrong_lists_and_entries_are_named(args: tuple[str, ...], word: str, car: Path) -> None:
    with pytest.raises(HotListError, match=word):
        hotlist(*args, "-c", car / "car.toml")


def test_a_new_entry_is_looked_for_in_what_was_read_before(car: Path) -> None:
    with EventStore(car / "store", StoreConfig()) as store:
        for number in range(3):
            plate = "B123ABC" if number else "X1YYY"
            store.append(make_event(number, plate=plate, candidates=(Candidate(plate, 0.97),)))
        store.append(make_event(9, plate="8123ABC", candidates=(Candidate("8123ABC", 0.7), Candidate("B123ABC", 0.2))))
    code, added = hotlist("add", "b 123 abc", "--note", "n", "-c", car / "car.toml")
    assert code == 0
    assert added.count("seen before: ") == 3
    assert "8123ABC  b 123 abc  equivalent" in added
    assert "not seen before" in hotlist("add", "CJ10XYZ", "-c", car / "car.toml")[1]


def test_a_list_is_signed_and_refused_when_it_changes(car: Path) -> None:
    needs("cryptography")
    (car / "keys").mkdir()
    with (car / "car.toml").open("a") as file:
        file.write(f'[hotlists]\nkeys = "{car / "keys"}"\nrequire_signature = true\n')
    (car / "a.csv").write_text("B123ABC\n")
    assert hotlist("keygen", car / "keys" / "office")[0] == 0
    assert (car / "keys" / "office.key").stat().st_mode & 0o777 == 0o600
    config = ("-c", car / "car.toml")
    with pytest.raises(HotListError, match="not signed"):
        hotlist("import", car / "a.csv", *config)
    hotlist("sign", car / "a.csv", "--key", car / "keys" / "office.key")
    assert hotlist("import", car / "a.csv", *config)[0] == 0
    (car / "store" / "hotlists" / "a.csv").write_text("CJ10XYZ\n")
    code, listed = hotlist("list", *config)
    assert code == 2
    assert "changed since it was signed" in listed


def test_a_drive_tells_its_hits(car: Path) -> None:
    entry = {"plate": "7XKM 482", "note": "lead"}
    source = {"name": "wanted", "priority": 5, "color": "#d00000", "entries": [entry]}
    (car / "in.json").write_text(json.dumps(source))
    hotlist("import", car / "in.json", "-c", car / "car.toml")
    drive = Drive(load_config(car / "car.toml"), Screen(progress=lambda frames: drive.stop() if frames >= 20 else None))
    drive.run()
    with StoreView(car / "store") as view:
        hits = [event.match for event in view.newest() if event.match]
    assert {(hit.list, hit.entry, hit.kind, hit.priority, hit.color, hit.note) for hit in hits} == {
        ("wanted", "7XKM 482", "exact", 5, "#d00000", "lead")
    }
    assert hits[0].score > 0.9
    assert msgspec.json.decode((car / "store" / "hotlists.json").read_bytes())["lists"][0]["entries"] == 1
