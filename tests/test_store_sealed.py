"""A store that is encrypted at rest: nothing readable on the disk, everything there for who has the key."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_parts import missing
from helpers_sinks import make_event, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_alpr.config import StoreConfig
from edge_alpr.errors import EventError, StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.lookup import find_event
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.sinks.vault import Vault
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event

PICTURES = Pictures(plate=b"\xff\xd8" + b"plate" * 300, frame=b"\xff\xd8" + b"scene" * 300)
SECRET = (b"B0007XO", b"B00070X", b"plateplate", b"scenescene")


def sealed(folder: Path, **changes: object) -> StoreConfig:
    return StoreConfig(encrypt=True, key_file=str(folder / "keys" / "key"), **changes)  # type: ignore[arg-type]


def on_the_disk(folder: Path) -> bytes:
    """All bytes of the store's files."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def fill(folder: Path, config: StoreConfig) -> list[Event]:
    with EventStore(folder, config) as store:
        return [store.append(make_event(number), PICTURES) for number in range(5, 10)]


def test_nothing_on_the_disk_can_be_read_and_all_of_it_with_the_key(tmp_path: Path):
    folder, config = tmp_path / "store", sealed(tmp_path)
    events = fill(folder, config)
    assert [secret for secret in SECRET if secret in on_the_disk(folder)] == []
    with EventStore(folder, config) as store:
        assert store.after(0) == events
        assert store.find("bo007-x0") == [events[2]]
        assert store.append(make_event(7)) == events[2], "stored once"
        assert store.append(make_event(20)).seq == 6
    with StoreView(folder, config) as view:
        assert view.newest(5)[1:] == events[:0:-1]
        assert view.find("B0007XO") == [events[2]]
        assert view.picture(events[2].images.plate) == PICTURES.plate
    assert find_event(folder, events[2].uuid, config) == events[2]
    assert (tmp_path / "keys" / "key").stat().st_mode & 0o777 == 0o600


def test_a_store_is_encrypted_when_the_owner_says_so_and_made_plain_again(tmp_path: Path):
    folder, config = tmp_path / "store", sealed(tmp_path)
    events = fill(folder, StoreConfig())
    assert [secret for secret in SECRET if secret not in on_the_disk(folder)] == [b"B00070X"]
    with EventStore(folder, config) as store:
        assert [secret for secret in SECRET if secret in on_the_disk(folder)] == []
        assert store.after(0) == events
    with EventStore(folder, replace_config(config, encrypt=False)) as store:
        assert store.after(0) == events
        assert store.find("B0007X0") == [events[2]]
    assert (folder / events[2].images.plate).read_bytes() == PICTURES.plate
    (tmp_path / "keys" / "key").unlink()
    with EventStore(folder, StoreConfig()) as store:
        assert store.after(0) == events


def replace_config(config: StoreConfig, **changes: object) -> StoreConfig:
    fields = {name: getattr(config, name) for name in config.__struct_fields__}
    return StoreConfig(**{**fields, **changes})


def test_a_missing_or_wrong_key_is_told_and_never_an_empty_street(tmp_path: Path):
    folder, config = tmp_path / "store", sealed(tmp_path)
    fill(folder, config)
    shutil.move(tmp_path / "keys" / "key", tmp_path / "key")
    with pytest.raises(StoreError) as caught:
        EventStore(folder, config)
    assert "the key cannot be read" in one_line(caught.value)
    assert not (tmp_path / "keys" / "key").exists(), "no new key is made where something is sealed"
    with StoreView(folder, config) as view, pytest.raises(StoreError, match="the key cannot be read"):
        view.newest()
    (tmp_path / "keys" / "key").write_text("0" * 64 + "\n")
    (tmp_path / "keys" / "key").chmod(0o600)
    with pytest.raises(StoreError, match=r"encrypted with the key [0-9a-f]{16}, the one at hand is"):
        EventStore(folder, config)
    with pytest.raises(StoreError, match="the one at hand is"), StoreView(folder, config) as view:
        view.newest()
    shutil.move(tmp_path / "key", tmp_path / "keys" / "key")
    with EventStore(folder, config) as store:
        assert store.count() == 5


def test_a_row_put_in_anothers_place_or_changed_is_passed_over(tmp_path: Path):
    folder, config = tmp_path / "store", sealed(tmp_path)
    events = fill(folder, config)
    connection = sqlite3.connect(folder / "events.sqlite3")
    with connection:
        body = connection.execute("SELECT body FROM events WHERE seq = 1").fetchone()[0]
        connection.execute("UPDATE events SET body = ? WHERE seq = 2", (body,))
        connection.execute("UPDATE events SET body = ? WHERE seq = 3", (body[:-1] + bytes([body[-1] ^ 1]),))
    connection.close()
    with EventStore(folder, config) as store:
        assert store.after(0) == [events[0], *events[3:]]
        assert store.counters.unreadable == 2
    one, two = (folder / event.images.plate for event in events[:2])
    two.write_bytes(one.read_bytes())
    with StoreView(folder, config) as view:
        assert view.picture(events[0].images.plate) == PICTURES.plate
        assert view.picture(events[1].images.plate) == b"", "renamed"


@pytest.mark.parametrize("hurt", ["header", "inner"])
def test_sealed_rows_are_saved_from_a_damaged_file(tmp_path: Path, hurt: str):
    folder, config = tmp_path / "store", sealed(tmp_path)
    with EventStore(folder, config) as store:
        events = [store.append(make_event(number)) for number in range(60)]
    file = folder / "events.sqlite3"
    data = bytearray(file.read_bytes())
    data[: 4096 if hurt == "inner" else 100] = bytes(4096 if hurt == "inner" else 100)
    file.write_bytes(data)
    with EventStore(folder, config) as store:
        assert store.recovered.events == len(events)
        assert store.after(0) == events
        assert store.find(events[7].plate) == [events[7]]
    assert b"B0007XO" not in on_the_disk(folder)


