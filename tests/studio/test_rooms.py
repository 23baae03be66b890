"""Rooms of the page that need several models, layers or trainings; in a real Chromium, on tiny models."""

import base64
import io
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from attrimorph.cli import run
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.models import model_bytes
from attrimorph.requests.receipt import read_receipt
from attrimorph.requests.replay import replay
from tests.small_models import small_model
from tests.studio.browsing import ADA, BEN, KNOWN, Page, need_browser, studio

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def models(models: list[str], home: Path) -> list[str]:
    """The models as trained on drawn faces: to them the pictures here are faces already."""
    for each in models:
        model = load(each)
        header = model.header | {"preprocessing": {"drawn": "faces"}}
        (home / Path(each).name).mkdir()
        write_bytes(home / Path(each).name / "model.safetensors", model_bytes(model.networks, header))
    return [str(home / Path(each).name) for each in models]


@pytest.fixture(scope="module")
def address(home: Path, models: list[str]) -> Iterator[str]:
    need_browser()
    with studio(home, *models, "--data", str(home)) as (found, _):
        yield found


def asked(address: str, path: str, words: dict[str, Any] | None = None) -> Any:
    content = None if words is None else json.dumps(words).encode()
    request = urllib.request.Request(f"{address}/api/{path}", content, {"content-type": "application/json", **KNOWN})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_models_side_by_side_show_the_same_photograph(page: Page, address: str, tmp_path: Path) -> None:
    """Each canvas shows what its own model makes of the photograph and the sliders."""
    page.open(ADA)
    for name in ("layered", "cycle"):
        page.page.check(f"#models label:has-text('{name}') input")
    page.slide("Smiling", 1)
    captions = page.page.locator("#pictures figcaption").all_text_contents()
    assert captions == ["tiny", "layered", "cycle"]
    content = base64.b64encode(ADA.read_bytes()).decode()
    told = {each["name"]: each for each in asked(address, "models")}
    for place, name in enumerate(captions):
        own = {slider["name"] for slider in told[name]["sliders"]}
        changes = {"Smiling": 1} if "Smiling" in own else {}
        words = {"model": name, "source": {"image": content}, "changes": changes}
        path = tmp_path / f"{name}.png"
        path.write_bytes(base64.b64decode(asked(address, "edit", words)["picture"]))
        with Image.open(path) as image:
            assert page.pixels(place) == image.convert("RGBA").tobytes(), name
    page.page.uncheck("#models label:has-text('tiny') input")
    assert page.page.locator("#pictures figcaption").all_text_contents() == ["layered", "cycle"]
    page.rest()
    # The sliders are now those of the model that comes first.
    rows = page.page.eval_on_selector_all(".row", "rows => rows.map(row => row.dataset.name)")
    assert set(rows) == {slider["name"] for slider in told["layered"]["sliders"]}


def saved_again(page: Page, tab: str, path: Path) -> str:
    """Press a tab's Save; the file must make itself again. Returns its name."""
    with page.page.expect_download() as coming:
        page.page.click(f"#tab-{tab} button:text-is('Save')")
    coming.value.save_as(path)
    assert replay(path).identical
    return str(coming.value.suggested_filename)


def test_a_face_is_put_in_front_of_another_background(page: Page, address: str, tmp_path: Path) -> None:
    chrome = page.page
    page.open(ADA)
    chrome.click("#for-backdrop")
    chrome.wait_for_selector("#tab-backdrop .slot img[alt=Face]")
    chrome.set_input_files("#tab-backdrop .slot:nth-child(2) input[type=file]", BEN)
    chrome.wait_for_function("() => document.querySelectorAll('#tab-backdrop .slot img:not([alt=\"\"])').length === 2")
    chrome.wait_for_timeout(500)
    with chrome.expect_response("**/api/layers") as coming:
        chrome.click("#tab-backdrop button.strong")
    chrome.wait_for_selector("#tab-backdrop .result img:visible")
    face, behind = (base64.b64encode(path.read_bytes()).decode() for path in (ADA, BEN))
    words = {"model": "layered", "source": {"image": face}, "background": {"image": behind}}
    expected = asked(address, "layers", words)["picture"]
    with opened(coming.value.json()["picture"]) as shown, opened(expected) as told:
        assert shown.tobytes() == told.tobytes()
    assert re.fullmatch(r"background-[\d-]+-layered\.png", saved_again(page, "backdrop", tmp_path / "saved.png"))
    steps = page.steps()
    chrome.click("#tab-backdrop button:text-is('Edit the result')")
    chrome.wait_for_function(f"() => document.querySelectorAll('#tree .step').length > {steps}")


