"""The signature of a webhook, by the Standard Webhooks specification 1.0, and secrets in files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from edge_alpr.errors import LinkError

_PREFIX = "whsec_"


def read_secret(name: str, setting: str) -> str:
    """What a file of one line says. Raises `LinkError`, also where others may read the file."""
    path = Path(name).expanduser()
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"{setting}: {path} cannot be read: {error}") from error
    if mode & 0o077:
        raise LinkError(f"{setting}: others may read {path}; chmod 600 {path}")
    if not text or len(text.splitlines()) > 1:
        raise LinkError(f"{setting}: {path} should hold one line, the secret")
    return text


def signing_key(secret: str) -> bytes:
    """The bytes of a secret: `whsec_` and base64, or any text. Raises `LinkError`."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise LinkError(f"a secret with {_PREFIX} goes on in base64: {error}") from error


def signed_headers(key: bytes, message_id: str, now_s: int, body: bytes) -> dict[str, str]:
    """The three headers; `now_s` is the time of this try, seconds since 1970."""
    digest = hmac.new(key, b"%s.%d.%s" % (message_id.encode(), now_s, body), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": str(now_s), "webhook-signature": signature}
