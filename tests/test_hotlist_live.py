"""Lists in their folder: signed or not, exchanged while a drive goes on, changed by commands."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from helpers_hotlist import needs
from helpers_traffic import slots_of

from edge_alpr.config import Config, HotListsConfig, StoreConfig
from edge_alpr.errors import HotListError, UnsignedListError
from edge_alpr.evidence import read_from_slots
from edge_alpr.hotlist.folder import COMPILED, open_folder
from edge_alpr.hotlist.live import HotLists
from edge_alpr.hotlist.manage import Shelf, sign_file
from edge_alpr.hotlist.signature import make_keys
from edge_alpr.hotlist.status import read_status

READ = read_from_slots(slots_of("B123ABC", 0.999))
OTHER = read_from_slots(slots_of("CJ10XYZ", 0.999))


def config(folder: Path, **lists: object) -> Config:
    (folder / "hotlists").mkdir(exist_ok=True)
    return Config(store=StoreConfig(path=str(folder)), hotlists=HotListsConfig(**lists))  # type: ignore[arg-type]


def put(folder: Path, name: str, text: str) -> Path:
    """Replace a list as `cp` does: in place."""
    path = folder / "hotlists" / name
    path.write_text(text, encoding="utf-8")
    return path


def settle(lists: HotLists) -> bool:
    """Two looks: a file that still changes is not taken."""
    return lists.look() or lists.look()


def test_a_changed_list_is_taken_once_it_has_come_to_rest(tmp_path: Path) -> None:
    settings = config(tmp_path)
    put(tmp_path, "a.csv", "B123ABC\n")
    lists = HotLists(settings)
    assert lists(READ, 0)[0].list == "a"
    assert not settle(lists)
    version = lists.version
    put(tmp_path, "a.csv", "CJ10XYZ,half")
    assert not lists.look()  # it may still be written
    put(tmp_path, "a.csv", "CJ10XYZ,whole\n")
    assert not lists.look()
    assert lists.look()
    assert (lists(READ, 0), lists(OTHER, 0)[0].note) == ((), "whole")
    assert lists.version == version + 1
    put(tmp_path, "b.json", '["B 123 ABC"]')
    assert settle(lists)
    assert lists(READ, 0)[0].list == "b"
    (tmp_path / "hotlists" / "b.json").unlink()
    assert settle(lists)
    assert not lists(READ, 0)
    assert len(list((tmp_path / "hotlists" / COMPILED).iterdir())) == 1


def test_a_broken_new_version_leaves_the_old_one_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = config(tmp_path)
    put(tmp_path, "a.json", '["B123ABC"]')
    lists = HotLists(settings)
    put(tmp_path, "a.json", '["B123ABC"')
    put(tmp_path, "new.json", "{}")
    with caplog.at_level(logging.WARNING):
        assert settle(lists)
    assert lists(READ, 0)
    assert "a.json: not valid JSON" in caplog.text
    status = read_status(tmp_path)
    assert status is not None
    assert "not valid JSON" in status.lists[0].trouble
    assert list(status.refused) == ["new.json"]


def test_a_named_folder_that_goes_away_takes_no_list(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stick = tmp_path / "stick"
    settings = Config(store=StoreConfig(path=str(tmp_path)), hotlists=HotListsConfig(folder=str(stick)))
    with pytest.raises(HotListError, match="no such folder"):
        HotLists(settings)
    stick.mkdir()
    (stick / "a.csv").write_text("B123ABC\n", encoding="utf-8")
    lists = HotLists(settings)
    assert lists.status == ""
    stick.rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        assert not settle(lists)
    assert lists(READ, 0)[0].list == "a"
    assert "folder" in lists.status
    assert len(caplog.records) == 1  # not one at each look
    (tmp_path / "away").rename(stick)
    assert not settle(lists)
    assert lists.status == ""


def test_the_drive_can_say_that_a_list_is_not_in_use(tmp_path: Path) -> None:
    settings = config(tmp_path)
    put(tmp_path, "a.json", "{")
    assert HotLists(settings).status == "1 hot list not as on disk, see the log"


def test_lists_are_exchanged_beside_a_drive_that_goes_on(tmp_path: Path) -> None:
    """The thread that asks is never held up for long: the new version is compiled in another process."""
    settings = config(tmp_path, reload_s=0.05)
    put(tmp_path, "a.csv", "B123ABC\n")
    done, gaps, answers = threading.Event(), [], []

    def drive() -> None:
        last = time.perf_counter()
        while not done.is_set():
            answers.append(bool(lists(OTHER, 0)))
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    with HotLists(settings) as lists:
        thread = threading.Thread(target=drive)
        thread.start()
        put(tmp_path, "a.csv", "".join(f"X{number:06}\n" for number in range(20_000)) + "CJ10XYZ\n")
        give_up = time.monotonic() + 60
        while not (answers and answers[-1]) and time.monotonic() < give_up:
            time.sleep(0.05)
        done.set()
        thread.join()
    assert answers[-1] and not answers[0]
    assert sorted(gaps)[-5] < 0.25  # machines of CI halt a process now and then


def test_a_signed_list_is_verified_before_it_is_used(tmp_path: Path) -> None:
    needs("cryptography")
    (tmp_path / "keys").mkdir()
    key, _ = make_keys(tmp_path / "keys" / "office")
    stranger, public = make_keys(tmp_path / "stranger")
    settings = config(tmp_path, keys=str(tmp_path / "keys"), require_signature=True)
    path = put(tmp_path, "a.csv", "# issued: 2026-02-01\nB123ABC\n")
    folder = path.parent

    assert "not signed" in open_folder(folder, settings.hotlists).troubles[path]
    sign_file(path, stranger)
    assert "not in" in open_folder(folder, settings.hotlists).troubles[path]
    sign_file(path, key)
    good = open_folder(folder, settings.hotlists)
    assert [one.signed_by for one in good.lists] == ["office"]
    put(tmp_path, "a.csv", "# issued: 2026-02-01\nCJ10XYZ\n")  # changed, and the signature is another text's
    changed = open_folder(folder, settings.hotlists, good)
    assert "changed since" in changed.troubles[path]
    assert changed.lists == good.lists
    put(tmp_path, "a.csv", "# issued: 2026-01-01\nCJ10XYZ\n")  # an old version, signed once
    sign_file(path, key)
    assert "issued before" in open_folder(folder, settings.hotlists, good).troubles[path]
    assert open_folder(folder, settings.hotlists).lists  # a new start takes it
    (folder / "a.csv.sig").write_text("no base64!")
    assert "no signature" in open_folder(folder, settings.hotlists).troubles[path]
    sign_file(path, key)
    public.rename(tmp_path / "keys" / "a.pub").write_text("junk")
    assert "no public key" in open_folder(folder, settings.hotlists).troubles[path]


def test_without_the_requirement_only_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    needs("cryptography")
    key, _ = make_keys(tmp_path / "office")
    settings = config(tmp_path, keys=str(tmp_path))
    path = put(tmp_path, "a.csv", "B123ABC\n")
    assert open_folder(path.parent, settings.hotlists).lists
    sign_file(path, key)
    put(tmp_path, "a.csv", "B123ABD\n")
    assert not open_folder(path.parent, settings.hotlists).lists
    with pytest.raises(HotListError, match="cannot be made"):
        make_keys(tmp_path / "office")


def test_changes_of_a_signed_list_are_signed_or_refused(tmp_path: Path) -> None:
    needs("cryptography")
    (tmp_path / "keys").mkdir()
    key, _ = make_keys(tmp_path / "keys" / "office")
    settings = config(tmp_path, keys=str(tmp_path / "keys"), require_signature=True)
    source = tmp_path / "stolen.csv"
    source.write_text("B123ABC\n")
    with pytest.raises(UnsignedListError):
        Shelf(settings).take(source, {})
    sign_file(source, key)
    os.utime(source, (1_000, 1_000))
    assert Shelf(settings).take(source, {}).issued_ms == 1_000_000
    with pytest.raises(HotListError, match="must be signed"):
        Shelf(settings).add("stolen", ["CJ10XYZ"], "", "")
    assert len(Shelf(settings, key).add("stolen", ["CJ10XYZ"], "", "")) == 2
    assert Shelf(settings, key).expire("", ["b 123 abc"], 0)
    (only,) = open_folder(tmp_path / "hotlists", settings.hotlists).lists
    assert (len(only), only.signed_by) == (1, "office")


def test_a_new_version_replaces_the_list_or_nothing_changes(tmp_path: Path) -> None:
    settings = config(tmp_path)
    source = tmp_path / "x.csv"
    source.write_text("plate\nB123ABC\nB\n")
    taken = Shelf(settings).take(source, {"name": "Red cars", "priority": "4"})
    assert (taken.path.name, taken.info.priority, taken.fault_count) == ("red-cars.csv", 4, 1)
    source.write_text("<html>not found</html>\n")
    with pytest.raises(HotListError, match="no line of it is an entry"):
        Shelf(settings).take(source, {"name": "Red cars"})
    with pytest.raises(HotListError, match="no colour"):
        Shelf(settings).take(source, {"color": "url(x)"})
    assert len(open_folder(tmp_path / "hotlists", settings.hotlists).lists[0]) == 1
    assert Shelf(settings).add("Red cars", ["CJ10XYZ"], "", "").path == taken.path
    with pytest.raises(HotListError, match="no column 'note'"):
        Shelf(settings).add("Red cars", ["CJ10XYZ"], "x", "")


def test_a_compiled_list_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    settings = config(tmp_path)
    path = put(tmp_path, "a.csv", "B123ABC\n")
    (one,) = open_folder(path.parent, settings.hotlists).lists
    assert one.compiled_path is not None
    one.compiled_path.write_bytes(one.compiled_path.read_bytes()[:-1])
    assert len(open_folder(path.parent, settings.hotlists).lists[0]) == 1


def test_where_nothing_may_be_written_lists_are_used_all_the_same(tmp_path: Path) -> None:
    settings = config(tmp_path)
    path = put(tmp_path, "a.csv", "B123ABC\n")
    (path.parent / COMPILED).write_text("no folder")  # root may write into any folder
    assert len(open_folder(path.parent, settings.hotlists).lists[0]) == 1


def test_the_status_says_what_a_screen_must_know(tmp_path: Path) -> None:
    settings = config(tmp_path, stale_after_h=1.0)
    put(tmp_path, "a.csv", "# priority: 2\n# issued: 2026-01-02\nB123ABC\nB\n")
    HotLists(settings, lambda: 7)
    status = read_status(tmp_path)
    assert status is not None
    (one,) = status.lists
    assert (one.name, one.entries, one.faults, one.priority) == ("a", 1, 1, 2)
    assert (status.written_ms, one.stale_ms - one.issued_ms) == (7, 3_600_000)
    assert msgspec.json.decode((tmp_path / "hotlists.json").read_bytes())["lists"][0]["trouble"] == ""
    assert read_status(tmp_path / "none") is None


def test_without_lists_there_is_no_trace(tmp_path: Path) -> None:
    with HotLists(Config(store=StoreConfig(path=str(tmp_path / "store")))) as lists:
        assert lists(READ, 0) == ()
    assert not (tmp_path / "store").exists()
