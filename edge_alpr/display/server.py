"""The page's server: which address is answered by what, and to whom."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_alpr.config import Config
from edge_alpr.display.gate import LOGIN, Gate, Sessions
from edge_alpr.display.handlers import FILES, BadRequestError, Page, failed, refused
from edge_alpr.display.hub import Hub
from edge_alpr.display.watch import Watcher
from edge_alpr.errors import DisplayError, StoreError
from edge_alpr.service import Manager


def make_app(config: Config, runtime: Path, hub: Hub, sessions: Sessions, port: int, manager: Manager) -> ASGIApp:
    """The whole application; `port` is where it will be served, `manager` hears that it is, and that it goes on."""
    page = Page(config, runtime, hub, sessions)
    routes = [Route(path, page.file) for path in FILES]
    routes += [
        Route("/stream", page.stream),
        Route("/live.jpg", page.live),
        Route("/pictures/{uuid}/{kind}", page.picture),
        Route("/history", page.history),
        Route("/marks", page.mark, methods=["POST"]),
        Route("/camera", page.camera, methods=["POST"]),
        Route(LOGIN, page.log_in, methods=["POST"]),
    ]

    @asynccontextmanager
    async def watching(app: Starlette) -> AsyncIterator[None]:
        with Watcher(config, runtime, hub, manager.alive) as page.watcher:
            manager.ready()
            yield
            manager.stopping()

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        StoreError: failed, OSError: failed, BadRequestError: refused,
    }  # fmt: skip
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=watching)
    return Gate(app, sessions, hosts(config, port))


def hosts(config: Config, port: int) -> set[str]:
    """What `Host` may say."""
    names = {"127.0.0.1", "localhost", "[::1]", _bracketed(config.display.host), *map(_bracketed, config.display.names)}
    return {f"{name}:{port}" for name in names} | (names if port == 80 else set())


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


class Server(uvicorn.Server):
    """Ends the streams when it is told to stop: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal to stop."""
        self._hub.close()
        super().handle_exit(sig, frame)


def listen(config: Config, port: int) -> socket.socket:
    """The socket that the page is served on. Raises `DisplayError`."""
    host = config.display.host
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise DisplayError(f"{host} port {port}: {error.strerror}; choose another one with --port") from error


def make_server(app: ASGIApp, hub: Hub) -> Server:
    """Run it with `run(sockets=[...])`; it minds SIGINT and SIGTERM."""
    quiet = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
    )
    return Server(quiet, hub)
