"""The studio's server: one application of routes, live edits and page, guarded; and the loop that serves it."""

import asyncio
import hmac
import ipaddress
import itertools
import json
import socket
import struct
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from attrimorph.applications.edit import EditTarget
from attrimorph.applications.provenance import Signature
from attrimorph.errors import AttrimorphError, sentence_of
from attrimorph.studio.api import Api
from attrimorph.studio.messages import LiveEdit
from attrimorph.studio.model_store import Limits, ModelStore, Refused
from attrimorph.studio.render_queue import Frame, Live, RenderQueue
from attrimorph.studio.runs import Runs
from attrimorph.version import __version__

# --- who may ask, and how much; errors as answers

COOKIE = "attrimorph-token"
SAFE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


def fault_of(error: Exception) -> tuple[int, str]:
    """Return what a client is told of an error; a fault of ours is printed on the server."""
    if isinstance(error, ValidationError | RequestValidationError):
        return 422, sentence_of(error.errors())
    if isinstance(error, AttrimorphError):
        return error.status if isinstance(error, Refused) else 400, " ".join(str(error).split())
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return 503, "the studio is out of memory; ask for less at a time"
    traceback.print_exception(error, file=sys.stderr)
    return 500, "something went wrong inside the studio; the window in which it was started tells what"


class AccessControl:
    """ASGI middleware: host, origin, token, size, number and patience.

    Args:
        app: what is guarded.
        limits: see there.
        host: that the server listens on.
        token: that every request must carry; None where only this machine can ask.
    """

    def __init__(self, app: ASGIApp, limits: Limits, host: str, token: str | None) -> None:
        self.app, self.limits, self.host, self.token = app, limits, host, token
        self.in_flight = self.sessions = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked, safe = HTTPConnection(scope), _with_headers(send)
        try:
            self._check(asked)
            if self.in_flight >= self.limits.in_flight:
                raise Refused(503, f"the studio does {self.limits.in_flight} requests at a time; try again in a second")
        except Refused as refused:
            await _answer(refused)(scope, receive, safe)
            return
        if self.token is not None and "token" in asked.query_params and scope["path"] == "/":
            # The token in the address becomes a cookie: so it stays in no history and goes to no other page.
            entrance = RedirectResponse("/", 303)
            entrance.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            await entrance(scope, receive, safe)
            return
        self.in_flight += 1
        try:
            body = await asyncio.wait_for(self._body(asked, receive), self.limits.seconds)
            await self.app(scope, _replayed(body, receive), safe)
        except Refused as refused:
            await _answer(refused)(scope, receive, safe)
        except TimeoutError:
            late = Refused(408, f"a request must arrive within {self.limits.seconds:g} s; send it anew")
            await _answer(late)(scope, receive, safe)
        except ConnectionError:
            pass  # the client has gone; nobody waits for an answer
        finally:
            self.in_flight -= 1

    async def _body(self, asked: HTTPConnection, receive: Receive) -> bytes:
        """Read the whole body, no more than is allowed."""
        too_large = Refused(413, f"a request must have at most {self.limits.body >> 20} MiB; send a smaller picture")
        length = asked.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > self.limits.body:
            raise too_large
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            body += message.get("body", b"")
            if len(body) > self.limits.body:
                raise too_large
            more = message.get("more_body", False)
        return bytes(body)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(HTTPConnection(scope))
        except Refused:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if self.sessions >= self.limits.sessions:
            # Accepted first, so that the page learns why.
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1013, "reason": "too many sessions"})
            return
        self.sessions += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.sessions -= 1

    def _check(self, asked: HTTPConnection) -> None:
        """Refuse foreign hosts (DNS rebinding), foreign pages, and who does not know the token."""
        host, origin = asked.headers.get("host", ""), asked.headers.get("origin")
        if self.token is None and not is_loopback(_name_of(host)):
            raise Refused(421, "this studio answers to 127.0.0.1 and localhost alone; open it by that address")
        foreign = asked.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if (origin is not None and not _same_origin(origin, host)) or (
            foreign and asked.headers.get("sec-fetch-mode") != "navigate"
        ):
            raise Refused(403, "another site's page may not use this studio; open the studio's own page")
        if self.token is not None and not self._knows(self.token, asked):
            raise Refused(401, "this studio needs its token; open the address with ?token=... that it printed")

    def _knows(self, token: str, asked: HTTPConnection) -> bool:
        kind, _, bearer = asked.headers.get("authorization", "").partition(" ")
        shown = [bearer.strip() if kind.lower() == "bearer" else "", asked.cookies.get(COOKIE, "")]
        if asked.scope["path"] == "/":
            shown.append(asked.query_params.get("token", ""))
        return any(hmac.compare_digest(each.encode("utf-8", "replace"), token.encode()) for each in shown)


def is_loopback(name: str) -> bool:
    """Tell whether a host's name means this machine alone."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Return the name of a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() and bool(host)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            safe = [(name.encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
            message["headers"] = [*message["headers"], *(pair for pair in safe if pair[0] not in known)]
        await send(message)

    return sending


def _answer(refused: Refused) -> Response:
    headers = {503: {"retry-after": "1"}, 408: {"connection": "close"}, 413: {"connection": "close"}}
    return JSONResponse({"error": str(refused)}, refused.status, headers.get(refused.status))


# --- the app, and the websocket of sliders

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
            served, origin = self.store.served(edit.model), edit.source.origin(photo)
            live = Live(served, origin, target, edit.format, edit.watch, edit.view.view())
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
        words = json.dumps(head | {"format": edit.format, "besides": found.besides, "box": found.box}).encode()
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
