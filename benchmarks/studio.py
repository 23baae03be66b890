"""How fast the studio is, in a real Chromium, and whether anything can break it.

    python benchmarks/studio.py [--seconds 10] [--clients 20] [--client-seconds 120] [--requests 2000]
                                [--parts browser clients hostile] [MODEL ...]

Measures, one after the other, on the studio started by its command:

- ready: from the command to the first answered request; the page's size; first paint;
- drag: a slider's input event to the picture painted on the canvas, while it is dragged without a pause for so many
  seconds: an event in every frame of the screen; and whether the last picture is the last one asked for;
- clients: as many websockets drag at the same time, each waiting for its picture before it asks again;
- hostile: so many malformed requests, one after the other: wrong bodies on every path of the API, broken HTTP on the
  bare socket, websockets that send anything; none may be answered by 5xx or crash it, nothing may be written.

Needs Chromium and playwright (`make setup`). Prints JSON; exits 1 when a bar that is no timing does not hold.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import re
import socket
import statistics
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.studio.browsing import browser, chromium, studio

PAGE = Path(__file__).parent.parent / "src/attrimorph/studio/static"
DRAG = """
async (seconds) => {
  const input = document.getElementById('slider Smiling');
  const {live} = window.studioBench();
  const sent = new Map(), seen = [];
  const send = live.send.bind(live);
  let event = 0;
  live.send = (stream, state) => {
    const number = send(stream, state);
    if (stream === 0) sent.set(number, event);
    return number;
  };
  const frame = live.onFrame;
  live.onFrame = (stream, bitmap, besides, number) => {
    frame(stream, bitmap, besides, number);
    if (stream === 0 && sent.has(number)) seen.push([number, performance.now() - sent.get(number)]);
  };
  const begin = performance.now();
  let events = 0;
  while (performance.now() - begin < seconds * 1000) {
    await new Promise(requestAnimationFrame);
    event = performance.now();
    input.value = Math.sin((event - begin) / 300);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    events += 1;
  }
  input.dispatchEvent(new Event('change', {bubbles: true}));
  while (!window.studioAtRest()) await new Promise(requestAnimationFrame);
  live.send = send; live.onFrame = frame;
  const order = seen.every(([number], place) => !place || number > seen[place - 1][0]);
  return {events, waits: seen.map(([, wait]) => wait), order, last: Math.max(...sent.keys()) === seen.at(-1)[0]};
}
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("models", nargs="*")
    words.add_argument("--seconds", type=float, default=10)
    words.add_argument("--clients", type=int, default=20)
    words.add_argument("--client-seconds", type=float, default=120)
    words.add_argument("--requests", type=int, default=2000)
    words.add_argument("--parts", nargs="*", default=["browser", "clients", "hostile"])
    asked = words.parse_args()
    path = chromium()
    if path is None and "browser" in asked.parts:
        sys.exit("benchmarks/studio.py needs Chromium; install it (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with studio(folder, *asked.models) as (address, ready):
            result: dict[str, Any] = {
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0],
                "ready_seconds": round(ready, 2),
                "page_bytes_gzipped": page_bytes(),
            }
            server = server_of(folder)
            if "browser" in asked.parts and path is not None:
                result |= in_browser(path, address, asked.seconds)
            if "clients" in asked.parts:
                result["clients"] = asyncio.run(clients(address, asked.clients, asked.client_seconds, server))
            if "hostile" in asked.parts:
                result["hostile"] = hostile(address, asked.requests)
            result["alive"] = fetched(f"{address}/api/models")[0] == 200
            result["same process"] = server == server_of(folder)
        result["written"] = [each.name for each in folder.iterdir() if each.name != "studio.log"]
        result["tracebacks"] = (folder / "studio.log").read_text().count("Traceback")
    print(json.dumps(result, indent=2))
    drag, many, wild = (result.get(part) for part in ("drag", "clients", "hostile"))
    held = (
        (drag is None or (drag["last picture is the newest"] and drag["none out of order"]))
        and (many is None or many["failed"] == 0)
        and (wild is None or not any(status.startswith("5") for status in wild["answers"]))
        and result["alive"]
        and result["same process"]
        and not result["written"]
        and not result["tracebacks"]
        and result["page_bytes_gzipped"] < 150_000
    )
    sys.exit(0 if held else 1)


def page_bytes() -> int:
    """Return the size of all files of the page, each compressed on its own."""
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in PAGE.iterdir())


def server_of(folder: Path) -> int | None:
    """Return the process that serves: the one whose working directory is the folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(folder.resolve()):
                return int(entry.name)
        except OSError:
            continue
    return None


def memory(process: int | None) -> float:
    """Return a process's resident memory in MiB, or NaN."""
    if process is None:
        return float("nan")
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def in_browser(path: str, address: str, seconds: float) -> dict[str, Any]:
    """Measure first paint and the drag."""
    with browser(path) as chrome:
        page = chrome.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.wait_for_function("() => window.studioAtRest()")
        paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        page.evaluate(DRAG, 1)  # warm
        found = page.evaluate(DRAG, seconds)
    waits = sorted(found["waits"])
    return {
        "first_paint_ms": None if paint is None else round(paint),
        "drag": {
            "seconds": seconds,
            "events": found["events"],
            "pictures": len(waits),
            "median_ms": round(statistics.median(waits), 1),
            "p95_ms": round(waits[int(0.95 * (len(waits) - 1))], 1),
            "none out of order": found["order"],
            "last picture is the newest": found["last"],
        },
    }


