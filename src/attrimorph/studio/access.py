"""Who may ask a studio, and how much: host, origin, token, size, number and patience; errors as answers."""

import asyncio
import errno
import hmac
import ipaddress
import secrets
import sys
import traceback
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attrimorph.errors import AttrimorphError, sentence_of
from attrimorph.studio.model_store import Limits, Refused

TOKEN = "ATTRIMORPH_TOKEN"
"""The environment variable with the token; a flag's value would be seen by every account, in the list of processes."""
COOKIE = "attrimorph-token"  # and the port: browsers send the cookies of all ports of a host
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
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return 503, "the studio has too many files open; try again in a second"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return 503, "the studio is out of memory; ask for less at a time"
    traceback.print_exception(error, file=sys.stderr)
    return 500, "something went wrong inside the studio; the window in which it was started tells what"


class AccessControl:
    """ASGI middleware: token, host, origin, size, number and patience.

    Args:
        app: what is guarded.
        limits: see there.
        host: that the server listens on.
        token: that every request must carry, see `checked_token`.
    """

    def __init__(self, app: ASGIApp, limits: Limits, host: str, token: str) -> None:
        self.app, self.limits, self.host, self.token = app, limits, host, token
        self.in_flight = self.sessions = self.arriving = 0

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
        if "token" in asked.query_params and scope["path"] == "/":
            # The token in the address becomes a cookie: so it stays in no history and goes to no other page. Not a
            # strict one, which is left out where another program's page has opened the address.
            entrance = RedirectResponse("/", 303)
            entrance.set_cookie(_cookie(scope), self.token, httponly=True, samesite="lax")
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
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                part = message.get("body", b"")
                self.arriving += len(part)
                body += part
                if len(body) > self.limits.body:
                    raise too_large
                if self.arriving > self.limits.bodies:
                    raise Refused(503, "the studio is sent more than it can hold; try again in a second")
                more = message.get("more_body", False)
            return bytes(body)
        finally:
            self.arriving -= len(body)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(HTTPConnection(scope))
        except Refused as refused:
            await receive()
            await _answer(refused)(scope, receive, send)
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
        """Refuse who does not know the token, foreign hosts (DNS rebinding) and foreign pages."""
        if not self._knows(asked):
            raise Refused(401, "this studio needs its token; open the address with ?token=... that it printed")
        host, origin = asked.headers.get("host", ""), asked.headers.get("origin")
        if is_loopback(self.host) and not is_loopback(_name_of(host)):
            raise Refused(421, "this studio answers to 127.0.0.1 and localhost alone; open it by that address")
        foreign = asked.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if (origin is not None and not _same_origin(origin, host)) or (
            foreign and asked.headers.get("sec-fetch-mode") != "navigate"
        ):
            raise Refused(403, "another site's page may not use this studio; open the studio's own page")

    def _knows(self, asked: HTTPConnection) -> bool:
        kind, _, bearer = asked.headers.get("authorization", "").partition(" ")
        shown = [bearer.strip() if kind.lower() == "bearer" else "", asked.cookies.get(_cookie(asked.scope), "")]
        if asked.scope["path"] == "/":
            shown.append(asked.query_params.get("token", ""))
        return any([hmac.compare_digest(each.encode("utf-8", "replace"), self.token.encode()) for each in shown])


def checked_token(environment: MutableMapping[str, str]) -> str:
    """Return the token that `TOKEN` in the environment names, and take it out of there; where it names none, a new one.

    Raises:
        AttrimorphError: it can be guessed.
    """
    token = environment.pop(TOKEN, "") or secrets.token_hex(16)
    if len(token) < 16 or not token.isascii() or not token.isalnum():
        raise AttrimorphError(
            f"{TOKEN} must be at least 16 letters and digits, so that nobody guesses it; it is another word; leave it "
            "out, and a token is made"
        )
    return token


def _cookie(scope: Scope) -> str:
    return f"{COOKIE}-{(scope.get('server') or ('', 0))[1]}"


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
