"""The life of a hot list: unpacked, checked, switched to in one step, the one before kept.

The reader sees `NAME.csv` and `NAME.csv.sig` in its folder of lists as links through `current`, so that one switch of
`current` exchanges both: it never meets a list with another one's signature.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_alpr.errors import HotListError, UpdateError, UpdateRefusedError
from edge_alpr.hotlist.entry import Entry
from edge_alpr.hotlist.parse import PARSERS, parse
from edge_alpr.hotlist.signature import SUFFIX
from edge_alpr.ota import state as states
from edge_alpr.ota.disk import CURRENT
from edge_alpr.ota.images import ASKED
from edge_alpr.ota.ledger import Ledger
from edge_alpr.ota.manifest import read_manifest
from edge_alpr.ota.types import LIST
from edge_alpr.ota.versions import Versions

Signed = Callable[[bytes, bytes | None, str], None]
"""Raises `HotListError` where a list's bytes, its signature (None: it has none) and its name do not do."""


def list_name(unit: str) -> str:
    """`stolen` of `list/stolen`; empty where it may be no list's name."""
    name = unit.removeprefix(LIST)
    return name if unit.startswith(LIST) and name.replace("-", "").replace("_", "").isalnum() and name.isascii() else ""


class HotList:
    """One unit of `Agent`: the list NAME. `shown` is the reader's folder of lists."""

    def __init__(self, ledger: Ledger, unit: str, folder: Path, shown: Path, signed: Signed) -> None:
        self._ledger, self._unit, self._shown, self._signed = ledger, unit, shown, signed
        self._name = list_name(unit)
        self.versions = Versions(ledger.disk, folder / self._name, unit)

    def running(self) -> str:
        """The version in use; empty: none that came as an update."""
        return self.versions.current()

    def install(self, archive: Path) -> None:
        """Take it into use. Raises `UpdateError`; what was in use then stays."""
        ledger, versions = self._ledger, self.versions
        version = ledger.state.pending[self._unit].target.version
        versions.unpack(archive, version)
        self._check(version)
        before = versions.current()
        if before != version:
            ledger.save(states.moved(ledger.state, self._unit, "switching", ledger.now_s, before=before))
        self.settle()

    def settle(self) -> None:
        """Take up what a cut has interrupted."""
        ledger, versions = self._ledger, self.versions
        pending = ledger.state.pending.get(self._unit)
        if pending and pending.stage == "switching":
            versions.choose(pending.target.version)
            self._show(pending.target.version)
            state = states.switched(ledger.state, self._unit, pending.before)
            ledger.save(states.ended(state, self._unit, "good", "", ledger.now_s))
        elif pending and pending.stage == "returning":
            versions.choose(pending.before)
            state = states.switched(ledger.state, self._unit, "")
            ledger.save(states.ended(state, self._unit, "back", pending.why, ledger.now_s))
        pending = ledger.state.pending.get(self._unit)
        versions.prune({ledger.state.previous.get(self._unit, ""), pending.target.version if pending else ""})

    def after_boot(self) -> None:
        """Mend what a disk fault has torn, and take up what a cut has interrupted."""
        ledger, versions, current = self._ledger, self.versions, self.versions.current()
        if current and versions.torn(current):
            before = ledger.state.previous.get(self._unit, "")
            versions.choose("" if versions.torn(before) else before)
        self.settle()

    def rollback(self) -> None:
        """Back to the list before, as somebody wants. Raises `UpdateError` where there is none."""
        ledger, current = self._ledger, self.versions.current()
        before = ledger.state.previous.get(self._unit, "")
        if not before or before == current:
            raise UpdateError(f"{self._unit}: there is none before the one in use; take it off: edge-alpr hotlist")
        state = states.begun(ledger.state, states.lost_target(self._unit, current), ledger.now_s)
        state = states.moved(state, self._unit, "available", ledger.now_s, before=before)
        ledger.save(states.returning(state, self._unit, ASKED, asked=True))
        self.settle()

    def _file(self, version: str) -> str:
        """The name of the list within its version: the one CSV or JSON file. Raises `UpdateRefusedError`."""
        names = read_manifest(self.versions.disk.files, self.versions.folder / version).files
        found = [name for name in names if Path(name).suffix in PARSERS and "/" not in name]
        if len(found) != 1 or set(names) - {found[0], found[0] + SUFFIX}:
            raise UpdateRefusedError(f"{self._unit} {version}: a list is one .csv or .json file, and its {SUFFIX}")
        return found[0]

    def _check(self, version: str) -> None:
        files, name, folder = self.versions.disk.files, self._file(version), self.versions.folder / version
        if Path(name).stem != self._name:
            raise UpdateRefusedError(f"{self._unit} {version}: the file is called {name}; call it as the list")
        data, beside = files.read(folder / name), folder / (name + SUFFIX)
        try:
            self._signed(data, files.read(beside) if files.kind(beside) == "file" else None, name)
            entries = parse(data, Path(name).suffix, self._name)[1]
            if not any(isinstance(item, Entry) for item in entries):
                raise HotListError("no line of it is an entry; it needs a column of plates")
        except HotListError as error:
            raise UpdateRefusedError(f"{self._unit} {version}: {error}") from error
        for shown in (self._shown / f"{self._name}{suffix}" for suffix in PARSERS):
            kind, wanted = files.kind(shown), "link" if shown.name == name else "none"
            if kind not in (wanted, "none"):
                raise UpdateRefusedError(
                    f"{self._unit}: {shown} is there and came otherwise; take it away, or use another name"
                )

    def _show(self, version: str) -> None:
        """The reader's links, which stay as they are from then on. The signature's comes first."""
        disk, name = self.versions.disk, self._file(version)
        disk.folder(self._shown)
        for file in (name + SUFFIX, name):
            disk.point(self._shown / file, str(self.versions.folder / CURRENT / file))
