"""Whether a release's folder is whole, and the one that was signed."""

from __future__ import annotations

from pathlib import Path

from release_tool.make import PUBLIC
from release_tool.sbom import check_sbom
from release_tool.signing import SignatureError, load_public_key, verify
from release_tool.sums import SIGNATURE, SUMS, parse_sums, sha256_of
from release_tool.tree import ReleaseError

_UNLISTED = {SUMS, SIGNATURE, PUBLIC}


def check(folder: Path, key: Path | None) -> int:
    """Check it, against a public key unless that is None; the number of files in it.

    Raises:
        ReleaseError: a file is missing, changed or too many, or the signature does not hold.
    """
    try:
        content = (folder / SUMS).read_bytes()
        if key is not None:
            verify(load_public_key(key), content, (folder / SIGNATURE).read_bytes())
        listed = parse_sums(content.decode("utf-8", "replace"))
        there = {path.name for path in folder.iterdir()} - _UNLISTED
    except SignatureError as error:
        raise ReleaseError(f"the signature of {folder / SUMS} does not hold: {error}") from error
    except OSError as error:
        raise ReleaseError(f"{folder} is no signed release: {error.filename}: {error.strerror}") from error
    wrong = [f"{name} is missing" for name in sorted(listed.keys() - there)]
    wrong += [f"{name} is in no sum" for name in sorted(there - listed.keys())]
    both = sorted(listed.keys() & there)
    wrong += [f"{name} was changed" for name in both if sha256_of(folder / name) != listed[name]]
    if wrong or not listed:
        raise ReleaseError(f"{'; '.join(wrong) or f'{SUMS} lists nothing'}; copy the release again")
    for path in folder.glob("*.cdx.json"):
        check_sbom(path.read_text(encoding="utf-8"), path.name)
    return len(listed)