def test_a_store_of_schema_1_gets_its_passages_and_is_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, config = tmp_path / "store", sealed(tmp_path)
    folder.mkdir()
    rows = [replace(make_event(number), seq=number) for number in (1, 2)]
    connection = sqlite3.connect(folder / "events.sqlite3")
    with connection:
        for statement in schema.MIGRATIONS[0]:
            connection.execute(statement)
        connection.executemany(schema.INSERT, [Vault(StoreConfig()).row(event) for event in rows])
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with EventStore(folder, config) as store:
        assert store.after(0) == rows
        assert store._connection.execute("SELECT seq, hit FROM passages ORDER BY seq").fetchall() == [(1, 0), (2, 0)]
        assert store.append(make_event(3)).seq == 3
    assert b"B0001XO" not in on_the_disk(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200) | st.integers() | st.none(), st.data())
def test_whatever_stands_in_a_row_no_reading_fails(tmp_path_factory: pytest.TempPathFactory, junk: object, data):
    folder = tmp_path_factory.mktemp("fuzz")
    vault = Vault(sealed(folder))
    row = vault.row(replace(make_event(1), seq=1))[-1]
    assert isinstance(row, bytes)
    at = data.draw(st.integers(0, len(row) - 1))
    bit = data.draw(st.integers(0, 7))
    for body in (junk, row[:at], row[:at] + bytes([row[at] ^ 1 << bit]) + row[at + 1 :]):
        with suppress(EventError):
            assert vault.event(1, body) == make_event(1, seq=1)
            assert 8 <= at < 20, "only place and length, which stand in the frame for salvage, are not sealed"
    assert [event for _, _, event in vault.carve(b"x" + row + b"y")] == [make_event(1, seq=1)]


def test_the_key_comes_from_a_command(tmp_path: Path):
    (tmp_path / "raw").write_bytes(bytes(range(32)))
    (tmp_path / "hex").write_text(bytes(range(32)).hex())
    folder = tmp_path / "store"
    events = fill(folder, sealed(tmp_path, key_command=f"cat {tmp_path}/raw"))
    with EventStore(folder, sealed(tmp_path, key_command=f"cat '{tmp_path}/hex'")) as store:
        assert store.after(0) == events
    assert not (tmp_path / "keys").exists()
    for command, why in (("false", "ended with 1"), ("no-such-program", "gives no key"), ("echo x", "prints no key")):
        with pytest.raises(StoreError, match=why) as caught:
            EventStore(folder, sealed(tmp_path, key_command=command))
        one_line(caught.value)


@contextmanager
def tpm(folder: Path) -> Iterator[dict[str, str]]:
    """A TPM 2.0 in software; the environment in which tpm2-tools find it."""
    if not (shutil.which("swtpm") and shutil.which("tpm2_unseal")):
        missing("swtpm or tpm2-tools not installed")
    folder.mkdir()
    address = f"{folder}/socket"
    server = subprocess.Popen(
        ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--server", f"type=unixio,path={address}",
         "--ctrl", f"type=unixio,path={address}.ctrl", "--flags", "not-need-init,startup-clear"]
    )  # fmt: skip
    try:
        yield {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={address}"}
    finally:
        server.terminate()
        server.wait()


def test_the_key_lies_in_a_tpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with tpm(tmp_path / "tpm") as env:
        monkeypatch.setenv("TPM2TOOLS_TCTI", env["TPM2TOOLS_TCTI"])
        (tmp_path / "secret").write_bytes(os.urandom(32))
        for command in (
            "tpm2_createprimary -Q -C o -c primary.ctx",
            "tpm2_flushcontext -Q -t",
            "tpm2_create -Q -C primary.ctx -i secret -u key.pub -r key.priv",
            "tpm2_flushcontext -Q -t",
            "tpm2_load -Q -C primary.ctx -u key.pub -r key.priv -c key.ctx",
            "tpm2_evictcontrol -Q -C o -c key.ctx 0x81010001",
            "tpm2_flushcontext -Q -t",
        ):
            subprocess.run(command.split(), cwd=tmp_path, check=True, timeout=30)
        (tmp_path / "secret").unlink()
        config = sealed(tmp_path, key_command="tpm2_unseal -Q -c 0x81010001")
        events = fill(tmp_path / "store", config)
        with EventStore(tmp_path / "store", config) as store:
            assert store.after(0) == events


def test_a_change_of_encryption_that_is_cut_off_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, config = tmp_path / "store", sealed(tmp_path)
    events = fill(folder, StoreConfig())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        calls = iter(range(100))
        wrap = Vault.wrap

        def cut(vault: Vault, name: str, picture: bytes) -> bytes:
            if next(calls) == 4:
                raise KeyboardInterrupt
            return wrap(vault, name, picture)

        patch.setattr(Vault, "wrap", cut)
        EventStore(folder, config)
    assert b"scenescene" in on_the_disk(folder)
    with EventStore(folder, config) as store:
        assert store.after(0) == events
    assert [secret for secret in SECRET if secret in on_the_disk(folder)] == []


def test_the_change_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fill(tmp_path / "store", StoreConfig())
    with caplog.at_level(logging.WARNING):
        EventStore(tmp_path / "store", sealed(tmp_path)).close()
    assert "5 events are encrypted now" in caplog.text
