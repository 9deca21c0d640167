"""Signatures of this device (Ed25519): its key on disk, signing, and checking with the public half."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_alpr.errors import KeyFileError
from edge_alpr.sinks.sealing import read_or_make_secret


class _Private(Protocol):
    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Signer:
    """The device's key; `public` is what others check with, 64 hexadecimal digits."""

    public: str
    private: _Private

    def sign(self, data: bytes) -> str:
        """The signature of `data`, base64."""
        return base64.b64encode(self.private.sign(data)).decode()


def open_signer(path: Path) -> Signer:
    """The key in a file, made on first use (mode 0600). Raises `KeyFileError`, also without cryptography."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415
    except ImportError as error:
        raise KeyFileError(_NO_LIBRARY) from error
    private = Ed25519PrivateKey.from_private_bytes(read_or_make_secret(path.expanduser()))
    return Signer(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(), private)


def is_signed(data: bytes, public: str, signature: str) -> bool:
    """Whether `signature` (base64) is that of `data` by the key `public`.

    Raises `KeyFileError` without cryptography.
    """
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError as error:
        raise KeyFileError(_NO_LIBRARY) from error
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(base64.b64decode(signature, validate=True), data)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


_NO_LIBRARY = "signing takes the cryptography package, which is not installed; pip install 'edge-alpr[seal]'"
