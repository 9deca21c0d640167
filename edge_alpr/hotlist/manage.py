"""What the commands do to the folder of lists."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.errors import HotListError
from edge_alpr.hotlist import edit
from edge_alpr.hotlist.entry import Entry
from edge_alpr.hotlist.folder import list_paths, lists_folder, open_list
from edge_alpr.hotlist.match import LoadedList
from edge_alpr.hotlist.parse import PARSERS, parse
from edge_alpr.hotlist.signature import sign, signature_path, verify
from edge_alpr.infer.atomic import write_whole


@dataclass(frozen=True)
class Shelf:
    """The folder of lists of a configuration. `key`: a private key that changed lists are signed with."""

    config: Config
    key: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the lists are."""
        return lists_folder(self.config)

    def take(self, file: Path, heads: Mapping[str, str]) -> LoadedList:
        """Take a list into the folder, with these values in its head. Raises `HotListError`; then nothing changed."""
        suffix = file.suffix.lower()
        if suffix not in PARSERS:
            raise HotListError(f"{file}: neither .csv nor .json; name it so that its kind is known")
        data = _read(file)
        if self.config.hotlists.require_signature:
            verify(data, file, Path(self.config.hotlists.keys))
        signature = signature_path(file).read_bytes() if signature_path(file).exists() else None
        if heads:
            data, signature = edit.with_heads(data, suffix, heads), None
        if not any(isinstance(item, Entry) for item in parse(data, suffix, file.stem)[1]):
            raise HotListError(f"{file}: no line of it is an entry; it needs a column of plates")
        target = self.folder / (edit.slug(heads.get("name") or file.stem) + suffix)
        self._write(target, data, signature)
        if not heads:  # its age is that of the source
            with suppress(OSError):
                os.utime(target, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        return open_list(target, self.config.hotlists)

    def add(self, name: str, plates: Collection[str], note: str, expires: str) -> LoadedList:
        """Add entries to a list, which is made if there is none of this name. Raises `HotListError`."""
        path = self.path_of(name) or self.folder / f"{edit.slug(name)}.csv"
        data = _read(path) if path.exists() else b"# name: " + " ".join(name.split()).encode() + b"\n" + edit.NEW
        for plate in plates:
            data = edit.with_entry(data, path.suffix.lower(), plate, note, expires)
        self._write(path, data, None)
        return open_list(path, self.config.hotlists)

    def expire(self, name: str, plates: Collection[str], at_s: int) -> dict[Path, list[Entry]]:
        """Take entries off all lists, or off the one of a name: these plates, and those that are over."""
        path = self.path_of(name) if name else None
        if name and path is None:
            raise HotListError(f"no list '{name}' in {self.folder}; edge-alpr hotlist list names them")
        gone: dict[Path, list[Entry]] = {}
        for one in [path] if path else list_paths(self.folder):
            data, entries = edit.without(_read(one), one.suffix.lower(), plates, at_s)
            if entries:
                self._write(one, data, None)
                gone[one] = entries
        return gone

    def path_of(self, name: str) -> Path | None:
        """The file of a list, by its own name or its file's."""
        for path in list_paths(self.folder):
            if name in (path.stem, path.name) or edit.slug(name) == path.stem:
                return path
            if parse(_read(path), path.suffix.lower(), path.stem)[0].name == name:
                return path
        return None

    def _write(self, path: Path, data: bytes, signature: bytes | None) -> None:
        """Write a list and its signature, which comes first: until the list follows, the drive keeps the old one."""
        beside = signature_path(path)
        if self.key is not None:
            signature = sign(data, self.key)
        if signature is None and (self.config.hotlists.require_signature or beside.exists()):
            raise HotListError(f"{path}: the change must be signed; give --key FILE.key")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if signature is not None:
                write_whole(beside, signature)
            write_whole(path, data)
        except OSError as error:
            raise HotListError(f"{path}: cannot be written: {error.strerror}") from error


def sign_file(path: Path, key: Path) -> Path:
    """Sign a list where it lies; the signature's path. Raises `HotListError`."""
    signature = sign(_read(path), key)
    try:
        write_whole(signature_path(path), signature)
    except OSError as error:
        raise HotListError(f"{signature_path(path)}: cannot be written: {error.strerror}") from error
    return signature_path(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HotListError(f"{path}: cannot be read: {error.strerror}") from error