def test_a_morph_is_scrubbed_and_exported(page: Page, tmp_path: Path) -> None:
    import av

    chrome = page.page
    page.open(ADA)
    chrome.click("#for-morph")
    chrome.wait_for_selector("#tab-morph .slot img[alt=From]")
    chrome.set_input_files("#tab-morph .slot:nth-child(2) input[type=file]", BEN)
    chrome.wait_for_selector("#tab-morph .slot img[alt=To]")
    chrome.wait_for_timeout(500)
    assert chrome.is_disabled("#tab-morph button:text-is('Export as MP4')")
    with chrome.expect_response("**/api/morph") as coming:
        chrome.click("#tab-morph button.strong")
    pictures = coming.value.json()["pictures"]
    chrome.wait_for_selector("#tab-morph .result input:enabled")
    for place in (0, 15, len(pictures) - 1):
        chrome.fill("#tab-morph .result input", str(place))
        path = tmp_path / "frame.png"
        path.write_bytes(base64.b64decode(pictures[place]))
        with Image.open(path) as image:
            assert page.painted("#tab-morph .result canvas") == image.convert("RGBA").tobytes(), place
    with chrome.expect_download() as film:
        chrome.click("#tab-morph button:text-is('Export as MP4')")
    assert film.value.suggested_filename == "morph.mp4"
    with av.open(str(film.value.path())) as read:
        assert sum(1 for _ in read.decode(video=0)) >= len(pictures)
    with chrome.expect_download() as moving:
        chrome.click("#tab-morph button:text-is('Export as GIF')")
    with Image.open(moving.value.path()) as read:
        assert read.n_frames >= len(pictures) // 2


def test_the_brush_changes_what_it_painted_and_nothing_else(page: Page, tmp_path: Path) -> None:
    chrome = page.page
    page.open(ADA)
    chrome.click("#for-fill")
    chrome.wait_for_selector("#tab-fill .slot img[alt=Face]")
    chrome.wait_for_timeout(500)
    assert chrome.is_disabled("#tab-fill button:text-is('Save')")
    chrome.click("#tab-fill button.strong")  # nothing is painted yet
    chrome.wait_for_selector("#said.bad")
    box = chrome.locator("#tab-fill .mask").bounding_box()
    across, down = box["width"] / 16, box["height"] / 16
    chrome.mouse.move(box["x"] + 3.5 * across, box["y"] + 12.5 * down)
    chrome.mouse.down()
    chrome.mouse.move(box["x"] + 7.5 * across, box["y"] + 12.5 * down, steps=6)
    chrome.mouse.up()
    before = page.painted("#tab-fill .paint canvas:first-child")
    with chrome.expect_response("**/api/inpaint") as coming:
        chrome.click("#tab-fill button.strong")
    chrome.wait_for_selector("#tab-fill .result img:visible")
    path = tmp_path / "filled.png"
    path.write_bytes(base64.b64decode(coming.value.json()["picture"]))
    with Image.open(path) as image:
        after = image.convert("RGBA").tobytes()
    row = 16 * 4
    assert after[: 6 * row] == before[: 6 * row]  # far above the stroke: the photograph to the bit
    assert after[12 * row : 13 * row] != before[12 * row : 13 * row]
    assert re.fullmatch(r"fill-[\d-]+-tiny\.png", saved_again(page, "fill", tmp_path / "saved.png"))
    with Image.open(tmp_path / "saved.png") as image:
        assert image.convert("RGBA").tobytes() == after
    chrome.click("#tab-fill button:text-is('Clear')")
    assert not any(page.painted("#tab-fill .mask"))


