"""A first time in the studio, step by step as a new user takes it, with a picture of each step.

    python -m tests.studio.walkthrough docs/images/studio [MODEL ...] [--width desktop|phone] [--runs FOLDER]

Writes NN-STEP.png (palette, small) for a desktop's and phone-NN-STEP.png for a phone's width, .jpg where a photograph
is edited. The studio is as it opens when nothing is named; or it has the models named beside `portraits-128` and
`drawn-faces-64`, and the steps with several models and with layers are taken with these. Every step waits for what it
shows, so that one that fails ends the walk.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from attrimorph.cli.using import SHIPPED
from attrimorph.models import DRAWN, PHOTOGRAPHS
from attrimorph.reproductions.quickstart import PHOTOGRAPH
from attrimorph.requests.replay import replay
from tests.studio.browsing import ADA, BEN, browser, entrance, need_browser, studio

SIZES = {"desktop": (1180, 880), "phone": (390, 800)}
COLOURS = 128
MOUTH = (0.5, 0.51)  # of the photograph that the studio opens with, of its width and height
LAYERS = "discvae-drawn-64"  # shipped
DRAGS = 23  # the seed of a sample on which make-up on an old face waves the hair
TRAINING = (
    "data synthetic data --count 1000 --size 32",
    "train quickstart --data data --out runs/first --training.images=6000 --training.sample-images=2000",
)
"""What the training tab has to show."""
REDDEST = """
images => images.map((image, place) => {
  const pen = Object.assign(document.createElement('canvas'), {width: 64, height: 64}).getContext('2d');
  pen.drawImage(image, 0, 0, 64, 64);
  const hair = pen.getImageData(26, 9, 12, 5).data, [red, green, blue] = [0, 1, 2].map(
    (channel) => hair.reduce((sum, value, at) => sum + (at % 4 === channel ? value : 0), 1));
  return [(red - green) * (red - blue) / red ** 2, place];
}).sort(([one], [other]) => other - one).map(([, place]) => place)
"""
"""The samples by how ginger they are where the hair is, skin being less: something to teach that no slider is there
for."""


class Walk:
    """A page, and the pictures taken of it.

    Args:
        chrome: the browser.
        address: of the studio.
        width: "desktop" or "phone".
        out: where pictures go.
    """

    def __init__(self, chrome: Any, address: str, width: str, out: Path) -> None:
        across, down = SIZES[width]
        self.phone, self.out, self.taken = width == "phone", out, 0
        context = chrome.new_context(
            viewport={"width": across, "height": down}, locale="en-US", accept_downloads=True,
            has_touch=self.phone, is_mobile=self.phone,
        )  # fmt: skip
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)
        self.page.goto(entrance(address))
        self.page.wait_for_selector("html[data-ready]")
        self.rest()

    def rest(self) -> None:
        """Wait until the page shows the exact picture of its state."""
        self.page.wait_for_function("() => window.studioAtRest?.()")

    def idle(self) -> None:
        """Wait until nothing is being worked at."""
        self.page.wait_for_function("() => !document.querySelector('#said').textContent.includes('Working')")

    def shot(self, name: str, at: str | None = None, *, said: bool = False) -> None:
        """Take a picture of what is seen; `at` is scrolled to first, `said` keeps what the page has said."""
        if not said:
            self.page.evaluate("() => { document.querySelector('#said').textContent = ''; }")
        if at is None:
            self.page.evaluate("() => window.scrollTo(0, 0)")
        else:
            # On a phone the picture stays at the top.
            above = self.page.evaluate("() => document.querySelector('#pictures').offsetHeight") if self.phone else 0
            self.page.eval_on_selector(
                at, f"part => window.scrollBy(0, part.getBoundingClientRect().top - {above + 8})"
            )
        self.page.wait_for_timeout(250)
        self.taken += 1
        path = self.out / f"{'phone-' if self.phone else ''}{self.taken:02}-{name}"
        with Image.open(io.BytesIO(self.page.screenshot())) as image:
            small = image.convert("RGB")
        if not self.phone:
            small = small.resize((small.width * 3 // 4, small.height * 3 // 4), Image.Resampling.LANCZOS)
        if self.page.locator("#pictures .whole:visible").count():
            path = path.with_suffix(".jpg")
            small.save(path, quality=85, subsampling=0)
        else:
            path = path.with_suffix(".png")
            small.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size >> 10} KB", flush=True)

    def tab(self, name: str) -> None:
        """Go to a tab."""
        self.page.evaluate("() => window.scrollTo(0, 0)")
        self.page.click(f"#for-{name}")

    def press(self, name: str, times: int) -> None:
        """Press a slider's + or -."""
        label = f"[data-name='{name}'] .nudge >> nth={1 if times > 0 else 0}"
        for _ in range(abs(times)):
            self.page.click(label)
        self.rest()


