"""Signatures over SHA256SUMS: Ed25519 keys in files, ECDSA P-256 keys on a PKCS#11 token.

Anyone can check one without this tool (docs/release.md has the command of openssl).
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge_alpr.errors import EdgeAlprError

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


class SignatureError(EdgeAlprError):
    """A key cannot be used, or a signature does not hold."""


class Signer(Protocol):
    """A private key, wherever it lives."""

    @property
    def public(self) -> PublicKey:
        """Its public half."""

    def sign(self, content: bytes) -> bytes:
        """The signature: 64 bytes of Ed25519, or DER of ECDSA with SHA-256."""


class FileSigner:
    """An Ed25519 key in a PEM file that only its owner may read."""

    def __init__(self, path: Path, passphrase: bytes | None = None) -> None:
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise SignatureError(f"others may read the key {path}; chmod 600 {path}, and think about who did")
            key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
        except OSError as error:
            raise SignatureError(f"the key {path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SignatureError(f"{path} is no PEM key that this passphrase opens: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SignatureError(f"{path} is no Ed25519 key; make one: openssl genpkey -algorithm ed25519 -out {path}")
        self._key = key

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return self._key.public_key()

    def sign(self, content: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(content)


def load_public_key(path: Path) -> PublicKey:
    """A public key from a PEM file.

    Raises:
        SignatureError: it is none that signs releases.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SignatureError(f"the key {path} cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no public key in PEM") from error
    if isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        return key
    raise SignatureError(f"{path} is neither an Ed25519 nor an ECDSA key")


def pem_of(key: PublicKey) -> bytes:
    """The key as a PEM file."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def verify(key: PublicKey, content: bytes, signature: bytes) -> None:
    """Whether `key` signed `content`.

    Raises:
        SignatureError: it did not.
    """
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, content)
        else:
            key.verify(signature, content, ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise SignatureError("it is of another key, or what it signed was changed") from error