def test_a_training_is_started_stopped_and_gone_on_with(page: Page, home: Path) -> None:
    assert run(["data", "synthetic", str(home / "data"), "--count", "40", "--size", "32"]) == 0
    chrome = page.page
    chrome.set_default_timeout(300_000)
    chrome.click("#for-training")
    chrome.wait_for_selector("#train-recipe option", state="attached")
    assert chrome.is_visible("text=None yet.")
    chrome.select_option("#train-recipe", "quickstart")
    chrome.fill("#train-name", "mine")
    chrome.fill("#train-images", "1000000")
    chrome.fill("#train-data", str(home / "data"))
    chrome.click("#tab-training button.strong")
    mine = "#tab-training li[data-run=mine]"
    chrome.wait_for_selector(f"{mine}[data-state=runs]")
    chrome.click(f"{mine} button:text-is('Curves and samples')", timeout=300_000)
    chrome.wait_for_selector("#tab-training .curves figure")  # two lines of the log
    assert "left" in chrome.text_content(mine)
    chrome.wait_for_selector("#tab-training .sheet img")
    words = chrome.text_content("#tab-training .curves figure figcaption")
    chrome.wait_for_function(
        "words => document.querySelector('#tab-training .curves figcaption')?.textContent !== words", arg=words
    )  # the curves live
    chrome.click(f"{mine} button:text-is('Stop')")
    chrome.wait_for_selector(f"{mine}[data-state=stopped]")
    chrome.click(f"{mine} button:text-is('Go on')")
    chrome.wait_for_selector(f"{mine}[data-state=runs]")
    chrome.wait_for_selector(f"{mine} button:text-is('Stop')")
    chrome.click(f"{mine} button:text-is('Stop')")
    chrome.wait_for_selector(f"{mine}[data-state=stopped]")


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory, models: list[str]) -> Iterator[str]:
    """A studio whose first models make no faces of their own."""
    home = tmp_path_factory.mktemp("picky")
    small_model(home / "interpolating", "homointerp-drawn-64")
    need_browser()
    with studio(home, str(home / "interpolating"), models[2], models[0]) as (found, _):
        yield found


def test_a_model_without_samples_asks_for_a_photograph(chrome: Any, tmp_path: Path, models: list[str]) -> None:
    with studio(tmp_path, models[2]) as (found, _):
        page = Page(chrome, found)
        assert "Open a photograph to begin: cycle" in page.page.text_content("#empty")
        assert not page.page.is_visible("#sample")
        assert not page.page.is_visible("#pictures")
        assert page.page.locator(":is(#save, #before, #undo, #redo):disabled").count() == 4
        for tab in ("edit", "training"):
            page.page.click(f"#for-{tab}")
        page.page.click("#for-edit")
        page.open(ADA)
        assert not page.page.is_visible("#empty")
        page.slide("Smiling", 1)
        with page.page.expect_download() as coming:
            page.page.click("#save")
        coming.value.save_as(tmp_path / "saved.png")
        assert replay(tmp_path / "saved.png").identical
        assert "has no locks" in page.page.text_content("#groups")
        assert page.faults == []
        page.context.close()


def test_a_sample_of_one_model_is_the_photograph_of_the_others(chrome: Any, picky: str, tmp_path: Path) -> None:
    page = Page(chrome, picky)
    chrome_page = page.page
    chrome_page.wait_for_selector(".frame .input")  # drawn by the third, shown to the first
    assert chrome_page.is_visible("#sample")
    for box in range(1, 3):
        chrome_page.check(f"#models input >> nth={box}")
    page.rest()
    assert chrome_page.text_content("#save") == "Save all"
    chrome_page.click("#sample")
    page.rest()
    page.slide("Smiling", 1)
    files: list[Any] = []
    chrome_page.on("download", lambda one: files.append(one))
    chrome_page.click("#save")
    chrome_page.wait_for_function("() => document.querySelector('#said').textContent.startsWith('Saved: 3 files')")
    said = chrome_page.text_content("#said")
    for name in ("interpolating", "cycle", "tiny"):
        assert name in said
        (one,) = [each for each in files if each.suggested_filename.endswith(f"-{name}.png")]
        one.save_as(tmp_path / f"{name}.png")
        assert replay(tmp_path / f"{name}.png").identical
    began = {name: read_receipt(tmp_path / f"{name}.png").facts["began with"] for name in ("interpolating", "tiny")}
    assert began == {"interpolating": "a photograph", "tiny": "a sample of the model"}
    assert page.faults == []
    page.context.close()


def test_sliders_stand_in_the_models_own_groups(chrome: Any, picky: str) -> None:
    page = Page(chrome, picky)
    titles = page.page.locator("#groups legend").all_text_contents()
    assert {"Hair colour", "Gender and beard", "Hairline"} <= set(titles)
    row = page.page.locator(".group:has(legend:text-is('Hair colour')) .row label").all_text_contents()
    assert row == ["Black hair", "Blond hair", "Brown hair", "Grey hair"]
    page.context.close()
