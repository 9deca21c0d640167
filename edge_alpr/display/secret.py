"""A password kept as its scrypt hash, in one line for the configuration file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from edge_alpr.errors import ConfigError

_N, _R, _P = 1 << 14, 8, 1
MOST_BYTES = 1024


def hash_password(password: str) -> str:
    """The line for `[display] password`: `scrypt$N$r$p$salt$hash`. Takes about 50 ms."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, (_N, _R, _P), 32)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(digest)}"


class Password:
    """A password that can be compared with, in constant time."""

    def __init__(self, line: str) -> None:
        """Raises `ConfigError` where the line is no hash."""
        try:
            kind, n, r, p, salt, digest = line.split("$")
            self._cost = int(n), int(r), int(p)
            self._salt, self._digest = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
            sound = kind == "scrypt" and len(self._salt) >= 8 and len(self._digest) >= 16
            _scrypt("", self._salt, self._cost, 16)
        except (ValueError, binascii.Error, MemoryError, OverflowError) as error:
            raise ConfigError(f"display.password: {_HELP}") from error
        if not sound:
            raise ConfigError(f"display.password: {_HELP}")

    def is_it(self, offered: str) -> bool:
        """Whether `offered` is the password. Takes as long as hashing it."""
        if len(offered.encode("utf-8", "replace")) > MOST_BYTES:
            return False
        return hmac.compare_digest(_scrypt(offered, self._salt, self._cost, len(self._digest)), self._digest)


_HELP = "is no hash of a password; make one: edge-alpr display --hash-password"


def _scrypt(password: str, salt: bytes, cost: tuple[int, int, int], length: int) -> bytes:
    n, r, p = cost
    raw = password.encode("utf-8", "replace")
    return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=128 << 20)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
