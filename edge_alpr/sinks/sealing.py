"""Files encrypted at rest: the key on disk, sealing and opening, and writing a file whole or not at all.

A sealed file is MAGIC, the key's id (8 bytes), a nonce (12 bytes), then AES-256-GCM of the content with its tag. The
file's name is bound to it: renamed or swapped files do not open. Everything that is encrypted here shares one key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shlex
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge_alpr.errors import KeyFileError, SealError, WrongKeyError
from edge_alpr.sinks.pictures import sync_folder

MAGIC = b"EALPRS1\n"
PART = ".part"
"""What a file is called while it is written."""
_ID_BYTES, _NONCE_BYTES, _KEY_BYTES = 8, 12, 32
_COMMAND_S = 10.0
_OVERHEAD = len(MAGIC) + _ID_BYTES + _NONCE_BYTES
_KEY = re.compile(rb"[0-9a-f]{64}\n")


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Key:
    """A key ready for use; `id` tells which one it is and says nothing of its value."""

    id: bytes
    cipher: _Cipher
    index: bytes = field(default=b"", repr=False)
    """Another key, derived from it: for texts that are looked up without being read."""

    def blind(self, text: str) -> str:
        """What stands for a text where it must be found but not read: 32 hexadecimal digits, the same each time."""
        return hmac.digest(self.index, text.encode(), "sha256")[:16].hex()


def open_key(path: Path) -> Key:
    """The key in a file, see `read_secret`. Raises `KeyFileError`."""
    return key_of(read_secret(path))


def read_secret(path: Path) -> bytes:
    """The 32 bytes in a file of 64 hexadecimal digits. Raises `KeyFileError`, also where others may read the file."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {error.strerror}; restore the file") from error
    try:
        mode, text = os.fstat(handle).st_mode, os.read(handle, 128)
    finally:
        os.close(handle)
    if mode & 0o077:
        raise KeyFileError(f"{path}: others may read this key; chmod 600 {path}")
    if not _KEY.fullmatch(text):
        raise KeyFileError(f"{path}: not a key (64 hexadecimal digits); restore it, or move it away for a new one")
    return bytes.fromhex(text.decode())


def key_of(value: bytes) -> Key:
    """The key of 32 bytes. Raises `KeyFileError` where the cryptography package is not installed."""
    index = hmac.digest(value, b"edge-alpr: texts that are looked up", "sha256")
    return Key(hashlib.sha256(MAGIC + value).digest()[:_ID_BYTES], _cipher(value), index)


def key_from_command(command: str) -> Key:
    """The key that a command prints: 32 bytes as they are, or 64 hexadecimal digits. Raises `KeyFileError`."""
    try:
        done = subprocess.run(shlex.split(command), check=False, capture_output=True, timeout=_COMMAND_S)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise KeyFileError(f"key_command `{command}` gives no key: {error}; try it in a terminal") from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise KeyFileError(f"key_command `{command}` ended with {done.returncode}: {why}; try it in a terminal")
    if len(done.stdout) == _KEY_BYTES:
        return key_of(done.stdout)
    if not _KEY.fullmatch(done.stdout.rstrip() + b"\n"):
        raise KeyFileError(f"key_command `{command}` prints no key (32 bytes, or 64 hexadecimal digits)")
    return key_of(bytes.fromhex(done.stdout.decode().strip()))


def open_or_make_key(path: Path) -> Key:
    """The key in a file; on first use a new one, readable by its owner only. Raises `KeyFileError`."""
    return key_of(read_or_make_secret(path))


def read_or_make_secret(path: Path) -> bytes:
    """The 32 bytes in a file; on first use new ones at random. Raises `KeyFileError`."""
    if not path.exists():
        try:
            _make_key(path)
        except OSError as error:
            raise KeyFileError(
                f"{path}: the key cannot be written: {error.strerror}; "
                "set learning.key_file or store.key_file to another place"
            ) from error
    return read_secret(path)


def seal(key: Key, name: str, content: bytes) -> bytes:
    """The content of the file `name`, encrypted."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return MAGIC + key.id + nonce + key.cipher.encrypt(nonce, content, _bound(key, name))


def unseal(key: Key, name: str, sealed: bytes) -> bytes:
    """What was sealed under this name. Raises `WrongKeyError`, or `SealError` for a torn, changed or foreign file."""
    if not sealed.startswith(MAGIC) or len(sealed) < _OVERHEAD:
        raise SealError(f"{name}: not a sealed file, or torn; delete it")
    if sealed[len(MAGIC) : len(MAGIC) + _ID_BYTES] != key.id:
        raise WrongKeyError(f"{name}: sealed with another key; give that one as learning.key_file, or delete the file")
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    try:
        return key.cipher.decrypt(sealed[_OVERHEAD - _NONCE_BYTES : _OVERHEAD], sealed[_OVERHEAD:], _bound(key, name))
    except InvalidTag as error:
        raise SealError(f"{name}: torn, changed or renamed since it was sealed; delete it") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, durable on return; whatever happens, `path` is the old file or the new one.

    Threads and processes may write in one folder. Raises `OSError`, and then nothing is left.
    """
    part = path.with_name(f".{os.getpid()}-{threading.get_ident()}{PART}")
    try:
        with open(part, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def _make_key(path: Path) -> None:
    """Whoever links its file first has made the key; the others take that one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{secrets.token_hex(8)}{PART}")
    write_whole(part, secrets.token_hex(32).encode() + b"\n")
    with suppress(FileExistsError):
        path.hardlink_to(part)
    part.unlink()
    sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _bound(key: Key, name: str) -> bytes:
    return MAGIC + key.id + name.encode()


def _cipher(value: bytes) -> _Cipher:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise KeyFileError(
            "encrypting takes the cryptography package, which is not installed; pip install 'edge-alpr[seal]'"
        ) from error
    return AESGCM(value)
