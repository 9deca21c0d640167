"""One POST to one server. Redirects are not followed: what is signed for one server is not for another."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.filepost import encode_multipart_formdata

from edge_alpr import __version__
from edge_alpr.config import WebhookConfig
from edge_alpr.errors import LinkError
from edge_alpr.types import Event
from edge_alpr.uplink.outgoing import idempotency_key
from edge_alpr.uplink.shapes import DIALECTS
from edge_alpr.uplink.signing import read_secret, signed_headers, signing_key

_LONGEST_WAIT_S = 3600.0
_TRY_AGAIN = frozenset({401, 403, 407, 408, 421, 425, 429})
"""Of 4xx, those that somebody can mend while the event waits: a wrong token, too many calls."""
_JSON = "application/json"


class RefusedError(Exception):
    """The server will not take this event, however often it is sent."""


class LaterError(Exception):
    """The server does not take it now. `after_s`: when it wants to be asked again, if it said so."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Letter:
    """What is posted: `key` is the same for every try of the same thing."""

    key: str
    body: bytes
    content_type: str


class Webhook:
    """A server. Keeps its connection; for one thread. Raises `LinkError` where a file is missing or wrong."""

    def __init__(self, config: WebhookConfig) -> None:
        where = f"webhook {config.name}"
        self._config = config
        self._key = signing_key(read_secret(config.secret_file, where)) if config.secret_file else None
        self._headers = {"User-Agent": f"edge-alpr/{__version__}"}
        if config.token_file:
            self._headers["Authorization"] = f"Bearer {read_secret(config.token_file, where)}"
        try:
            context = ssl.create_default_context(cafile=config.ca_file or None)
        except OSError as error:
            raise LinkError(f"{where}: ca_file {config.ca_file}: {error}") from error
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context, retries=False)

    def post(self, letter: Letter) -> None:
        """Post it once. Raises `LaterError` or `RefusedError` unless the server says 2xx."""
        headers = {**self._headers, "Content-Type": letter.content_type, "Idempotency-Key": letter.key}
        if self._key is not None:
            headers |= signed_headers(self._key, letter.key, int(time.time()), letter.body)
        url, timeout = self._config.url, self._config.timeout_s
        try:
            answer = self._pool.request("POST", url, body=letter.body, headers=headers, timeout=timeout, redirect=False)
        except HTTPError as error:
            raise LaterError(_reason(error)) from error
        judge(answer.status, answer.headers.get("Retry-After", ""))

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()


def judge(status: int, retry_after: str) -> None:
    """Nothing for 2xx; raises `RefusedError` for what asking again cannot mend, else `LaterError`."""
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        raise RefusedError(f"HTTP {status}")
    raise LaterError(f"HTTP {status}", wanted_pause_s(retry_after))


def wanted_pause_s(retry_after: str) -> float | None:
    """The seconds that a `Retry-After` asks for, as seconds or a date; at most an hour."""
    if not retry_after:
        return None
    try:
        return min(urllib3.Retry().parse_retry_after(retry_after), _LONGEST_WAIT_S)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def letter_of(event: Event, config: WebhookConfig, picture: Callable[[str], bytes]) -> Letter:
    """The event as this server wants it. `picture` gives a picture by its name, empty where it is gone."""
    key, body = idempotency_key(event), DIALECTS[config.shape].encode(event)
    names = [name for name in (event.images.plate, event.images.frame) if name] if config.pictures else []
    found = [(name, content) for name in names if (content := picture(name))]
    if not found:
        return Letter(key, body, _JSON)
    return Letter(key, *_form(config, body, found))


def heartbeat_letter(beat: dict[str, object]) -> Letter:
    """A heartbeat, as JSON; `data_type` tells it from an event."""
    key = f"{beat.get('device_id', '')}-heartbeat-{beat.get('sent', '')}"
    return Letter(key, msgspec.json.encode({"data_type": "heartbeat", **beat}), _JSON)


def _form(config: WebhookConfig, body: bytes, pictures: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """multipart/form-data: the field `json`, then the pictures; Plate Recognizer has one, `upload`."""
    fields: list[tuple[str, str | tuple[str, bytes, str]]] = [("json", body.decode())]
    for name, content in pictures:
        part = "frame" if name.rpartition(".")[0].endswith("_frame") else "plate"
        if config.shape != "platerecognizer":
            fields.append((part, (name.rpartition("/")[2], content, "image/jpeg")))
        elif part == "frame":
            fields.append(("upload", (name.rpartition("/")[2], content, "image/jpeg")))
    return encode_multipart_formdata(fields)


def _reason(error: HTTPError) -> str:
    """The innermost cause: urllib3 wraps what the system said, with the address, which may hold a secret."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return type(cause).__name__ if isinstance(cause, HTTPError) else str(cause)
