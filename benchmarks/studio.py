"""How fast the studio is, in a real Chromium, and whether anything can break it.

    python benchmarks/studio.py [--seconds 10] [--clients 20] [--client-seconds 120] [--requests 2000]
                                [--parts browser photograph clients crowd hostile locks soak] [MODEL ...]

Measures, one after the other, on the studio started by its command:

- ready: from the command to the first answered request; the page's size; first paint;
- drag: a slider's input event to the picture painted on the canvas, while it is dragged without a pause for so many
  seconds: an event in every frame of the screen; and whether the last picture is the last one asked for; then the
  same with a lock on Young;
- photograph: a JPEG of 12 megapixels in the page: the file chosen to the first picture and sliders; the same drag;
  a click on Save to the whole file; and what the server alone takes of a picture of the drag, in milliseconds of one
  thread's time, however busy the machine is;
- clients: as many websockets drag at the same time, each waiting for its picture before it asks again;
- crowd: 1,100 connections that say nothing, and ten JPEGs of very many scans that are opened, while one websocket
  drags: its waits, and the memory of the server with the processes that decode for it;
- hostile: so many malformed requests, one after the other: wrong bodies on every path of the API, broken HTTP on the
  bare socket, websockets that send anything; none may be answered by 5xx or crash it, nothing may be written;
- soak (only where it is asked for): the server's memory while four clients edit 400 photographs in turns;
- locks (only where it is asked for): the mean change of probability of what edits dragged along, for each model that is
  served, free and locked: 24 synthetic faces, four edits each.

Needs Chromium and playwright (`make setup`). Prints JSON; exits 1 when a bar that is no timing does not hold.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import re
import statistics
import struct
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from hostile import fetched, hostile
from PIL import Image

from attrimorph.applications.edit import EditTarget
from attrimorph.data.drawn import faces
from attrimorph.pictures import png_bytes
from attrimorph.studio.client import Studio
from attrimorph.studio.model_store import Limits, ModelStore, Origin
from attrimorph.studio.opened import View
from attrimorph.studio.render_queue import Live, RenderQueue
from tests.studio.browsing import KNOWN, ROOT, TOKEN, browser, chromium, entrance, studio

LOCKED_FACES, LOCKED_EDITS = 24, ({"Male": 1.0}, {"Young": -1.0}, {"Smiling": 1.0}, {"Pale_Skin": 1.0})
PEOPLE = Path(__file__).parent.parent / "tests/fixtures/photographs"
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
  live.onFrame = (stream, bitmap, besides, number, ...where) => {
    frame(stream, bitmap, besides, number, ...where);
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
    words.add_argument("--soak-seconds", type=float, default=600)
    words.add_argument("--requests", type=int, default=2000)
    words.add_argument("--parts", nargs="*", default=["browser", "photograph", "clients", "crowd", "hostile"])
    asked = words.parse_args()
    path = chromium()
    if path is None and {"browser", "photograph"} & set(asked.parts):
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
            if "photograph" in asked.parts and path is not None:
                result["photograph"] = in_photograph(path, address, asked.seconds, folder)
            if "clients" in asked.parts:
                result["clients"] = asyncio.run(clients(address, asked.clients, asked.client_seconds, server))
            if "crowd" in asked.parts:
                result["crowd"] = asyncio.run(crowd(address, asked.seconds, server))
            if "hostile" in asked.parts:
                result["hostile"] = hostile(address, asked.requests, KNOWN)
            if "soak" in asked.parts:
                result["soak"] = soak(Studio(address, TOKEN), asked.soak_seconds, server)
            if "locks" in asked.parts:
                result["locks"] = locks(Studio(address, TOKEN))
            result["alive"] = fetched(f"{address}/api/models", headers=KNOWN)[0] == 200
            result["same process"] = server == server_of(folder)
        result["written"] = [each.name for each in folder.iterdir() if each.name != "studio.log"]
        result["tracebacks"] = (folder / "studio.log").read_text().count("Traceback")
    print(json.dumps(result, indent=2))
    drags = [result[part] for part in ("drag", "drag with a lock", "photograph") if part in result]
    many, wild, idle = result.get("clients"), result.get("hostile"), result.get("crowd")
    held = (
        all(drag["last picture is the newest"] and drag["none out of order"] for drag in drags)
        and (many is None or many["failed"] == 0)
        and (idle is None or (set(idle["bombs"]) <= {200, 400} and idle["memory_mib"] < 1200))
        and (wild is None or not any(status.startswith("5") for status in wild["answers"]))
        and result["alive"]
        and result["same process"]
        and not result["written"]
        and not result["tracebacks"]
        and result["page_bytes_gzipped"] < 150_000
    )
    sys.exit(0 if held else 1)


def locks(client: Studio) -> dict[str, dict[str, float]]:
    """Return by model how far what an edit drags along moves, free and locked."""
    drawn = next(faces.draw(LOCKED_FACES, 64, seed=11)).images.numpy()
    pictures = [png_bytes(Image.fromarray(face)) for face in drawn]
    found = {}
    for model in client.models():
        free, locked = [], []
        sources = range(LOCKED_FACES) if model["can"]["sample"] else pictures
        for source in sources if model["can"]["lock"] else ():
            for changes in LOCKED_EDITS:
                besides = client.edit(source, changes, model=model["name"])[1]
                if names := [name for name in besides if name in model["locks"]]:
                    after = client.edit(source, changes, locks=names, model=model["name"])[1]
                    free += [abs(besides[name]) for name in names]
                    locked += [abs(after.get(name, 0.0)) for name in names]
        if free:
            found[model["name"]] = {
                "dragged along": len(free),
                "free": round(statistics.mean(free), 3),
                "locked": round(statistics.mean(locked), 3),
            }
    return found


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
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def ready(chrome: Any, address: str) -> Any:
    """Open the studio's page and wait until it is at rest."""
    page = chrome.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(120_000)
    page.goto(entrance(address))
    page.wait_for_selector("html[data-ready]")
    page.wait_for_function("() => window.studioAtRest()")
    return page


