"""A real Chromium on a real studio: what the browser tests and the benchmark of the page share."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
REQUIRED = "ATTRIMORPH_BROWSER"
ADA, BEN = ROOT / "docs/images/ada.png", ROOT / "docs/images/ben.png"
MOST = 60_000  # milliseconds
TOKEN = "0123456789abcdef"  # of every studio that is started here
KNOWN = {"authorization": f"Bearer {TOKEN}"}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Return the browser's path, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def need_browser() -> str:
    """Return the browser's path; without one the tests are left out, or fail where they must not be (`.ci/run`)."""
    path = chromium()
    if path is None:
        words = "no Chromium was found; install it (Debian: apt install chromium) to run the browser tests"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(words)
        pytest.skip(words)
    return path


@contextmanager
def browser(path: str) -> Iterator[Any]:
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@contextmanager
def studio(folder: Path, *words: str, port: str = "0", seconds: float = 300) -> Iterator[tuple[str, float]]:
    """Start the studio by its command, in a folder of its own; give its address, without
    the token, and the seconds until it was ready."""
    begin = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1", "ATTRIMORPH_TOKEN": TOKEN}
    log = folder / "studio.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "attrimorph", "studio", "--port", port, *words],
            cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while "the studio is open: " not in (said := log.read_text()):
                if process.poll() is not None or time.perf_counter() - begin > seconds:
                    raise AssertionError(f"the studio did not open: {said}")
                time.sleep(0.02)
            ready = time.perf_counter() - begin
            yield said.partition("the studio is open: ")[2].partition("/?token=")[0], ready
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
    assert "Traceback" not in log.read_text(), log.read_text()


def entrance(address: str) -> str:
    """Return the address that opens a studio's page."""
    return f"{address}/?token={TOKEN}"


class Page:
    """A page of its own, whose console must stay empty."""

    def __init__(self, chrome: Any, address: str, **options: Any) -> None:
        self.context = chrome.new_context(viewport={"width": 1200, "height": 900}, locale="en-US", **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(MOST)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(entrance(address))
        self.page.wait_for_selector("html[data-ready]")
        self.rest()

    def rest(self) -> None:
        """Wait until the exact picture of the present state is shown."""
        self.page.wait_for_function("() => window.studioAtRest?.()")

    def open(self, path: Path) -> None:
        self.page.set_input_files("#file", path)
        self.page.wait_for_function("() => document.querySelector('#said').textContent === 'Opened.'")
        self.page.wait_for_selector(".frame .input")
        self.rest()

    def slide(self, name: str, value: float, *, let_go: bool = True) -> None:
        self.page.evaluate(
            """([name, value, letGo]) => {
              const input = document.getElementById(`slider ${name}`);
              input.value = value;
              input.dispatchEvent(new Event('input', {bubbles: true}));
              if (letGo) input.dispatchEvent(new Event('change', {bubbles: true}));
            }""",
            [name, value, let_go],
        )
        if let_go:
            self.rest()

    def pixels(self, which: int = 0) -> bytes:
        """Return what a canvas shows, RGBA."""
        self.rest()
        return self.painted(f"#pictures figure:nth-child({which + 1}) canvas")

    def painted(self, canvas: str) -> bytes:
        """Return what a canvas anywhere shows, RGBA."""
        data = self.page.eval_on_selector(
            canvas, "part => Array.from(part.getContext('2d').getImageData(0, 0, part.width, part.height).data)"
        )
        return bytes(data)

    def steps(self) -> int:
        return int(self.page.locator("#tree .step").count())

    def done(self) -> None:
        self.page.wait_for_function("() => !document.querySelector('#said').textContent.includes('Working')")