async def clients(address: str, count: int, seconds: float, server: int | None) -> dict[str, Any]:
    """Drag with many clients at once."""
    import websockets

    models = json.loads(fetched(f"{address}/api/models")[1])
    name, slider = models[0]["name"], models[0]["sliders"][0]["name"]
    end = time.monotonic() + seconds
    waits: list[float] = []
    failed = 0
    early = [memory(server)]

    async def one(client: int) -> None:
        nonlocal failed
        try:
            async with websockets.connect(address.replace("http", "ws", 1) + "/live") as page:
                number = 0
                while time.monotonic() < end:
                    number += 1
                    state = {
                        "stream": 0, "number": number, "model": name, "source": {"seed": client},
                        "changes": {slider: round(random.uniform(-1, 1), 2)},
                    }  # fmt: skip
                    begin = time.perf_counter()
                    await page.send(json.dumps(state))
                    answer = await asyncio.wait_for(page.recv(), 60)
                    waits.append(time.perf_counter() - begin)
                    assert isinstance(answer, bytes)
                    (length,) = struct.unpack("<I", answer[:4])
                    assert json.loads(answer[4 : 4 + length])["number"] == number
                    if len(early) == 1 and time.monotonic() > end - 0.75 * seconds:
                        early.append(memory(server))
        except Exception as error:
            failed += 1
            print(f"client {client}: {error!r}", file=sys.stderr)

    await asyncio.gather(*(one(client) for client in range(count)))
    waits.sort()
    return {
        "count": count,
        "seconds": seconds,
        "failed": failed,
        "pictures": len(waits),
        "pictures_per_second": round(len(waits) / seconds, 1),
        "median_ms": round(1000 * statistics.median(waits), 1),
        "p95_ms": round(1000 * waits[int(0.95 * (len(waits) - 1))], 1),
        "memory_mib_after_a_quarter_and_at_the_end": [round(early[-1]), round(memory(server))],
    }


def hostile(address: str, count: int) -> dict[str, Any]:
    """Send malformed requests; return how often each status was the answer."""
    draw = random.Random(0)
    schema = json.loads(fetched(f"{address}/api/openapi.json")[1])
    paths = [(path, next(iter(methods)).upper()) for path, methods in schema["paths"].items()]
    answers: dict[str, int] = {}
    for _ in range(count):
        kind = draw.random()
        if kind < 0.15:
            status = bare(address, draw)
        elif kind < 0.25:
            status = asyncio.run(socketed(address, draw))
        else:
            status = bodied(address, paths, draw)
        answers[status] = answers.get(status, 0) + 1
    return {"requests": count, "answers": dict(sorted(answers.items()))}


def bodied(address: str, paths: list[tuple[str, str]], draw: random.Random) -> str:
    """Send a wrong body to some path, now and then with a wrong path, header or method."""
    path, method = draw.choice(paths)
    path = path.replace("{name}", draw.choice(["no", "..", "%2e%2e", "%00"])).replace("{sheet}", "..%2frecipe.json")
    if draw.random() < 0.1:
        path += draw.choice(["/", "/..", "/%00", "?" + "a" * 5000, "/%ff%fe", "/static/../../server.py"])
    body = junk(draw) if method == "POST" or draw.random() < 0.1 else None
    headers = {"content-type": draw.choice(["application/json"] * 6 + ["text/plain", "application/octet-stream"])}
    if draw.random() < 0.1:
        key = draw.choice(["host", "origin", "cookie", "authorization", "content-length", "accept-encoding"])
        headers[key] = draw.choice(["evil.com", "null", "-1", "9" * 30, "a=b; c", "Bearer \xff", "[::", "gzip"])
    return str(fetched(f"{address}{path}", body, headers, draw.choice([method] * 9 + ["PUT", "DELETE"]))[0])


def bare(address: str, draw: random.Random) -> str:
    """Send broken HTTP on a socket of its own; what is left half said is hung up."""
    host, _, port = address.removeprefix("http://").partition(":")
    head = f"Host: {host}:{port}\r\n".encode()
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


async def socketed(address: str, draw: random.Random) -> str:
    """Open a websocket, from a foreign page now and then, and send what is no state."""
    import websockets

    origin = draw.choice([None, None, None, "http://evil.com", "null"])
    state: dict[str, Any] = {"stream": 0, "number": 1, "model": "drawn-faces-64", "source": {"seed": 1}}
    for _ in range(draw.randrange(1, 5)):
        state[draw.choice([*KEYS, "stream", "number", "format", "watch"])] = draw.choice(WORDS)
    noise = draw.choice([draw.randbytes(200), "", "{", "[" * 50_000, "a" * 70_000, "null", json.dumps(state)])
    try:
        async with websockets.connect(address.replace("http", "ws", 1) + "/live", origin=origin) as page:
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
    import base64

    content = bytearray((Path(__file__).parent.parent / "docs/images/ada.png").read_bytes())
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


if __name__ == "__main__":
    main()
