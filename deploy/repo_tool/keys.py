"""Private keys: made, found and lent to what signs. None ever lies in the folder that is served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.exceptions import Error as SslibError
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from deploy.repo_tool import tokens
from deploy.repo_tool.errors import KeyUnreachableError, RepoError
from deploy.repo_tool.secret_words import Secrets
from deploy.repo_tool.settings import DIRECTOR, IMAGE, Fleet, KeySpec

SCHEME = "file:"
ROOTS, ROOT_THRESHOLD = 3, 2
ROLES = ("root", "targets", "snapshot", "timestamp")
NAMES = tuple(
    f"{repository}-{role}"
    for repository in (IMAGE, DIRECTOR)
    for role in (*(f"root-{n + 1}" for n in range(ROOTS)), *ROLES[1:])
)
"""Of all keys. The two repositories share none: metadata does not say of which repository it is."""


def is_online(name: str) -> bool:
    """Whether a key has to be where `refresh` and `watch` run; all others belong on a stick or a token in a safe."""
    return name == f"{DIRECTOR}-targets" or name.endswith(("-snapshot", "-timestamp"))


def place_of(name: str) -> tuple[str, str]:
    """`image-root-2` -> (`image`, `root`). Raises `RepoError` for an unknown name."""
    if name not in NAMES:
        raise RepoError(f"no key is called '{name}'; there are {', '.join(NAMES)}")
    repository, role = name.split("-")[:2]
    return repository, role


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of `fleet.toml`, as far as they are here."""

    fleet: Fleet
    keys: dict[str, KeySpec]
    secrets: Secrets

    def adopt(self, name: str, uri: str, secret: Path | None = None) -> tuple[KeySpec, SSlibKey]:
        """Take a key that is there: on a token, or in a PEM file; a file that is not there yet is made.

        `secret` is the file to note as that of its passphrase or PIN.
        """
        if uri.startswith(tokens.SCHEME):
            public = tokens.public_of(uri, lambda: self.secrets.get(name, secret))
            return KeySpec(public.keyid, uri, self._relative(secret) if secret else ""), public
        path = self._path(uri)
        self._refuse_served(path)
        if path.exists():
            public = CryptoSigner(_open_pem(path, self.secrets.get(name, secret))).public_key
        else:
            public = self._make(name, path, secret)
        return KeySpec(public.keyid, SCHEME + self._relative(path), self._relative(secret) if secret else ""), public

    def name_of(self, keyid: str) -> str:
        """As `fleet.toml` calls it; its number where that does not."""
        return next((name for name, key in self.keys.items() if key.id == keyid), keyid)

    def signer(self, public: Key) -> Signer:
        """Raises `KeyUnreachableError` where the private half is not here, `RepoError` where it does not open."""
        name = self.name_of(public.keyid)
        if name not in self.keys:
            raise KeyUnreachableError(f"key {name} is not in fleet.toml")
        spec = self.keys[name]
        file = self.fleet.folder / spec.secret if spec.secret else None
        if spec.uri.startswith(tokens.SCHEME):
            return tokens.signer_of(spec.uri, public, lambda: self.secrets.get(name, file))
        path = self._path(spec.uri)
        self._refuse_served(path)
        if not path.exists():
            raise KeyUnreachableError(f"{name}: not here ({path})")
        try:
            return CryptoSigner(_open_pem(path, self.secrets.get(name, file)), _sslib(public))
        except (SslibError, ValueError) as error:
            raise RepoError(f"{path}: not the key that the root metadata knows as {name}") from error

    def _make(self, name: str, path: Path, secret: Path | None) -> SSlibKey:
        """An Ed25519 key in an encrypted PEM file."""
        word = self.secrets.get(name, secret, twice=True)
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(word.encode()))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise RepoError(f"{path}: the key cannot be written: {error.strerror}") from error
        return SSlibKey.from_crypto(private.public_key())

    def _path(self, uri: str) -> Path:
        if not uri.startswith(SCHEME):
            raise RepoError(f"'{uri}' is neither {SCHEME}PATH nor {tokens.SCHEME}…")
        return self.fleet.folder / Path(uri.removeprefix(SCHEME)).expanduser()

    def _relative(self, path: Path) -> str:
        """To the folder where it is within, so that the folder can be carried elsewhere."""
        resolved, folder = path.resolve(), self.fleet.folder.resolve()
        return str(resolved.relative_to(folder) if resolved.is_relative_to(folder) else resolved)

    def _refuse_served(self, path: Path) -> None:
        if path.resolve().is_relative_to(self.fleet.public.resolve()):
            raise RepoError(f"{path}: a private key in the folder that is served; move it out, and rotate it")


def _sslib(public: Key) -> SSlibKey:
    if not isinstance(public, SSlibKey):
        raise RepoError("the root metadata names a key of a kind that is unknown here")
    return public


def _open_pem(path: Path, word: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), word.encode())
    except TypeError as error:  # not encrypted
        raise RepoError(f"{path}: not encrypted; openssl pkcs8 -topk8 -in {path.name} -out NEW.pem") from error
    except (OSError, ValueError) as error:
        raise RepoError(f"{path}: wrong passphrase, or no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RepoError(f"{path}: not an Ed25519 key; only tokens hold others")
    return key
