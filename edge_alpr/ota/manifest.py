"""What a version's folder must hold: `manifest.json` names each file with its hash. Also packs such folders."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge_alpr.errors import ModelError, UpdateRefusedError
from edge_alpr.infer.card import parse_card
from edge_alpr.ota.disk import Files
from edge_alpr.ota.types import MODELS

FILE = "manifest.json"
MOST_FILES = 256
CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}){0,2}")
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`files`: by name within the folder, `/` between folders, the sha256 of each file but the manifest itself."""

    unit: str
    version: str
    files: dict[str, Sha256]


def is_name(name: str) -> bool:
    """Whether a file within a version may be called so: no way out of the folder, nothing hidden, not too deep."""
    return bool(_NAME.fullmatch(name))


def is_version(version: str) -> bool:
    """Whether a version may be the name of a folder."""
    return "/" not in version and is_name(version) and version not in ("current", "trial")


def read_manifest(files: Files, folder: Path) -> Manifest:
    """Raises `UpdateRefusedError` where there is none, or no good one."""
    try:
        manifest = msgspec.json.decode(files.read(folder / FILE), type=Manifest)
    except OSError as error:
        raise UpdateRefusedError(f"it has no {FILE}; pack it: edge-alpr update pack") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpdateRefusedError(f"its {FILE} does not hold: {error}") from error
    if wrong := [name for name in manifest.files if not is_name(name) or name == FILE]:
        raise UpdateRefusedError(f"its {FILE} names '{wrong[0]}', which may be no file of a version")
    return manifest


def torn(files: Files, folder: Path, unit: str, version: str) -> str:
    """What is wrong with a version's folder; empty where it is whole: each file as the manifest, and its card, says."""
    try:
        manifest = read_manifest(files, folder)
        if (manifest.unit, manifest.version) != (unit, version):
            return f"it is {manifest.unit} {manifest.version}, not {unit} {version}"
        for name, wanted in manifest.files.items():
            if files.kind(folder / name) != "file":
                return f"its manifest promises {name}, which is not there"
            if sha256_of(files, folder / name) != wanted:
                return f"{name} is not as its manifest says"
        return _uncarded(files, folder, manifest) if unit == MODELS else ""
    except (OSError, UpdateRefusedError, ModelError) as error:
        return str(error)


def _uncarded(files: Files, folder: Path, manifest: Manifest) -> str:
    """Models must be the ones that their cards speak of; graphs for the GPU, in folders, have none.

    Raises `OSError`, `ModelError`.
    """
    models = [name for name in manifest.files if name.endswith(".onnx") and "/" not in name]
    for name in models:
        card = name.removesuffix(".onnx") + ".toml"
        if card not in manifest.files:
            return f"{name} has no card; put {card} beside it"
        text = files.read(folder / card).decode("utf-8", errors="replace")
        if parse_card(text, card).sha256 != manifest.files[name]:
            return f"{name} is not the model that its card speaks of"
    return "" if models else "there is no model in it"


def sha256_of(files: Files, path: Path) -> str:
    """Raises `OSError`."""
    digest = hashlib.sha256()
    with files.open(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def pack(folder: Path, unit: str, version: str) -> bytes:
    """A folder's files with their manifest as a tar file: the same bytes for the same files. Raises `OSError`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return pack_files(content, unit, version)


def pack_files(content: dict[str, bytes], unit: str, version: str) -> bytes:
    """The same of files by their names. Raises `UpdateRefusedError` for a name that no car would take."""
    if wrong := [name for name in content if not is_name(name)]:
        raise UpdateRefusedError(f"'{wrong[0]}' may be no file of a version; use letters, digits, . _ + and -")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(content.items())}
    head = msgspec.json.format(msgspec.json.encode(Manifest(unit, version, hashes)), indent=1)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in ((FILE, head), *sorted(content.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()
