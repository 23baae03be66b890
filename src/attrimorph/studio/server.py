"""The studio's server: one application of routes, websocket and page, guarded; and the loop that serves it."""

import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from attrimorph.applications.provenance import Signature
from attrimorph.errors import AttrimorphError
from attrimorph.studio.api import Api
from attrimorph.studio.caches import Gone, LRUCache
from attrimorph.studio.faults import fault_of, sentence_of
from attrimorph.studio.guard import Guard, is_loopback
from attrimorph.studio.limits import Limits
from attrimorph.studio.model_store import ModelStore
from attrimorph.studio.render_queue import RenderQueue
from attrimorph.studio.runs import Runs
from attrimorph.studio.runs_api import runs_router
from attrimorph.studio.session import Session
from attrimorph.studio.work import Work
from attrimorph.version import __version__

PAGE = Path(__file__).parent / "static"
PORT = 8710
TRIED = 20


class Ascii(JSONResponse):
    """JSON that any words survive, also those that are no UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


def create_app(
    models: Sequence[str] = ("drawn-faces-64",),
    *,
    device: str = "cpu",
    host: str = "127.0.0.1",
    token: str | None = None,
    label: bool = True,
    signature: Signature | None = None,
    runs: Path | None = None,
    limits: Limits | None = None,
) -> Guard:
    """Return the studio as an ASGI application.

    Args:
        models: run folders, model files or shipped models.
        device: where they run.
        host: that it will listen on.
        token: that every request must carry; needed for a host that others can reach.
        label: whether pictures say that they were made here, in a text tag and in XMP.
        signature: who signs what is saved (C2PA), where it is labelled; None = nobody.
        runs: the folder of trainings that the page shows, starts and stops; None = none.
        limits: of what clients may ask for.

    Raises:
        AttrimorphError: a model cannot be loaded, or a token is needed.
    """
    limits = limits or Limits()
    if token is None and not is_loopback(host):
        raise AttrimorphError(
            f"a studio that other machines can reach needs a token; got --host {host} and none; add --token with a "
            "long random word"
        )
    store = ModelStore(models, device, limits)
    queue = RenderQueue(store)
    api = Api(Work(store, queue, label, signature, LRUCache(4)), runs is not None)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        api.close()
        queue.close()

    app = FastAPI(
        title="attrimorph studio",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        default_response_class=Ascii,
    )
    routers = [api.router, *([] if runs is None else [runs_router(Runs(runs))])]
    for router in routers:
        app.include_router(router)
    _add_faults(app, [route for router in routers for route in router.routes])

    @app.websocket("/live")
    async def live(page: WebSocket) -> None:
        await page.accept()
        await Session(page, store, queue, limits.streams).run()

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/static", StaticFiles(directory=PAGE))
    _name_models(app, list(store.models))
    return Guard(app, limits, host, token)


def _add_faults(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error with a status and a sentence."""

    async def told(_: Request, error: Exception) -> Ascii:
        status, sentence = fault_of(error)
        return Ascii({"error": sentence}, status)

    async def malformed(_: Request, error: Exception) -> Ascii:
        assert isinstance(error, RequestValidationError)
        return Ascii({"error": sentence_of(error.errors())}, 422)

    async def plain(request: Request, error: Exception) -> Ascii:
        assert isinstance(error, HTTPException)
        headers = error.headers
        if error.status_code == 405:  # a path may have several routes: GET and POST
            headers = {"allow": ", ".join(sorted(_methods(routes, request)))}
        return Ascii({"error": str(error.detail)}, error.status_code, headers=headers)

    app.add_exception_handler(AttrimorphError, told)
    app.add_exception_handler(Gone, told)
    app.add_exception_handler(Exception, told)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, plain)


def _methods(routes: Sequence[BaseRoute], request: Request) -> set[str]:
    """Return what the path of a request can be asked by."""
    found = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    return {method for route in found for method in getattr(route, "methods", None) or ()} or {"GET", "HEAD"}


def _name_models(app: FastAPI, names: Sequence[str]) -> None:
    """Let the schema say which models there are."""
    schema = app.openapi()
    for message in schema["components"]["schemas"].values():
        if (field := message.get("properties", {}).get("model")) is not None:
            field["enum"] = list(names)


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens: on the port, or on the first free one from 8710 on.

    Raises:
        AttrimorphError: the port is taken, or the host is not this machine's.
    """
    wished = [port] if port is not None else list(range(PORT, PORT + TRIED))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in wished:
        # Named as TCP: only on such sockets does asyncio turn off Nagle's algorithm, which holds a picture back until
        # the one before it is acknowledged; a browser acknowledges with the slider's next move, a frame later.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
            return found
        except OSError as error:
            found.close()
            reason = error.strerror or str(error)
    raise AttrimorphError(f"cannot listen on {host}:{wished[-1]} ({reason}); choose another --port or --host")


def serve(app: Guard, at: socket.socket, ready: Callable[[], None] | None = None) -> None:
    """Serve until interrupted; `ready` is called once requests are answered."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=app.limits.message,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=32 * 2**10,
        http="h11",
    )
    server = uvicorn.Server(config)
    if ready is not None:
        begin = server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await begin(sockets)
            ready()

        server.startup = startup  # type: ignore[method-assign]
    with suppress(KeyboardInterrupt):  # uvicorn raises it anew once all is closed
        server.run(sockets=[at])
