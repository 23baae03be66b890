"""Malformed requests for a studio: wrong bodies, broken HTTP on the bare socket, websockets that send anything."""

import asyncio
import base64
import json
import random
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def hostile(address: str, count: int, known: dict[str, str]) -> dict[str, Any]:
    """Send malformed requests, with the headers that a studio knows; return how often each status was the answer."""
    draw = random.Random(0)
    schema = json.loads(fetched(f"{address}/api/openapi.json", headers=known)[1])
    paths = [(path, next(iter(methods)).upper()) for path, methods in schema["paths"].items()]
    answers: dict[str, int] = {}
    for _ in range(count):
        kind = draw.random()
        if kind < 0.15:
            status = bare(address, draw, known)
        elif kind < 0.25:
            status = asyncio.run(socketed(address, draw, known))
        else:
            status = bodied(address, paths, draw, known)
        answers[status] = answers.get(status, 0) + 1
    return {"requests": count, "answers": dict(sorted(answers.items()))}


def bodied(address: str, paths: list[tuple[str, str]], draw: random.Random, known: dict[str, str]) -> str:
    """Send a wrong body to some path, now and then with a wrong path, header or method."""
    path, method = draw.choice(paths)
    path = path.replace("{name}", draw.choice(["no", "..", "%2e%2e", "%00"])).replace("{sheet}", "..%2frecipe.json")
    if draw.random() < 0.1:
        path += draw.choice(["/", "/..", "/%00", "?" + "a" * 5000, "/%ff%fe", "/static/../../server.py"])
    body = junk(draw) if method == "POST" or draw.random() < 0.1 else None
    headers = known | {
        "content-type": draw.choice(["application/json"] * 6 + ["text/plain", "application/octet-stream"])
    }
    if draw.random() < 0.1:
        key = draw.choice(["host", "origin", "cookie", "authorization", "content-length", "accept-encoding"])
        headers[key] = draw.choice(["evil.com", "null", "-1", "9" * 30, "a=b; c", "Bearer \xff", "[::", "gzip"])
    return str(fetched(f"{address}{path}", body, headers, draw.choice([method] * 9 + ["PUT", "DELETE"]))[0])


def bare(address: str, draw: random.Random, known: dict[str, str]) -> str:
    """Send broken HTTP on a socket of its own; what is left half said is hung up."""
    host, _, port = address.removeprefix("http://").partition(":")
    head = f"Host: {host}:{port}\r\n".encode()
    head += "".join(f"{name}: {value}\r\n" for name, value in known.items()).encode()
    whole = b"POST /api/edit HTTP/1.1\r\n" + head + b"Content-Type: application/json\r\n"
    content = draw.choice([
        draw.randbytes(draw.choice([1, 50, 5000])), b"GET / HTTP/9.9\r\n\r\n", b"GET /api/models HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + head + b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"\r\n" * 1000, b"\x16\x03\x01\x02\x00",
        b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n" + head + b"\r\n", whole + b"Content-Length: -5\r\n\r\n{}",
        whole + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ", whole + b"Content-Length: 1000\r\n\r\n{",
        whole + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        whole + b"Content-Length: 99999999999\r\n\r\n",
        whole + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n{}", b"GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n",
        b"GET /live HTTP/1.1\r\n" + head + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a\r\n\r\n",
    ])  # fmt: skip
    try:
        with socket.create_connection((host, int(port)), 5) as line:
            line.settimeout(0.5)
            line.sendall(content)
            answer = line.recv(200)
    except OSError:
        return "hung up"
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return found[1].decode() if found else "hung up"


async def socketed(address: str, draw: random.Random, known: dict[str, str]) -> str:
    """Open a websocket, from a foreign page now and then, and send what is no state."""
    import websockets

    origin = draw.choice([None, None, None, "http://evil.com", "null"])
    state: dict[str, Any] = {"stream": 0, "number": 1, "model": "drawn-faces-64", "source": {"seed": 1}}
    for _ in range(draw.randrange(1, 5)):
        state[draw.choice([*KEYS, "stream", "number", "format", "watch"])] = draw.choice(WORDS)
    noise = draw.choice([draw.randbytes(200), "", "{", "[" * 50_000, "a" * 70_000, "null", json.dumps(state)])
    try:
        async with websockets.connect(
            address.replace("http", "ws", 1) + "/live", origin=origin, additional_headers=known
        ) as page:
            await page.send(noise)
            answer = await asyncio.wait_for(page.recv(), 20)
    except websockets.InvalidStatus as error:
        return str(error.response.status_code)
    except websockets.ConnectionClosed as error:
        return f"closed {error.rcvd.code if error.rcvd else ''}"
    return "picture" if isinstance(answer, bytes) else str(json.loads(answer)["status"])


WORDS: list[Any] = [
    None, True, -1, 0, 2**63, 10**400, 1e308, 0.5, "", "drawn-faces-64", "\x00", "\ud800", "a" * 10_000, "Smiling",
    "../../etc/passwd", "0" * 40, "AAAA", "data:image/png;base64,AAAA", [], {}, {"seed": 1}, {"seed": -1},
    {"photo": "0" * 40}, {"image": "AAAA"}, {"image": "iVBORw0KGgo="}, {"Smiling": 1}, {"Smiling": 1e99},
    {"Smiling": None}, {"": 0}, [[[[[[]]]]]], ["0" * 40], ["Smiling"], {"seed": 1, "held": {"Male": 9}},
]  # fmt: skip
KEYS = (
    "model", "source", "changes", "locks", "axes", "count", "seed", "first", "second", "steps", "mask", "times",
    "attributes_of", "only", "among", "wanted", "name", "with", "without", "background", "known", "held", "__proto__",
)  # fmt: skip


def junk(draw: random.Random) -> bytes:
    """Return a body: noise, broken JSON, or an object of likely keys with unlikely values."""
    kind = draw.random()
    if kind < 0.15:
        return draw.randbytes(draw.choice([0, 1, 10, 1000, 100_000]))
    if kind < 0.2:
        return draw.choice([b"[" * 100_000, b'{"a":' * 50_000, b"nul", b"NaN", b"{}", b'{"model": 1e999}', b"\xff\xfe"])
    value: dict[str, Any] = {"model": "drawn-faces-64", "source": {"seed": draw.randrange(4)}}
    for _ in range(draw.randrange(6)):
        value[draw.choice(KEYS)] = draw.choice(WORDS)
    if draw.random() < 0.1:
        value["source"] = {"image": png_like(draw)}
    text = json.dumps(value).encode()
    return text[: draw.randrange(len(text))] if draw.random() < 0.1 else text


def png_like(draw: random.Random) -> str:
    """Return base64 of a picture whose bytes are partly wrong."""
    content = bytearray((Path(__file__).parent.parent.parent / "docs/images/ada.png").read_bytes())
    for _ in range(draw.randrange(1, 30)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return base64.b64encode(bytes(content[: draw.randrange(len(content))])).decode()


def fetched(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, bytes]:
    """Return status and body; 0 where the server closed the connection without an answer."""
    try:
        request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError):
        return 0, b""
