"""Signatures: added with the keys that are here, counted against the roots that clients may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from deploy.repo_tool.errors import KeyUnreachableError, RepoError
from deploy.repo_tool.keys import Keyring

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)


def add_signatures(metadata: Metadata[T], roots: Sequence[Root], keyring: Keyring) -> list[str]:
    """Sign with every key that one of the roots lets sign and that is here. Returns why others did not."""
    role, absent = metadata.signed.type, []
    for keyid, key in {keyid: root.keys[keyid] for root in roots for keyid in root.roles[role].keyids}.items():
        if keyid in metadata.signatures:
            continue
        try:
            metadata.sign(keyring.signer(key), append=True)
        except KeyUnreachableError as error:
            absent.append(str(error))
        except UnsignedMetadataError as error:  # the token would not, e.g. a wrong PIN
            cause = error.__cause__
            raise RepoError(f"{keyring.name_of(keyid)}: cannot sign: {type(cause).__name__} {cause}".strip()) from error
    return absent


def is_signed(metadata: Metadata[T], roots: Sequence[Root]) -> bool:
    """Whether a client with any of the roots takes it. New root metadata needs the last root's keys and its own."""
    role, data, signatures = metadata.signed.type, metadata.signed_bytes, metadata.signatures
    return all(root.get_verification_result(role, data, signatures).verified for root in roots)
