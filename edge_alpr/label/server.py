"""The page's server: this machine only, one browser, no address outside it.

The address that is printed holds a token that works once: it is exchanged for a cookie. Every request must name this
host (so no foreign name can be pointed here), every change must come from this page (`Origin`, JSON only).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_alpr.app import Models
from edge_alpr.errors import EdgeAlprError, LabelError
from edge_alpr.label.marks import Said
from edge_alpr.label.pictures import guesses, read_again, upright
from edge_alpr.label.session import Session

HOST = "127.0.0.1"
_MOST_BYTES = 64 << 10
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/label.js": ("label.js", "text/javascript; charset=utf-8"),
    "/label.css": ("label.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Lets in who holds the token, once, and then who holds the cookie that it was exchanged for."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token: str | None = token
        self._cookie = secrets.token_urlsafe(32)
        self._cookie_name = f"edge-alpr-label-{port}"
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        answer = self._answer(Request(scope))
        await (answer or self._app)(scope, receive, guarded)

    def _answer(self, request: Request) -> Response | None:
        """What is said instead of the page; None lets the request through."""
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("this address is not served", 403)
        offered = request.query_params.get("token")
        if offered is not None and request.url.path == "/" and request.method == "GET":
            return self._exchange(offered)
        cookie = request.cookies.get(self._cookie_name, "")
        if not secrets.compare_digest(cookie.encode(), self._cookie.encode()):
            return PlainTextResponse("open the address that edge-alpr label printed; it works once", 403)
        if request.method != "GET" and not _is_ours(request, host):
            return PlainTextResponse("changes are taken from this page only", 403)
        return None

    def _exchange(self, offered: str) -> Response:
        if self._token is None or not secrets.compare_digest(offered.encode(), self._token.encode()):
            return PlainTextResponse("this address was used, or is wrong; start edge-alpr label again", 403)
        self._token = None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="strict")
        return answer


def _is_ours(request: Request, host: str) -> bool:
    plain = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    return plain and request.headers.get("origin") == f"http://{host}"


class Page:
    """The handlers. There is one person: but for the reader's guesses they run one after the other."""

    def __init__(self, session: Session, open_models: Callable[[], Models]) -> None:
        self._session = session
        self._open_models = open_models
        self._reading = asyncio.Lock()

    async def file(self, request: Request) -> Response:
        """One of the three files of the page."""
        name, kind = _FILES[request.url.path]
        return Response((resources.files("edge_alpr.label") / "page" / name).read_bytes(), media_type=kind)

    async def nothing(self, request: Request) -> Response:
        """Browsers ask for an icon."""
        return Response(status_code=204)

    async def items(self, request: Request) -> Response:
        """All pictures, and how far each is."""
        session = self._session
        items = [_brief(session.marked(index)) for index in range(len(session.pictures.names))]
        return _json({"items": items, "undo": session.can_undo, "out": str(session.out)})

    async def item(self, request: Request) -> Response:
        """One picture's marks and guesses."""
        index = self._index(request)
        picture, said = self._session.picture(index), self._session.said(index)
        height, width = picture.image.shape[:2]
        name = Path(self._session.pictures.names[index]).name
        body = {"width": width, "height": height, "name": name, "why": picture.why, "said": said}
        return _json({**body, "guesses": guesses(picture, said.plates)})

    async def say(self, request: Request) -> Response:
        """Take what the person says of one picture."""
        index = self._index(request)
        try:
            said = msgspec.json.decode(await _body(request), type=Said)
        except msgspec.MsgspecError as error:
            raise LabelError(f"the page sent what is no mark: {error}") from error
        self._session.say(index, said)
        return await self.items(request)

    async def undo(self, request: Request) -> Response:
        """Take the last step back."""
        return _json({"index": self._session.undo()})

    async def picture(self, request: Request) -> Response:
        """The whole picture."""
        return _jpeg(self._session.picture(self._index(request)).image)

    async def plate(self, request: Request) -> Response:
        """One plate, upright, as it is marked."""
        index, said = self._index(request), self._session.said(self._index(request))
        return _jpeg(upright(self._session.picture(index).image, said.plates[self._plate(request)].quad))

    async def texts(self, request: Request) -> Response:
        """What the reader makes of one plate as it is marked."""
        index, said = self._index(request), self._session.said(self._index(request))
        picture, quad = self._session.picture(index), said.plates[self._plate(request)].quad
        async with self._reading:  # in a thread: the networks take a moment to load, and the person goes on
            texts = await run_in_threadpool(lambda: read_again(picture, quad, self._open_models()))
        return _json({"texts": texts})

    def _index(self, request: Request) -> int:
        index = int(request.path_params["index"])
        if index >= len(self._session.pictures.names):
            raise LabelError("there is no such picture; load the page again")
        return index

    def _plate(self, request: Request) -> int:
        plate = int(request.path_params["plate"])
        if plate >= len(self._session.said(self._index(request)).plates):
            raise LabelError("there is no such plate; load the page again")
        return plate


def make_app(session: Session, open_models: Callable[[], Models], token: str, port: int) -> ASGIApp:
    """The whole application; `port` is where it will be served."""
    page = Page(session, open_models)
    routes = [Route(path, page.file) for path in _FILES]
    routes += [
        Route("/favicon.ico", page.nothing),
        Route("/items", page.items),
        Route("/items/{index:int}", page.item, methods=["GET"]),
        Route("/items/{index:int}", page.say, methods=["POST"]),
        Route("/undo", page.undo, methods=["POST"]),
        Route("/items/{index:int}/picture", page.picture),
        Route("/items/{index:int}/plates/{plate:int}", page.plate),
        Route("/items/{index:int}/plates/{plate:int}/texts", page.texts),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {EdgeAlprError: _told, OSError: _told}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token, port)


def serve(session: Session, open_models: Callable[[], Models], port: int, ready: Callable[[str], None]) -> None:
    """Serve on this machine only until interrupted; `ready` hears the address. Port 0: any free one."""
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise LabelError(f"port {port}: {error.strerror}; choose another one with --port") from error
    with listener:
        token, port = secrets.token_urlsafe(32), listener.getsockname()[1]
        app = make_app(session, open_models, token, port)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        ready(f"http://{HOST}:{port}/?token={token}")
        uvicorn.Server(config).run(sockets=[listener])


async def _told(request: Request, error: Exception) -> Response:
    return _json({"error": " ".join(str(error).split())}, 422)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise LabelError("the page sent too much at once")
    return body


def _brief(said: Said | None) -> dict[str, Any]:
    plates = said.plates if said else ()
    return {"boxed": bool(said and said.boxed), "done": bool(said and said.done), "open": _still_open(said, plates)}


def _still_open(said: Said | None, plates: tuple[Any, ...]) -> list[int]:
    """The plates of a picture whose text is to be asked yet."""
    return [number for number, plate in enumerate(plates) if said and said.boxed and not plate.verdict]


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _jpeg(image: Any) -> Response:
    done, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return Response(packed.tobytes() if done else b"", media_type="image/jpeg")
