"""HTTP as the car speaks it: one GET at a time, patient but not for ever, never sent elsewhere."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, IncompleteRead
from urllib3.response import BaseHTTPResponse

from edge_alpr import __version__
from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateUnreachableError
from edge_alpr.ota.fetch_pace import Link, Pace

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_THERE = frozenset({403, 404})
_PAGE_BYTES = 65536


class Http:
    """The servers of one `Link`, for one thread. Set `stop` to end what runs. Raises `UpdateError` for a wrong link."""

    def __init__(self, link: Link, stop: threading.Event | None = None) -> None:
        self.link = link
        self.stop = stop or threading.Event()
        context = _context(link.ca_file) if _scheme(link.url) == "https" else None
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=1, retries=False, ssl_context=context)
        self._pool.pool_classes_by_scheme = {"http": _pool(_Plain, link), "https": _pool(_Secure, link)}

    @contextmanager
    def get(self, url: str, begin: int = 0) -> Iterator[BaseHTTPResponse]:
        """The answer, its body not read yet; from byte `begin` on if the server can.

        Raises `UpdateRefusedError` for a redirect, `UpdateUnreachableError` for what may be well later.
        """
        headers = {"User-Agent": f"edge-alpr/{__version__}", "Accept-Encoding": "identity"}
        if begin:
            headers["Range"] = f"bytes={begin}-"
        timeout = urllib3.Timeout(connect=self.link.connect_s, read=self.link.silence_s)
        with unreachable(url):
            answer = self._pool.request(
                "GET", url, headers=headers, timeout=timeout, redirect=False, preload_content=False
            )
        try:
            _judge(url, answer)
            yield answer
        finally:
            answer.close()  # with the connection, where something is left unread: no next answer must begin with it

    def body(self, url: str, answer: BaseHTTPResponse) -> Iterator[bytes]:
        """The body, as it comes. Raises `UpdateUnreachableError` where it stops, or comes too slowly."""
        pace = Pace(self.link, self.stop.wait)
        left = content_length(answer)
        while left != 0:
            with unreachable(url):
                data = answer.read1(self.link.chunk_bytes, decode_content=False)
            if not data:
                break
            left = None if left is None else left - len(data)
            yield data
            pace.took(len(data))
        if left:
            raise _early(url, left)


class MetadataFetcher(FetcherInterface):
    """What ngclient fetches by; it sees to the lengths itself."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._answer: BaseHTTPResponse | None = None
        self.last = ""
        """The file that was asked for last, to tell of errors."""

    def hang_up(self) -> None:
        """Let go of an answer that ngclient did not read to its end."""
        if self._answer is not None:
            self._answer.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.last = url.rpartition("/")[2]
        with self._http.get(url) as answer:
            self._answer = answer
            if answer.status in _NOT_THERE:  # for ngclient that is the end of the chain of roots
                with unreachable(url):
                    answer.read1(_PAGE_BYTES, decode_content=False)  # read to its end, the connection is used again
                raise DownloadHTTPError(f"HTTP {answer.status}", answer.status)
            yield from self._http.body(url, answer)


@contextmanager
def unreachable(url: str) -> Iterator[None]:
    """Raise what urllib3 raises as `UpdateUnreachableError`."""
    try:
        yield
    except HTTPError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, IncompleteRead):
            raise _early(url, cause.expected) from error
        raise UpdateUnreachableError(f"{url}: {str(cause) or type(cause).__name__}; try again later") from error


def content_range(answer: BaseHTTPResponse) -> tuple[int, int | None] | None:
    """(first byte, length in all, where told) of a partial answer; None where it does not say."""
    found = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", answer.headers.get("Content-Range", ""))
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def content_length(answer: BaseHTTPResponse) -> int | None:
    """What an answer says of its body's length in bytes, if it does."""
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,15}", text) else None


def _early(url: str, missing: int | None) -> UpdateUnreachableError:
    return UpdateUnreachableError(f"{url}: the connection ended {missing} bytes early; try again later")


def _judge(url: str, answer: BaseHTTPResponse) -> None:
    """Nothing for what the callers handle."""
    if answer.status in _REDIRECTS:
        to = answer.headers.get("Location", "")[:200]
        raise UpdateRefusedError(f"{url} redirects to {to!r}: that is never followed; mend url in [update]")
    if answer.status not in {200, 206, 416, *_NOT_THERE}:
        raise UpdateUnreachableError(f"{url}: the server answers HTTP {answer.status}; try again later")


def _scheme(url: str) -> str:
    """`https`, or `http` on loopback. Raises `UpdateError` for anything else."""
    try:
        parts = urllib3.util.parse_url(url)
        host = (parts.host or "").strip("[]")
        local = host == "localhost" or (bool(re.match(r"[\d:]", host)) and ip_address(host).is_loopback)
    except (ValueError, HTTPError) as error:
        raise UpdateError(f"url {url!r}: {error}; mend it in [update]") from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise UpdateError(f"url {url!r}: it must be https://HOST/…; mend it in [update]")
    return str(parts.scheme)


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise UpdateError(f"ca_file {ca_file}: {error}; mend it in [update]") from error


class _Plain(HTTPConnection):
    answer_s = 0.0

    def getresponse(self) -> Any:
        with _hang_up_after(self.answer_s, self.sock):
            return super().getresponse()


class _Secure(HTTPSConnection):
    answer_s = 0.0

    def getresponse(self) -> Any:
        with _hang_up_after(self.answer_s, self.sock):
            return super().getresponse()


def _pool(kind: type[_Plain | _Secure], link: Link) -> Any:
    """A pool class whose connections are patient as the link says."""
    base = urllib3.HTTPSConnectionPool if kind is _Secure else urllib3.HTTPConnectionPool
    connection = type(kind.__name__, (kind,), {"answer_s": link.answer_s})
    return type("Pool", (base,), {"ConnectionCls": connection})


@contextmanager
def _hang_up_after(seconds: float, line: Any) -> Iterator[None]:
    """A read timeout starts anew with each byte: a head that drips would never end."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):  # it may have ended just now
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():  # a head that was cut off may also look whole
            raise TimeoutError(f"no whole answer within {seconds:g} s")
