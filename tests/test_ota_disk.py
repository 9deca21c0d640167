"""The real file system as `Disk` uses it: what the kernel was asked for is replayed, and cut anywhere."""

from __future__ import annotations

import random
from pathlib import Path

import helpers_powercut as powercut
import pytest
from ota_world import model_blob, model_files

from edge_alpr.errors import UpdateError, UpdateSpaceError
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.ledger import FILE, Ledger, told_as_ours
from edge_alpr.ota.state import State
from edge_alpr.ota.types import MODELS
from edge_alpr.ota.versions import Versions

CODE = """
import sys
from pathlib import Path
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.ledger import Ledger
from edge_alpr.ota.state import State
from edge_alpr.ota.versions import Versions
data, archive = map(Path, sys.argv[1:])
disk = Disk(RealFiles())
ledger = Ledger(disk, data / "update", lambda: 0.0)
for version in ("1.0", "2.0"):
    ledger.save(State(proven={"A": version}))
Versions(disk, data / "models", "models").unpack(archive, "2.0")
ledger.save(State(proven={"A": "3.0"}))
"""


def test_what_the_kernel_was_asked_for_leaves_whole_files_whenever_it_is_cut(tmp_path: Path):
    archive = tmp_path / "set.tar"
    archive.write_bytes(model_blob("2.0"))
    notes = powercut.record(tmp_path / "data", CODE, tmp_path / "data", archive)
    assert len(notes) > 40
    seen = set()
    for seed in range(len(notes) * 4):
        chance, disk = random.Random(seed), powercut.Disk()
        upto = seed % (len(notes) + 1)
        for note in notes[:upto]:
            disk.apply(note)
        left = tmp_path / f"left-{seed}"
        disk.crash(chance, left)
        seen.add((_state(left), _models(left)))
        if upto == len(notes):
            assert (_state(left), _models(left)) == ("3.0", True)
    assert {state for state, _ in seen} == {"", "1.0", "2.0", "3.0"}
    assert {models for _, models in seen} == {False, True}
    assert ("3.0", False) not in seen, "the last state was kept after the models were there for good"


def _state(left: Path) -> str:
    """The version that the state tells; it must never be torn."""
    path = left / "update" / FILE
    assert not path.exists() or path.read_bytes().strip(), "torn"
    return Ledger(Disk(RealFiles()), left / "update").state.proven.get("A", "")


def _models(left: Path) -> bool:
    """Whether the set is there; then it must be whole."""
    versions = Versions(Disk(RealFiles()), left / "models", MODELS)
    if not (left / "models" / "2.0").exists():
        return False
    assert versions.torn("2.0") == ""
    return all((left / "models" / "2.0" / name).read_bytes() == data for name, data in model_files("2.0").items())


def test_real_files_do_what_simulated_ones_do(tmp_path: Path):
    disk, link = Disk(RealFiles()), tmp_path / "a" / "current"
    disk.folder(tmp_path / "a" / "b")
    for target in ("b", "c", "c"):
        disk.point(link, target)
        assert disk.said(link) == target
    disk.put(tmp_path / "a" / "b" / "x", b"1")
    disk.put(tmp_path / "a" / "b" / "x", b"2")
    assert disk.files.read(tmp_path / "a" / "b" / "x") == b"2"
    assert disk.files.names(tmp_path / "a") == ["b", "current"]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_bytes(b"")
    (tmp_path / "a" / "b" / "away").symlink_to(tmp_path / "outside")
    disk.remove(tmp_path / "a" / "b")
    disk.drop(link)
    disk.drop(link)
    assert disk.files.names(tmp_path / "a") == []
    assert (tmp_path / "outside" / "kept").exists(), "links are not followed when a tree goes"


def test_a_file_is_not_written_through_a_link(tmp_path: Path):
    (tmp_path / "passwd").write_bytes(b"root")
    (tmp_path / "x").symlink_to(tmp_path / "passwd")
    with pytest.raises(UpdateError), told_as_ours():
        RealFiles().write(tmp_path / "x", [b"mine"])
    assert (tmp_path / "passwd").read_bytes() == b"root"


def test_a_state_that_cannot_be_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ledger = Ledger(Disk(RealFiles()), tmp_path / "update")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(ledger.disk, "put", full)
    with pytest.raises(UpdateSpaceError, match="the data partition is full"):
        ledger.save(State(proven={"A": "1"}))
    assert ledger.state == State()
