"""The handlers of the page. What reads files runs in a thread, so that the streams never wait."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from edge_alpr.config import Config
from edge_alpr.display.facts import live_picture
from edge_alpr.display.gate import LOGIN, Sessions, keep
from edge_alpr.display.history import Only, look_back
from edge_alpr.display.hub import Hub
from edge_alpr.display.watch import Watcher
from edge_alpr.errors import DisplayError
from edge_alpr.records.marking import mark
from edge_alpr.sinks.marks import Marks, Name
from edge_alpr.sinks.view import StoreView

_MOST_BYTES = 4096
_LAST_SEQ = (1 << 63) - 1
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    LOGIN: ("login.html", "text/html; charset=utf-8"),
    "/display.css": ("display.css", "text/css; charset=utf-8"),
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
       for name in ("theme", "login", "main", "parts", "alerts", "live", "sheet", "history", "status")},
}  # fmt: skip


class Marking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a button says."""

    uuid: str
    name: Name
    set: bool


class Saying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password, said."""

    password: str


class Choosing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose live picture is wanted."""

    camera: str


class Page:
    """The handlers, over what is known (`hub`) and what lies in the store's and the run-time folder."""

    def __init__(self, config: Config, runtime: Path, hub: Hub, sessions: Sessions) -> None:
        self._runtime, self._hub, self._sessions = runtime, hub, sessions
        self._store = config.store
        self._folder = Path(config.store.path).expanduser()
        self._cameras = {source.camera_id for source in config.sources}
        self.watcher: Watcher | None = None

    async def file(self, request: Request) -> Response:
        """One of the files of the page."""
        name, kind = FILES[request.url.path]
        return Response((resources.files("edge_alpr.display") / "page" / name).read_bytes(), media_type=kind)

    async def stream(self, request: Request) -> Response:
        """Everything as it happens: server-sent events."""
        last = request.headers.get("last-event-id", "")
        return StreamingResponse(self._hub.stream(last), media_type="text/event-stream")

    async def live(self, request: Request) -> Response:
        """The newest live picture, and in a header what belongs to it."""
        picture, facts = await run_in_threadpool(live_picture, self._runtime)
        if not picture:
            return Response(status_code=204)  # nothing wrong: a drive may just have ended
        answer = Response(picture, media_type="image/jpeg")
        if facts is not None:
            answer.headers["x-live"] = msgspec.json.encode(facts).decode("ascii", "replace")
        return answer

    async def picture(self, request: Request) -> Response:
        """A picture kept with a passage: `plate` or `frame`."""
        uuid, kind = request.path_params["uuid"], request.path_params["kind"]
        data = await run_in_threadpool(self._picture, uuid, kind) if kind in ("plate", "frame") else b""
        if not data:
            return PlainTextResponse("there is no such picture", 404)
        return Response(data, media_type="image/jpeg")

    async def history(self, request: Request) -> Response:
        """Passages of the past."""
        asked = request.query_params
        only: Only = asked.get("only", "all")  # type: ignore[assignment]
        before = asked.get("before")
        wrong = only not in get_args(Only) or (before is not None and not _is_place(before))
        if wrong or len(asked.get("plate", "")) > 32:
            return _told("only: all, hits or locked; before: a number from 1; plate: at most 32 characters", 400)
        place = None if before is None else int(before)
        return _json(await run_in_threadpool(look_back, self._store, only, asked.get("plate", ""), place))

    async def mark(self, request: Request) -> Response:
        """Set or clear a mark of a passage."""
        said = await _body(request, Marking)
        marks = await run_in_threadpool(self._mark, said)
        return _told("there is no such passage", 404) if marks is None else _json({"marks": marks})

    async def camera(self, request: Request) -> Response:
        """Choose whose live picture is made."""
        chosen = (await _body(request, Choosing)).camera
        if chosen not in self._cameras:
            return _told("there is no such camera", 404)
        if self.watcher is not None:
            self.watcher.camera = chosen
        return _json({})

    async def log_in(self, request: Request) -> Response:
        """Take the password, and give a session for it."""
        said = await _body(request, Saying)
        if not self._sessions.may_try():
            return _told("too many tries; wait a second", 429)
        session = await run_in_threadpool(self._sessions.log_in, said.password)
        if session is None:
            return _told("that is not the password", 403)
        answer = _json({})
        keep(answer, self._sessions.cookie, session)
        return answer

    def _picture(self, uuid: str, kind: str) -> bytes:
        with StoreView(self._folder, self._store) as view:
            names = [getattr(event.images, kind) for event in view.states(uuid)]
            return next((data for name in reversed(names) if name and (data := view.picture(name))), b"")

    def _mark(self, said: Marking) -> list[str] | None:
        with StoreView(self._folder, self._store) as view:
            if not view.states(said.uuid):
                return None
        mark(self._store, said.uuid, said.name, said.set, "screen")
        return [one.name for one in Marks(self._folder).of(said.uuid)]


class BadRequestError(DisplayError):
    """What was sent is not what the page sends."""


async def failed(request: Request, error: Exception) -> Response:
    """The store cannot be read or written now."""
    return _told(" ".join(str(error).split()), 503)


async def refused(request: Request, error: Exception) -> Response:
    """What was sent is wrong."""
    return _told(str(error), 400)


async def _body(request: Request, kind: type[Any]) -> Any:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise BadRequestError("that is too much at once")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequestError(f"that is not what this page sends: {error}") from error


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= _LAST_SEQ


def _told(text: str, code: int) -> Response:
    return _json({"error": text}, code)


def _json(body: object, code: int = 200) -> Response:
    return Response(msgspec.json.encode(body), code, media_type="application/json")