def photograph(walk: Walk, folder: Path) -> None:
    """Make the person of the photograph smile, come closer, save."""
    page = walk.page
    walk.shot("open")
    walk.press("Smiling", 7)
    walk.press("Mouth_Slightly_Open", 7)
    walk.shot("smile", "#panel" if walk.phone else None)
    page.check("#split")
    page.locator(".whole .frame").scroll_into_view_if_needed()
    box = page.locator(".whole .frame").bounding_box()
    across, down = MOUTH
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    page.mouse.wheel(0, -1000)
    page.wait_for_selector(".whole canvas.near")
    walk.rest()
    walk.shot("closer")
    page.mouse.wheel(0, 1000)
    page.wait_for_selector(".whole canvas.near", state="detached")
    page.uncheck("#split")
    with page.expect_download() as coming:
        page.click("#save")
    saved = folder / coming.value.suggested_filename
    coming.value.save_as(saved)
    shutil.copy(PHOTOGRAPH, folder)
    with Image.open(saved) as edited, Image.open(PHOTOGRAPH) as before:
        assert edited.size == before.size
    assert replay(saved).identical
    walk.idle()
    walk.shot("saved", said=True)


def drawn(walk: Walk) -> None:
    """Open a drawn face, search for a slider, undo; be warned, and lock."""
    page = walk.page
    page.set_input_files("#file", ADA)
    page.wait_for_selector(".frame .input")
    walk.rest()
    walk.idle()
    walk.shot("drawn-face", said=True)
    page.fill("#search", "hair")
    walk.press("Blond_Hair", 10)
    walk.shot("search", "#panel" if walk.phone else None)
    page.fill("#search", "")
    page.click("#undo")  # another edit from here on is a branch
    walk.rest()
    walk.press("Wearing_Hat", 10)
    walk.shot("history", "#tree")
    # A sample whose edit drags something along; the button takes what chance says.
    page.evaluate(f"() => {{ Math.random = () => {DRAGS + 0.5} / 2 ** 31; }}")
    page.click("#sample")
    walk.rest()
    walk.press("Young", -20)
    walk.press("Heavy_Makeup", 20)
    page.wait_for_selector("button.warning")
    walk.shot("warning")
    page.locator("button.warning").first.click()
    walk.rest()
    walk.shot("locked")


