"""What python-tuf raises, as the errors of this package: which file of which repository, and what is wrong with it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tuf.api import exceptions as tuf
from tuf.api.serialization import DeserializationError

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError

_HOSTILE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What code meets in data that is made to break it."""

# The first row that fits.
_TABLE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[UpdateError], str], ...] = (
    (tuf.DownloadLengthMismatchError, UpdateRefusedError,     "it is longer than it may be (endless data)"),
    (tuf.DownloadHTTPError,           UpdateUnreachableError, "the server does not have it"),
    (tuf.DownloadError,               UpdateUnreachableError, "it cannot be had"),
    (tuf.ExpiredMetadataError,        UpdateRefusedError,     "it has expired: held back, or the clock is wrong"),
    (tuf.UnsignedMetadataError,       UpdateRefusedError,     "too few of the right keys signed it"),
    (tuf.BadVersionNumberError,       UpdateRefusedError,     "its version does not fit: replayed or mixed"),
    (tuf.LengthOrHashMismatchError,   UpdateRefusedError,     "it is not what was signed for: changed or mixed"),
    (DeserializationError,            UpdateRefusedError,     "it is no TUF metadata: damaged or something else"),
    (tuf.RepositoryError,             UpdateRefusedError,     "it does not fit the rest: mixed"),
    (_HOSTILE,                        UpdateRefusedError,     "it is no TUF metadata: damaged or something else"),
)  # fmt: skip


@contextmanager
def translated(side: str, last: Callable[[], str]) -> Iterator[None]:
    """Raise what ngclient raises as an `UpdateError`. `last` names the file at hand."""
    try:
        yield
    except UpdateError as error:
        raise type(error)(f"{side} repository: {error}") from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        kind, way = (UpdateSpaceError, "free some") if full else (UpdateError, "is the data partition well?")
        raise kind(f"{side} repository: its metadata cannot be kept: {error.strerror or error}; {way}") from error
    except Exception as error:
        row = next((row for row in _TABLE if isinstance(error, row[0])), None)
        if row is None:
            raise
        _, refusal, what = row
        way = "nothing is taken" if refusal is UpdateRefusedError else "try again later"
        said = " ".join(str(error).split())[:200]
        raise refusal(f"{side} repository, {last() or 'root.json'}: {what} ({said}); {way}") from error
