"""Connections: how many there are, how long they may be silent, how slowly they may read; and the loop that serves.

uvicorn's two protocols, each of whose connections is looked at once a second: whoever sends no request, or does not
take what was sent, has to go.
"""

import asyncio
import errno
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from attrimorph.errors import AttrimorphError
from attrimorph.studio.access import AccessControl
from attrimorph.studio.model_store import Limits

PORT = 8710
TRIED = 20
LEAST_TAKEN = 64 * 2**10  # bytes in `Limits.silent_seconds`, of whoever is sent more than fits into the line
SPARE = 128  # open files that are no connections
TOLD_EVERY = 60.0  # seconds between two lines on the same trouble


class Http(H11Protocol):
    """A connection before and between its requests, and while it is answered.

    Attributes:
        since: the connection, or its newest answer.
    """

    config: "Config"
    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = time.monotonic()
        self.config.crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.config.crowd.leave(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self.config.crowd.leave(self)
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self.since = time.monotonic()
        super().on_response_complete()

    def resume_writing(self) -> None:
        self.config.crowd.took(self)
        super().resume_writing()

    @property
    def silent(self) -> bool:
        """Whether no request has been heard whole since the last answer."""
        return self.cycle is None or self.cycle.response_complete


class Websocket(WebSocketsSansIOProtocol):
    """A websocket."""

    config: "Config"
    since, silent = 0.0, False

    async def send(self, message: Any) -> None:
        await super().send(message)
        # One that is refused by an answer: uvicorn would complain that it was not accepted.
        self.handshake_complete |= message["type"] == "websocket.http.response.body"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.config.crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.config.crowd.leave(self)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self.config.crowd.took(self)
        super().resume_writing()


class Crowd:
    """All connections of a server.

    Args:
        limits: `connections`, `silent_seconds` and `unread` of them.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.most = min(limits.connections, max(16, _most_files() - SPARE))
        # How much lay unread when it was last seen that enough was taken, and when that was.
        self._unread: dict[Http | Websocket, tuple[int, float]] = {}

    def enter(self, one: Http | Websocket) -> None:
        """Take a connection in; where there are too many, the longest silent one goes, or else the new one."""
        self._unread[one] = (0, time.monotonic())
        if len(self._unread) > self.most:
            going = min((each for each in self._unread if each.silent), key=lambda each: each.since, default=one)
            self.leave(going)
            going.transport.abort()

    def leave(self, one: Http | Websocket) -> None:
        """Forget a connection."""
        self._unread.pop(one, None)

    def took(self, one: Http | Websocket) -> None:
        """Note that a connection took nearly all that it was sent."""
        if one in self._unread:
            self._unread[one] = (one.transport.get_write_buffer_size(), time.monotonic())

    def look(self, now: float) -> None:
        """Hang up on who is silent or takes too little for too long; where too much lies unread, on who has most."""
        limits, waiting = self.limits, {}
        for one, (before, when) in list(self._unread.items()):
            size = waiting[one] = one.transport.get_write_buffer_size()
            if size == 0 or before == 0 or before - size >= LEAST_TAKEN:
                self._unread[one] = (size, when := now)
            if now - (when if size else one.since) > limits.silent_seconds and (size or one.silent):
                del waiting[one]
                one.transport.abort()
        for one in sorted(waiting, key=lambda each: -waiting[each]):
            if sum(waiting.values()) <= limits.unread:
                break
            del waiting[one]
            one.transport.abort()

    async def watch(self) -> None:
        """Look once a second."""
        while True:
            await asyncio.sleep(1)
            self.look(time.monotonic())


def _most_files() -> int:
    """Let this process open as many files as it may; return how many."""
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        wished = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
        if most != resource.RLIM_INFINITY and most < wished:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
            most = wished
    return 4096 if most == resource.RLIM_INFINITY else most


class Config(uvicorn.Config):
    """uvicorn's, and the crowd that its protocols know.

    Args:
        app: what is served.
    """

    def __init__(self, app: AccessControl) -> None:
        self.crowd = Crowd(app.limits)
        super().__init__(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            http=Http,
            ws=Websocket,
            ws_max_size=app.limits.message,
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=32 * 2**10,
            # So many are taken in before any of them can be turned away.
            backlog=min(128, self.crowd.most // 4),
        )


class Server(uvicorn.Server):
    """uvicorn's, which watches its connections.

    Args:
        config: see there.
        ready: called once requests are answered.
    """

    config: Config

    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready, self._told = ready, 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        self._watching = loop.create_task(self.config.crowd.watch())
        self._ready()

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.should_exit and "_start_serving" in repr(context.get("handle")):
            return  # asyncio would have tried once more
        if not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told > TOLD_EVERY or not self._told:
            # asyncio tries again, and again: once is enough.
            self._told = time.monotonic()
            print(
                "attrimorph: too many open files; new pages wait until others are closed", file=sys.stderr, flush=True
            )


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


def serve(app: AccessControl, at: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until interrupted; `ready` is called once requests are answered."""
    with suppress(KeyboardInterrupt):  # uvicorn raises it anew once all is closed
        Server(Config(app), ready).run(sockets=[at])
