"""Signed lists: an Ed25519 signature of a list's bytes, in a file beside it (`NAME.csv.sig`, base64).

Keys are PEM files as OpenSSL makes them; who may sign is who has a `.pub` in the folder of keys.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_alpr.errors import HotListError, UnsignedListError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".sig"
PUBLIC, PRIVATE = ".pub", ".key"
_HINT = "the cryptography package is not installed: pip install 'edge-alpr[hotlists]'"


def signature_path(path: Path) -> Path:
    """Where the signature of a list lies."""
    return path.with_name(path.name + SUFFIX)


def verify(data: bytes, path: Path, keys: Path) -> str:
    """The name of the key that signed a list. Raises `UnsignedListError` where none did, `HotListError` for no keys."""
    try:
        signature = signature_path(path).read_bytes()
    except OSError as error:
        raise UnsignedListError(f"{path}: not signed; edge-alpr hotlist sign {path} --key FILE{PRIVATE}") from error
    return verify_signature(data, signature, path, keys)


def verify_signature(data: bytes, signature: bytes, path: Path, keys: Path) -> str:
    """The same with the signature at hand; `path` is only named."""
    try:
        plain = base64.b64decode(signature.strip(), validate=True)
    except binascii.Error as error:
        raise UnsignedListError(f"{signature_path(path)}: no signature (in base64); sign the list anew") from error
    for name, key in _public_keys(keys):
        if _signed(key, plain, data):
            return name
    raise UnsignedListError(f"{path}: changed since it was signed, or signed with a key that is not in {keys}")


def _signed(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _public_keys(folder: Path) -> Sequence[tuple[str, Ed25519PublicKey]]:
    """The keys of a folder by the names of their files. Raises `HotListError` where there is none, or a broken one."""
    keys = [(path.stem, _public_key(path)) for path in sorted(folder.expanduser().glob(f"*{PUBLIC}"))]
    if not keys:
        raise HotListError(f"hotlists.keys: no key (*{PUBLIC}) in '{folder}'; make one: edge-alpr hotlist keygen")
    return keys


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    except ImportError as error:
        raise HotListError(_HINT) from error
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise HotListError(f"{path}: no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise HotListError(f"{path}: not an Ed25519 key; edge-alpr hotlist keygen makes one")
    return key


def sign(data: bytes, key: Path) -> bytes:
    """The signature of a list as it lies beside it. Raises `HotListError` where there is no such key."""
    return base64.b64encode(_private_key(key).sign(data)) + b"\n"


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as error:
        raise HotListError(_HINT) from error
    try:
        key = load_pem_private_key(path.expanduser().read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HotListError(f"{path}: no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise HotListError(f"{path}: not an Ed25519 key; edge-alpr hotlist keygen makes one")
    return key


def make_keys(name: Path) -> tuple[Path, Path]:
    """A new pair, `NAME.key` (mode 0600) and `NAME.pub`. Raises `HotListError`, also where one is there already."""
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    except ImportError as error:
        raise HotListError(_HINT) from error
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = name.with_name(name.name + PRIVATE), name.with_name(name.name + PUBLIC)
    for path, data, mode in ((paths[0], private, 0o600), (paths[1], public, 0o644)):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise HotListError(f"{path}: cannot be made: {error.strerror}") from error
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    return paths
