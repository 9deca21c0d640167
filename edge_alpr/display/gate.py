"""Who may ask the page's server for what. Every request passes here.

It must name this host (so that no foreign name can be pointed here), come from this page or be typed in, and, where
there is a password, hold a session. A change must be JSON sent by this page.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_alpr.display.secret import Password

LOGIN = "/login"
OPEN_PATHS = frozenset({LOGIN, "/favicon.svg", "/theme.js", "/display.css", "/login.js"})
"""What is served before anybody has said the password: nothing of any drive."""
_MOST_SESSIONS = 32
_FREE_TRIES, _PAUSE_S = 5, 1.0
"""So many wrong passwords at once, then one each so many seconds."""
_METHODS = ("GET", "HEAD", "POST")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class Sessions:
    """Who has said the password: random cookies, in memory only. A token opens one session, once."""

    def __init__(self, password: Password | None, port: int) -> None:
        self.password = password
        self.cookie = f"edge-alpr-{port}"
        self._held: deque[str] = deque(maxlen=_MOST_SESSIONS)
        self._tokens: deque[str] = deque(maxlen=4)
        self._tries: deque[float] = deque(maxlen=_FREE_TRIES)

    def token(self) -> str:
        """A token for an address that is opened on this machine."""
        self._tokens.append(secrets.token_urlsafe(32))
        return self._tokens[-1]

    def exchange(self, offered: str) -> str | None:
        """A session for a token, which is then used up; None for a wrong one."""
        for token in tuple(self._tokens):
            if secrets.compare_digest(token.encode(), offered.encode("utf-8", "replace")):
                self._tokens.remove(token)
                return self._open()
        return None

    def may_try(self) -> bool:
        """Whether a password is looked at now; each call counts as a try until it is found right."""
        now = time.monotonic()
        if len(self._tries) == _FREE_TRIES and now - self._tries[-1] < _PAUSE_S:
            return False
        self._tries.append(now)
        return True

    def log_in(self, offered: str) -> str | None:
        """A session for the password; None for a wrong one. Takes about 50 ms."""
        if self.password is None or not self.password.is_it(offered):
            return None
        self._tries.clear()
        return self._open()

    def holds(self, request: Request) -> bool:
        """Whether a request is of somebody who may see plates."""
        if self.password is None:
            return True
        cookie = request.cookies.get(self.cookie, "").encode("utf-8", "replace")
        return any([secrets.compare_digest(cookie, held.encode()) for held in self._held])

    def _open(self) -> str:
        self._held.append(secrets.token_urlsafe(32))
        return self._held[-1]


class Gate:
    """The middleware around all handlers."""

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: Iterable[str]) -> None:
        """`hosts` are the values of `Host` that are served."""
        self._app, self._sessions, self._hosts = app, sessions, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        answer = self._answer(Request(scope))
        await (answer or self._app)(scope, receive, headed)

    def _answer(self, request: Request) -> Response | None:
        """What is said instead of the page; None lets the request through."""
        if request.headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("this name is not served; add it to [display] names", 403)
        if request.method not in _METHODS:
            return PlainTextResponse("there is nothing to do that with", 405, {"allow": ", ".join(_METHODS)})
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("other pages have no business here", 403)
        if request.method == "POST" and not _is_ours(request):
            return PlainTextResponse("changes are taken from this page only", 403)
        if request.url.path == "/" and "token" in request.query_params:
            return self._exchange(request.query_params["token"])
        return None if self._sessions.holds(request) or request.url.path in OPEN_PATHS else _unknown(request)

    def _exchange(self, offered: str) -> Response:
        session = self._sessions.exchange(offered)
        answer = RedirectResponse("/" if session else LOGIN, 303)
        if session:
            keep(answer, self._sessions.cookie, session)
        return answer


def keep(answer: Response, cookie: str, session: str) -> None:
    """Have the browser hold a session."""
    answer.set_cookie(cookie, session, httponly=True, samesite="strict")


def _unknown(request: Request) -> Response:
    if request.url.path == "/":
        return RedirectResponse(LOGIN, 303)
    return PlainTextResponse("say the password first", 401)


def _is_ours(request: Request) -> bool:
    plain = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    return plain and request.headers.get("origin", "").lower() == f"http://{request.headers['host'].lower()}"
