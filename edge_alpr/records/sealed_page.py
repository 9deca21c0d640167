"""The signature at the end of an evidence page, and what it proves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_alpr.sinks.signing import Signer, is_signed

_LINE = re.compile(rb"<!-- edge-alpr-signature ed25519 ([0-9a-f]{64}) ([A-Za-z0-9+/=]{88}) -->\n")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a page is as it was signed, by which key, and what is wrong; empty where nothing is."""

    key: str = ""
    problem: str = ""


def signed(page: str, signer: Signer) -> bytes:
    """The page as a file: UTF-8, the signature in its last line."""
    content = page.encode()
    line = f"<!-- edge-alpr-signature ed25519 {signer.public} {signer.sign(content)} -->\n"
    return content + line.encode()


def verdict(file: bytes, trusted: str) -> Verdict:
    """Check a page against the public key `trusted` (hexadecimal). Raises `KeyFileError` without cryptography."""
    at = file.rfind(b"<!-- edge-alpr-signature ")
    found = _LINE.fullmatch(file[at:]) if at >= 0 else None
    if found is None:
        return Verdict(problem="it does not end with a signature: cut off, changed behind it, or no evidence page")
    key, signature = found[1].decode(), found[2].decode()
    if not is_signed(file[:at], key, signature):
        return Verdict(key, "it was changed after it was signed")
    if key != trusted.lower():
        return Verdict(key, f"it is whole, but signed by the key {key}, not by {trusted.lower()}")
    return Verdict(key)
