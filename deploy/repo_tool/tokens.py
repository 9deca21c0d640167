"""Keys on PKCS#11 tokens, named by URIs as RFC 7512 has them. The only file that knows python-pkcs11.

securesystemslib signs with EC keys (P-256, P-384) by their number. It takes the library from `PYKCS11LIB`, so one
process uses tokens of one library.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, unquote_to_bytes

from securesystemslib.signer import HSMSigner, Key, SSlibKey

from deploy.repo_tool.errors import KeyUnreachableError, RepoError

SCHEME = "pkcs11:"
_VARIABLE = "PYKCS11LIB"
_FORM = "pkcs11:token=LABEL;id=%01?module-path=LIBRARY.so"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key on one token."""

    label: str
    number: int
    """CKA_ID of the key."""
    module: str
    """The library; empty: as `PYKCS11LIB` says."""


def parse_uri(uri: str) -> TokenKey:
    """Raises `RepoError` for what is no such URI, and for a PIN within it."""
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    parts = dict(part.partition("=")[::2] for part in path.split(";") if part)
    options = dict(parse_qsl(query))
    if "pin-value" in options:
        raise RepoError(f"a PIN does not belong into a URI; put it into a file, the key's secret ({_FORM})")
    if not uri.startswith(SCHEME) or not parts.get("token") or not parts.get("id"):
        raise RepoError(f"'{uri}' does not name a token and a key on it: {_FORM}")
    number = int.from_bytes(unquote_to_bytes(parts["id"]), "big")
    return TokenKey(unquote(parts["token"]), number, options.get("module-path", ""))


def public_of(uri: str, pin: Callable[[], str]) -> SSlibKey:
    """The public half of a key on a token."""
    key = _reach(uri)
    try:
        return HSMSigner.import_(key.number, key.label, lambda _: pin())[1]
    except Exception as error:  # the library's errors have no common base but Exception
        raise RepoError(f"{uri}: {_words(error)}") from error


def signer_of(uri: str, public: Key, pin: Callable[[], str]) -> HSMSigner:
    """Raises `KeyUnreachableError` where the token is not here."""
    key = _reach(uri)
    if not isinstance(public, SSlibKey):
        raise RepoError(f"{uri}: a key of a kind that no token signs with")
    return HSMSigner(key.number, public, lambda _: pin(), key.label)


def _reach(uri: str) -> TokenKey:
    key = parse_uri(uri)
    try:
        import pkcs11  # noqa: PLC0415  # files do for most
    except ImportError as error:
        raise RepoError("python-pkcs11 is not installed: pip install 'edge-alpr[repo]'") from error
    module = key.module or os.environ.get(_VARIABLE, "")
    if not module:
        raise RepoError(f"{uri}: which library? add ?module-path=LIBRARY.so, or set {_VARIABLE}")
    if not Path(module).exists():
        raise KeyUnreachableError(f"{uri}: no library {module} here")
    os.environ[_VARIABLE] = module
    try:
        pkcs11.lib(module).get_token(token_label=key.label)
    except Exception as error:
        raise KeyUnreachableError(f"{uri}: the token is not here: {_words(error)}") from error
    return key


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