def rooms(walk: Walk, folder: Path) -> None:
    """Take a step in every other tab."""
    page = walk.page
    walk.tab("faces")
    page.wait_for_selector("#tab-faces .thumbs button")
    page.click("#tab-faces .chips button:text-is('Glasses')")
    page.click("#tab-faces .chips button:text-is('Smile')")
    page.click("#tab-faces button.strong")
    walk.idle()
    walk.shot("faces")
    walk.tab("morph")
    page.set_input_files("#tab-morph input[type=file] >> nth=1", BEN)
    page.wait_for_timeout(1500)
    page.click("#tab-morph button.strong")
    page.wait_for_selector("#tab-morph .result input:enabled")
    page.fill("#tab-morph .result input", "16")
    walk.shot("morph")
    walk.tab("fill")
    page.wait_for_selector("#tab-fill .slot img[alt=Face]")
    page.wait_for_timeout(500)
    page.locator("#tab-fill .mask").scroll_into_view_if_needed()
    box = page.locator("#tab-fill .mask").bounding_box()
    at = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.3, 0.42), (0.5, 0.44), (0.7, 0.42))
    ]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.click("#tab-fill button.strong")
    page.wait_for_selector("#tab-fill .result img:visible")
    walk.idle()
    walk.shot("fill")
    walk.tab("teach")
    page.wait_for_selector("#tab-teach .thumbs button")
    walk.idle()
    red = page.eval_on_selector_all("#tab-teach .thumbs img", REDDEST)
    for number in red[:10]:
        page.click(f"#tab-teach .thumbs button >> nth={number}")
    for number in red[-10:]:
        page.dblclick(f"#tab-teach .thumbs button >> nth={number}")
    page.fill("#teach-name", "Ginger hair")
    walk.shot("teach")
    page.click("#tab-teach button.strong")
    page.wait_for_selector("[data-name='Ginger hair']", timeout=400_000)
    walk.press("Ginger hair", 10)
    walk.shot("taught", "#panel" if walk.phone else None, said=True)
    walk.tab("folder")
    pictures = folder / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        faces(pictures)
    page.set_input_files("#tab-folder input[type=file] >> nth=0", pictures)
    page.wait_for_function("() => document.querySelector('#tab-folder').textContent.includes('24 of 24')")
    page.click("#tab-folder .chips button:text-is('Glasses')")
    page.click("#tab-folder button:text-is('Find')")
    page.wait_for_selector("#tab-folder .thumbs figcaption")
    walk.idle()
    walk.shot("folder", "#tab-folder .thumbs" if walk.phone else None)
    if page.locator("#for-backdrop").count():
        walk.tab("backdrop")
        page.set_input_files("#tab-backdrop input[type=file] >> nth=1", BEN)
        page.wait_for_timeout(1500)
        page.click("#tab-backdrop button.strong")
        page.wait_for_selector("#tab-backdrop .result img:visible")
        walk.idle()
        walk.shot("background")
    walk.tab("training")
    page.wait_for_selector("#tab-training .runs li")
    page.click("#tab-training .runs li:first-child .bar button >> nth=0")
    page.wait_for_selector("#tab-training .curves figure")
    page.wait_for_timeout(800)
    walk.shot("training")


def ending(walk: Walk, second: int) -> None:
    """Two models beside each other, the other by its box; dark; Chinese."""
    page = walk.page
    walk.tab("edit")
    page.set_input_files("#file", BEN)  # a sample is another face with every model, a photograph is the same
    page.wait_for_selector(".frame .input")
    page.locator("#models input").nth(second).check()
    walk.rest()
    walk.press("Wearing_Hat", 10)
    page.wait_for_function("() => document.querySelectorAll('.frame .input').length === 2")
    walk.shot("models")
    page.click("#theme")
    page.click("#theme")
    page.click("#language")
    walk.rest()
    walk.shot("dark-chinese")


def faces(folder: Path) -> None:
    """Draw faces into a folder."""
    import torch

    from attrimorph.data.drawn import faces
    from attrimorph.pictures import to_pil

    drawn = faces.render(faces.sample_factors(24, torch.Generator().manual_seed(5)), 64)
    for number, picture in enumerate(to_pil(drawn)):
        picture.save(folder / f"face-{number + 1:02}.png")


def walked(out: Path, widths: list[str], models: list[str], runs: Path | None = None) -> None:
    """Take the walk."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, browser(need_browser()) as chrome:
        folder = Path(name)
        for command in () if runs else TRAINING:
            words = [sys.executable, "-m", "attrimorph", *command.split()]
            subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        served = [PHOTOGRAPHS, DRAWN, *models] if models else []
        for width in widths:
            # A studio of its own: what was taught stays in it.
            with studio(folder, *served, "--runs", str(runs or folder / "runs")) as (address, _):
                walk = Walk(chrome, address, width, out)
                photograph(walk, folder)
                drawn(walk)
                rooms(walk, folder)
                ending(walk, 2 if models else SHIPPED.index(LAYERS))
                assert walk.faults == [], walk.faults


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("models", nargs="*")
    words.add_argument("--width", choices=list(SIZES), action="append")
    words.add_argument("--runs", type=Path, help="a folder of trainings to show, instead of a short one made now")
    asked = words.parse_args()
    models = [str(Path(model).resolve()) if Path(model).exists() else model for model in asked.models]
    walked(asked.out, asked.width or list(SIZES), models, asked.runs and asked.runs.resolve())


if __name__ == "__main__":
    main()
