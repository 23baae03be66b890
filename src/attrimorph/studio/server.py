"""The studio's server: one application of routes, live edits and page, guarded; and the loop that serves it."""

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.websockets import WebSocketDisconnect

from attrimorph.applications.edit import EditTarget
from attrimorph.applications.provenance import Signature
from attrimorph.errors import AttrimorphError
from attrimorph.studio.api import Api
from attrimorph.studio.guard import AccessControl, Limits, fault_of, is_loopback
from attrimorph.studio.messages import LiveEdit
from attrimorph.studio.model_store import ModelStore
from attrimorph.studio.render_queue import Frame, Live, RenderQueue
from attrimorph.studio.runs import Runs
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
) -> AccessControl:
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
    api = Api(store, queue, label=label, signature=signature, trains=runs is not None)

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
    routers = [api.router, *([] if runs is None else [Runs(runs).router])]
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
    return AccessControl(app, limits, host, token)


def _add_faults(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error with a status and a sentence."""

    async def answer(request: Request, error: Exception) -> Ascii:
        if not isinstance(error, HTTPException):
            status, sentence = fault_of(error)
            return Ascii({"error": sentence}, status)
        headers = error.headers
        if error.status_code == 405:  # a path may have several routes: GET and POST
            headers = {"allow": ", ".join(sorted(_methods(routes, request)))}
        return Ascii({"error": str(error.detail)}, error.status_code, headers=headers)

    for kind in (AttrimorphError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


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


_sessions = itertools.count()


class Session:
    """One open page: states of edits in, newest pictures out. Nothing of an edit is remembered here.

    Args:
        socket: accepted.
        store, queue: of the studio.
        streams: how many pictures it may move at a time.
    """

    def __init__(self, socket: WebSocket, store: ModelStore, queue: RenderQueue, streams: int) -> None:
        self.socket, self.store, self.queue, self.streams = socket, store, queue, streams
        self.name = next(_sessions)
        self._loop = asyncio.get_running_loop()
        # One place for each stream: a page that reads slowly gets the newest picture, not all of them.
        self._ready: dict[int, bytes | str] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Serve until the page goes."""
        sender = asyncio.create_task(self._send())
        try:
            # Until the page has gone, or has sent bytes where words belong.
            with suppress(WebSocketDisconnect, KeyError):
                while True:
                    await self._hear(await self.socket.receive_text())
        finally:
            self.queue.forget(self.name)
            sender.cancel()

    async def _hear(self, text: str) -> None:
        try:
            edit = LiveEdit.model_validate_json(text)
        except ValidationError as error:
            status, sentence = fault_of(error)
            self._put(-1, json.dumps({"status": status, "error": sentence}))
            return
        try:
            if edit.stream >= self.streams:
                raise AttrimorphError(f"a page moves at most {self.streams} pictures; got stream {edit.stream}")
            photo = None
            if edit.source.image is not None:
                # A small message may hold a large photograph: other pages are not kept waiting.
                photo = await asyncio.to_thread(self.store.open_base64, edit.source.image)
            target = EditTarget(edit.changes, tuple(edit.locks), self.store.taught(edit.axes))
            live = Live(self.store.served(edit.model), edit.source.origin(photo), target, edit.format, edit.watch)
        except AttrimorphError as error:
            self._answer(edit, error)
            return

        def answer(found: Frame | Exception) -> None:
            with suppress(RuntimeError):  # the server is closing
                self._loop.call_soon_threadsafe(self._answer, edit, found)

        self.queue.submit((self.name, edit.stream), live, answer)

    def _answer(self, edit: LiveEdit, found: Frame | Exception) -> None:
        head: dict[str, Any] = {"stream": edit.stream, "number": edit.number}
        if isinstance(found, Exception):
            status, sentence = fault_of(found)
            self._put(edit.stream, json.dumps(head | {"status": status, "error": sentence}))
            return
        words = json.dumps(head | {"format": edit.format, "besides": found.besides}).encode()
        self._put(edit.stream, struct.pack("<I", len(words)) + words + found.picture)

    def _put(self, stream: int, message: bytes | str) -> None:
        self._ready[stream] = message
        self._wake.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready:
                message = self._ready.pop(next(iter(self._ready)))
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_text(message)


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


def serve(app: AccessControl, at: socket.socket, ready: Callable[[], None] | None = None) -> None:
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