def in_browser(path: str, address: str, seconds: float) -> dict[str, Any]:
    """Measure first paint and the drag."""
    with browser(path) as chrome:
        page = ready(chrome, address)
        paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        page.evaluate(DRAG, 1)  # warm
        free = page.evaluate(DRAG, seconds)
        page.click("[data-name=Young] .lock")
        page.wait_for_function("() => window.studioAtRest()")
        locked = page.evaluate(DRAG, seconds)
    return {
        "first_paint_ms": None if paint is None else round(paint),
        "drag": drag_told(free, seconds),
        "drag with a lock": drag_told(locked, seconds),
    }


def in_photograph(path: str, address: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Measure opening, the drag and saving of a photograph of 12 megapixels."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "photograph.jpg"
        file.write_bytes(photograph())
        work = server_work(file.read_bytes())
        with browser(path) as chrome:
            page = ready(chrome, address)
            begin = time.perf_counter()
            page.set_input_files("#file", file)
            page.wait_for_selector('.whole .pane svg[viewBox="0 0 4000 3000"]')
            page.wait_for_function("() => window.studioAtRest()")
            opened = time.perf_counter() - begin
            page.evaluate(DRAG, 1)  # warm
            drag = page.evaluate(DRAG, seconds)
            begin = time.perf_counter()
            with page.expect_download() as saved:
                page.click("#save")
            size = Image.open(saved.value.path()).size
            took = time.perf_counter() - begin
    return {
        "opening_seconds": round(opened, 2),
        "save_seconds": round(took, 2),
        "saved_size": size,
        "server_ms": work,
        **drag_told(drag, seconds),
    }


def server_work(content: bytes) -> dict[str, float]:
    """Return what the shipped model's pictures of a drag take of a thread's time, at 600 and at 1,280 pixels across."""
    store = ModelStore(["drawn-faces-64"], "cpu", Limits())
    queue, served, origin = RenderQueue(store), store.served("drawn-faces-64"), Origin(store.open(content)[0])
    torch.set_num_threads(1)
    found = {}
    for width in (600, 1280):
        waits = []
        for step in range(-60, 61):
            target = EditTarget({"Smiling": step / 60})
            live = Live(served, origin, target, "rgba", watch=step % 6 == 0, view=View(width=width))
            begin = time.thread_time()
            queue.frames([live])
            waits.append(1000 * (time.thread_time() - begin))
        found |= {f"median at {width}": round(statistics.median(waits), 1)}
        found |= {f"p95 at {width}": round(sorted(waits)[int(0.95 * len(waits))], 1)}
    return found


def photograph() -> bytes:
    """Return a person before a wall, 4,000 x 3,000 pixels."""
    wall = Image.linear_gradient("L").resize((4000, 3000)).convert("RGB")
    wall.paste(Image.open(PEOPLE / "man.jpg").resize((3000, 3000), Image.Resampling.BICUBIC), (500, 0))
    buffer = BytesIO()
    wall.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def drag_told(found: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the figures of a drag."""
    waits = sorted(found["waits"])
    return {
        "seconds": seconds,
        "events": found["events"],
        "pictures": len(waits),
        "median_ms": round(statistics.median(waits), 1),
        "p95_ms": round(waits[int(0.95 * (len(waits) - 1))], 1),
        "none out of order": found["order"],
        "last picture is the newest": found["last"],
    }


async def clients(address: str, count: int, seconds: float, server: int | None) -> dict[str, Any]:
    """Drag with many clients at once."""
    import websockets

    models = json.loads(fetched(f"{address}/api/models", headers=KNOWN)[1])
    name, slider = models[0]["name"], models[0]["sliders"][0]["name"]
    end = time.monotonic() + seconds
    waits: list[float] = []
    failed = 0
    early = [memory(server)]

    async def one(client: int) -> None:
        nonlocal failed
        try:
            async with websockets.connect(address.replace("http", "ws", 1) + "/live", additional_headers=KNOWN) as page:
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


def soak(client: Studio, seconds: float, server: int | None) -> dict[str, Any]:
    """Let four clients edit 400 photographs in turns; the server's memory at every half minute."""
    end, held = time.monotonic() + seconds, list[float]()
    with Image.open(ROOT / "src/attrimorph/reproductions/woman.jpg") as picture:
        picture.load()

    def edit(number: int) -> int:
        left, top = number % 20, number // 20
        buffer = BytesIO()
        picture.crop((left, top, left + 1000, top + 1000)).save(buffer, "JPEG", quality=85)
        made = client.edit(buffer.getvalue(), {"Smiling": random.uniform(-1, 1)})[0]
        if len(held) <= (time.monotonic() - end + seconds) // 30:
            held.append(memory(server))
        return len(made)

    with ThreadPoolExecutor(4) as pool:
        count = 0
        while time.monotonic() < end:
            count += sum(map(bool, pool.map(edit, (number % 400 for number in range(count, count + 20)))))
    later = held[4:]  # from the second minute on
    growth = (later[-1] - later[0]) / (0.5 * max(1, len(later) - 1)) if later else float("nan")
    return {"edits": count, "memory_mib": [round(each) for each in held], "mib_a_minute": round(growth, 2)}


SILENT = 1100


async def crowd(address: str, seconds: float, server: int | None) -> dict[str, Any]:
    """Drag with one websocket among connections that say nothing and pictures that take long to decode."""
    import websockets

    host, _, port = address.removeprefix("http://").partition(":")
    models = json.loads(fetched(f"{address}/api/models", headers=KNOWN)[1])
    name, slider = models[0]["name"], models[0]["sliders"][0]["name"]
    # Of the second kind as many as are allowed, in as many pixels.
    bombs = [scans(5000, 64), scans(94, 6000)] * 5
    lines = [await asyncio.open_connection(host, int(port)) for _ in range(SILENT)]
    headers = KNOWN | {"content-type": "application/octet-stream"}
    async with websockets.connect(address.replace("http", "ws", 1) + "/live", additional_headers=KNOWN) as page:

        async def drag(end: float) -> list[float]:
            waits: list[float] = []
            while time.monotonic() < end:
                state = {
                    "stream": 0, "number": len(waits), "model": name, "source": {"seed": 1},
                    "changes": {slider: round(random.uniform(-1, 1), 2)},
                }  # fmt: skip
                begin = time.perf_counter()
                await page.send(json.dumps(state))
                assert isinstance(await asyncio.wait_for(page.recv(), 60), bytes)
                waits.append(time.perf_counter() - begin)
            return waits

        most: list[float] = []

        async def look(end: float) -> None:
            while time.monotonic() < end:
                most.append(memory(server) + sum(map(memory, children(server))))
                await asyncio.sleep(0.5)

        await drag(time.monotonic() + 1)  # warm
        opened = [asyncio.to_thread(fetched, f"{address}/api/open", each, headers) for each in bombs]
        end = time.monotonic() + seconds
        waits, _, *answers = await asyncio.gather(drag(end), look(end), *opened)
    for _, writer in lines:
        writer.close()
    waits.sort()
    return {
        "silent": SILENT,
        "bombs": [status for status, _ in answers],
        "pictures": len(waits),
        "median_ms": round(1000 * statistics.median(waits), 1),
        "p95_ms": round(1000 * waits[int(0.95 * (len(waits) - 1))], 1),
        "memory_mib": round(max(most)),
    }


def scans(count: int, size: int) -> bytes:
    """Return a progressive JPEG whose last scan stands there so many times more."""
    buffer = BytesIO()
    Image.linear_gradient("L").resize((size, size)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def children(process: int | None) -> list[int]:
    """Return the processes that a process has started and that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main()
