"""Who may ask, and how much: looked at before anything of a request is read further."""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attrimorph.studio.limits import Limits

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


@dataclass(frozen=True)
class Refused(Exception):
    """A request that is not answered.

    Attributes:
        status: of the answer.
        sentence: what and why.
    """

    status: int
    sentence: str


class Guard:
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
        headers = _headers(scope)
        try:
            self._check(scope, headers)
            if self.in_flight >= self.limits.in_flight:
                raise Refused(503, f"the studio does {self.limits.in_flight} requests at a time; try again in a second")
        except Refused as refused:
            await _answer(send, refused)
            return
        if self.token is not None and _query_token(scope) is not None and scope["path"] == "/":
            await _enter(send, self.token)
            return
        self.in_flight += 1
        try:
            body = await asyncio.wait_for(self._body(headers, receive), self.limits.seconds)
            await self.app(scope, _replayed(body, receive), _with_headers(send))
        except Refused as refused:
            await _answer(send, refused)
        except TimeoutError:
            await _answer(send, Refused(408, f"a request must arrive within {self.limits.seconds:g} s; send it anew"))
        except ConnectionError:
            pass  # the client has gone; nobody waits for an answer
        finally:
            self.in_flight -= 1

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Read the whole body, no more than is allowed."""
        too_large = Refused(413, f"a request must have at most {self.limits.body >> 20} MiB; send a smaller picture")
        told = headers.get("content-length", "0")
        if told.isascii() and told.isdigit() and int(told[:20]) > self.limits.body:
            raise too_large
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            part = message.get("body", b"")
            size += len(part)
            if size > self.limits.body:
                raise too_large
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope, _headers(scope))
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

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Refuse foreign hosts (DNS rebinding), foreign pages, and who does not know the token."""
        host = headers.get("host", "")
        if self.token is None and not is_loopback(_name_of(host)):
            raise Refused(421, "this studio answers to 127.0.0.1 and localhost alone; open it by that address")
        origin = headers.get("origin")
        if origin is not None and not _same_origin(origin, host):
            raise Refused(403, "another site's page may not use this studio; open the studio's own page")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            raise Refused(403, "another site's page may not use this studio; open the studio's own page")
        if self.token is not None and not self._knows_token(scope, headers):
            raise Refused(401, "this studio needs its token; open the address with ?token=... that it printed")

    def _knows_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        assert self.token is not None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [bearer.strip() if kind.lower() == "bearer" else "", _cookie(headers)]
        if scope["path"] == "/":
            shown.append(_query_token(scope) or "")
        return any(hmac.compare_digest(each.encode("utf-8", "replace"), self.token.encode()) for each in shown)


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


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def _query_token(scope: Scope) -> str | None:
    try:
        found = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20).get("token")
    except ValueError:
        return None
    return found[0] if found else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((k.encode(), v.encode()) for k, v in SAFE_HEADERS.items() if k.encode() not in known),
            ]
        await send(message)

    return sending


async def _answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.sentence}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status in (408, 413):
        head.append((b"connection", b"close"))
    if refused.status == 503:
        head.append((b"retry-after", b"1"))
    await _with_headers(send)({"type": "http.response.start", "status": refused.status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _enter(send: Send, token: str) -> None:
    """Turn the token in the address into a cookie, so that it stays in no history and goes to no other page."""
    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
    head = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await _with_headers(send)({"type": "http.response.start", "status": 303, "headers": head})
    await send({"type": "http.response.body", "body": b""})
