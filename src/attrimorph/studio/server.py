"""The studio's server: one application of routes, live edits and page, guarded; and the loop that serves it."""

import asyncio
import itertools
import json
import struct
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

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
from attrimorph.studio.access import AccessControl, checked_token, fault_of
from attrimorph.studio.api import Api
from attrimorph.studio.messages import LiveEdit
from attrimorph.studio.model_store import Limits, ModelStore
from attrimorph.studio.render_queue import Live, Rendered, RenderQueue
from attrimorph.studio.runs import Runs
from attrimorph.version import __version__

PAGE = Path(__file__).parent / "static"
EXAMPLE = Path(__file__).parents[1] / "reproductions" / "woman.jpg"  # its source stands in woman.txt beside it


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
    data: Sequence[Path] = (),
    limits: Limits | None = None,
) -> AccessControl:
    """Return the studio as an ASGI application.

    Args:
        models: run folders, model files or shipped models.
        device: where they run.
        host: that it will listen on.
        token: that every request must carry, of letters and digits; None = a new one, `AccessControl.token`.
        label: whether pictures say that they were made here, in a text tag and in XMP.
        signature: who signs what is saved (C2PA), where it is labelled; None = nobody.
        runs: the folder of trainings that the page shows, starts and stops; None = none.
        data: folders with data that these trainings may learn from.
        limits: of what clients may ask for.

    Raises:
        AttrimorphError: a model cannot be loaded.
    """
    limits = limits or Limits()
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
    routers = [api.router, *([] if runs is None else [Runs(runs, data, limits.trainings).router])]
    for router in routers:
        app.include_router(router)
    _add_faults(app, [route for router in routers for route in router.routes])

    sessions: set[Session] = set()

    @app.websocket("/live")
    async def live(page: WebSocket) -> None:
        await page.accept()
        await Session(page, store, queue, sessions).run()

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    @app.get("/example.jpg", include_in_schema=False)
    async def example() -> FileResponse:
        return FileResponse(EXAMPLE)

    app.mount("/static", StaticFiles(directory=PAGE))
    _name_models(app, list(store.models))
    return AccessControl(app, limits, host, token or checked_token({}))


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
        sessions: all that are open, this one among them while it runs.
    """

    def __init__(self, socket: WebSocket, store: ModelStore, queue: RenderQueue, sessions: "set[Session]") -> None:
        self.socket, self.store, self.queue, self.sessions = socket, store, queue, sessions
        self.name = next(_sessions)
        self._loop = asyncio.get_running_loop()
        # One place for each stream: a page that reads slowly gets the newest picture, not all of them.
        self._ready: dict[int, bytes | str] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Serve until the page goes, or is the one that leaves most unread."""
        sender, self._task = asyncio.create_task(self._send()), asyncio.current_task()
        self.sessions.add(self)
        try:
            # Until the page has gone, or has sent bytes where words belong.
            with suppress(WebSocketDisconnect, KeyError, asyncio.CancelledError):
                while True:
                    await self._hear(await self.socket.receive_text())
        finally:
            self.sessions.discard(self)
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
            if edit.stream >= self.store.limits.streams:
                most = self.store.limits.streams
                raise AttrimorphError(f"a page moves at most {most} pictures; got stream {edit.stream}")
            photo, face = edit.source.photo, edit.source.face
            if edit.source.image is not None:
                # A small message may hold a large photograph: other pages are not kept waiting.
                photo = await asyncio.to_thread(self.store.open_base64, edit.source.image)
            if photo is not None and not self.store.is_ready(photo, face):
                await asyncio.to_thread(self.store.make_ready, photo, face)
            target = EditTarget(edit.changes, tuple(edit.locks), self.store.taught(edit.axes))
            served, origin = self.store.served(edit.model), edit.source.origin(photo)
            live = Live(served, origin, target, edit.format, edit.watch, edit.view.view())
        except AttrimorphError as error:
            self._answer(edit, error)
            return

        def answer(found: Rendered | Exception) -> None:
            with suppress(RuntimeError):  # the server is closing
                self._loop.call_soon_threadsafe(self._answer, edit, found)

        self.queue.submit((self.name, edit.stream), live, answer)

    def _answer(self, edit: LiveEdit, found: Rendered | Exception) -> None:
        head: dict[str, Any] = {"stream": edit.stream, "number": edit.number}
        if isinstance(found, Exception):
            status, sentence = fault_of(found)
            self._put(edit.stream, json.dumps(head | {"status": status, "error": sentence}))
            return
        words = json.dumps(head | {"format": edit.format, "besides": found.besides, "box": found.box}).encode()
        self._put(edit.stream, struct.pack("<I", len(words)) + words + found.picture)

    def _put(self, stream: int, message: bytes | str) -> None:
        self._ready[stream] = message
        self._wake.set()
        if sum(each.unread for each in self.sessions) > self.store.limits.unread:
            slowest = max(self.sessions, key=lambda each: each.unread)
            self.sessions.discard(slowest)
            if slowest._task is not None:
                slowest._task.cancel()

    @property
    def unread(self) -> int:
        """Bytes of the pictures that its page has not read yet."""
        return sum(map(len, self._ready.values()))

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


def open_page(entrance: str, folder: Path) -> None:
    """Open the studio's page in this machine's browser.

    Args:
        entrance: the address with the token.
        folder: nobody else's, for a page that leads there: a browser's own address is seen in the list of processes.
    """
    door = folder / "studio.html"
    door.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={entrance}">')
    webbrowser.open(door.as_uri())
