"""An ECDSA P-256 key on a PKCS#11 token, named by a URI (RFC 7512); the PIN comes from a file or is asked for."""

from __future__ import annotations

import getpass
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import PyKCS11
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from release_tool.signing import PublicKey, SignatureError


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a URI names: `pkcs11:token=release;object=signing?module-path=/usr/lib/…so&pin-source=/run/pin`."""

    token: str
    label: str
    module: str
    pin_source: str = ""


def parse_uri(uri: str) -> TokenKey:
    """The key that a URI names.

    Raises:
        SignatureError: it does not name token and object, holds the PIN, or no module is known.
    """
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    said = dict(part.split("=", 1) for part in [*path.split(";"), *query.split("&")] if "=" in part)
    named = {name: unquote(value) for name, value in said.items()}
    if "pin-value" in named:
        raise SignatureError("pin-value would show the PIN to all who list processes; write pin-source=file:FILE")
    module = named.get("module-path") or os.environ.get("PKCS11_MODULE_PATH", "")
    missing = [name for name in ("token", "object") if not named.get(name)]
    if missing or not module:
        lacks = ", ".join([*missing, *([] if module else ["module-path (or PKCS11_MODULE_PATH)"])])
        raise SignatureError(f"{uri} lacks {lacks}; write pkcs11:token=NAME;object=LABEL?module-path=FILE.so")
    return TokenKey(named["token"], named["object"], module, named.get("pin-source", "").removeprefix("file:"))


class TokenSigner:
    """Signs on the token; the private key never leaves it."""

    def __init__(self, uri: str) -> None:
        self._key = parse_uri(uri)
        try:
            self._session = self._open()
            self._private = self._find(PyKCS11.CKO_PRIVATE_KEY)
            self._public = self._point(self._find(PyKCS11.CKO_PUBLIC_KEY))
        except PyKCS11.PyKCS11Error as error:
            raise SignatureError(f"the token {self._key.token!r} cannot be used: {error}") from error

    def _open(self) -> Any:
        library = PyKCS11.PyKCS11Lib()
        library.load(self._key.module)
        for slot in library.getSlotList(tokenPresent=True):
            if library.getTokenInfo(slot).label.strip() == self._key.token:
                session = library.openSession(slot, PyKCS11.CKF_SERIAL_SESSION)
                session.login(self._pin())
                return session
        raise SignatureError(f"no token {self._key.token!r} is plugged in, as {self._key.module} sees it")

    def _pin(self) -> str:
        if not self._key.pin_source:
            return getpass.getpass(f"PIN of the token {self._key.token}: ")
        path = Path(self._key.pin_source)
        try:
            if path.stat().st_mode & 0o077:
                raise SignatureError(f"others may read the PIN's file {path}: chmod 600 {path}")
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SignatureError(f"the PIN's file {self._key.pin_source}: {error.strerror}") from error

    def _find(self, kind: int) -> Any:
        wanted = [(PyKCS11.CKA_CLASS, kind), (PyKCS11.CKA_LABEL, self._key.label)]
        found = self._session.findObjects(wanted)
        if len(found) != 1:
            raise SignatureError(f"the token {self._key.token!r} holds {len(found)} keys {self._key.label!r} of a kind")
        return found[0]

    def _point(self, public: Any) -> EllipticCurvePublicKey:
        """The token gives an OCTET STRING with the uncompressed point of P-256."""
        (value,) = self._session.getAttributeValue(public, [PyKCS11.CKA_EC_POINT])
        try:
            return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes(value)[-65:])
        except ValueError as error:
            raise SignatureError(f"the key {self._key.label!r} is not of ECDSA P-256") from error

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return self._public

    def sign(self, content: bytes) -> bytes:
        """DER of ECDSA with SHA-256."""
        digest = hashlib.sha256(content).digest()
        try:
            raw = bytes(self._session.sign(self._private, digest, PyKCS11.Mechanism(PyKCS11.CKM_ECDSA)))
        except PyKCS11.PyKCS11Error as error:
            raise SignatureError(f"the token {self._key.token!r} did not sign: {error}") from error
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
