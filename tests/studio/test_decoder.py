"""Photographs decoded in processes of their own, with bounded time and memory; and how much is kept of them."""

import base64
import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.data.images import MOST_SCANS
from attrimorph.errors import AttrimorphError
from attrimorph.photographs.file import Photograph, read_photograph
from attrimorph.studio.decoder import PhotographReader
from attrimorph.studio.model_store import Limits, LRUCache, ModelStore, Origin, weight
from attrimorph.studio.render_queue import RenderQueue
from attrimorph.studio.server import create_app
from tests.studio.conftest import face_png, let_in

MIB = 2**20


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def scans(count: int, size: int = 64) -> bytes:
    """Return a progressive JPEG whose last scan stands there so many times more."""
    content = encoded(Image.effect_noise((size, size), 60), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


@pytest.fixture
def decoder() -> PhotographReader:
    return PhotographReader(60, 1024 * MIB, 160 * MIB)


def test_a_process_reads_what_the_program_reads(decoder: PhotographReader) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    noise = Image.effect_noise((90, 60), 60)
    deep = Image.fromarray(np.arange(6000, dtype=np.uint16).reshape(60, 100))
    for content in (
        face_png(1), encoded(noise.convert("RGB"), "JPEG", exif=turned), encoded(noise.convert("RGBA"), "WEBP"),
        encoded(deep, "PNG"), encoded(noise, "TIFF", dpi=(300, 300)),
    ):  # fmt: skip
        found, own = decoder.read(content, 10_000), read_photograph(content)
        assert np.array_equal(found.pixels, own.pixels)
        assert (found.format, found.orientation, found.notes) == (own.format, own.orientation, own.notes)
        assert found.bytes() == own.bytes()
    (worker,) = decoder._idle  # one for all
    with pytest.raises(AttrimorphError, match="the mask is no readable image"):
        decoder.read(b"no picture", 10_000, "the mask")
    assert decoder._idle == [worker]
    decoder.close()
    assert worker.process.poll() is not None


def test_what_takes_too_long_is_ended() -> None:
    hasty = PhotographReader(0.001, 1024 * MIB, 160 * MIB)
    for _ in range(2):
        with pytest.raises(AttrimorphError, match=r"must be decoded within 0\.001 s; it takes longer"):
            hasty.read(face_png(1), 10_000)
    assert hasty._idle == []
    hasty.seconds = 60
    assert hasty.read(face_png(1), 10_000).size == (48, 48)
    hasty.close()


def test_what_takes_too_much_memory_is_refused() -> None:
    small = PhotographReader(60, 64 * MIB, MIB)
    with pytest.raises(AttrimorphError, match="must be decoded in 64 MiB"):
        small.read(encoded(Image.new("I;16", (7000, 7000)), "PNG"), 50_000_000)
    with pytest.raises(AttrimorphError, match="at most 1 MiB decoded; it takes 2"):
        small.read(encoded(Image.new("RGB", (1000, 1000)), "PNG"), 50_000_000)
    assert small.read(face_png(1), 10_000).size == (48, 48)
    small.close()


def test_scans_without_end_are_refused(models: list[str]) -> None:
    assert read_photograph(scans(1)).size == (64, 64)
    bomb = scans(2 * MOST_SCANS)
    with pytest.raises(AttrimorphError, match=f"at most {MOST_SCANS} scans"):
        read_photograph(bomb)
    with let_in(create_app(models[:1])) as client:
        answer = client.post("/api/open", content=bomb, headers={"content-type": "application/octet-stream"})
        assert (answer.status_code, "scans" in answer.json()["error"]) == (400, True)
        words = {"model": "tiny", "source": {"seed": 1}, "mask": base64.b64encode(bomb).decode()}
        answer = client.post("/api/inpaint", json=words)
        assert (answer.status_code, "the mask must be a JPEG" in answer.json()["error"]) == (400, True)


def test_frames_without_end_are_not_counted() -> None:
    picture = encoded(Image.new("P", (8, 8)), "GIF")
    head, frame = picture[:-1], picture[picture.index(b",") : -1]
    few, many = head + frame * 2 + b";", head + frame * 100_000 + b";"

    def took(content: bytes) -> float:
        begin = time.thread_time()
        assert read_photograph(content).notes[0] == "only the first of its pictures is taken"
        return time.thread_time() - begin

    took(few)
    assert took(many) < 100 * (took(few) + 0.001)


def test_the_device_waits_for_no_decoding(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request holds is decoded before it has the device."""
    queues: list[RenderQueue] = []
    held: list[bool] = []
    read = PhotographReader.read

    def made(store: ModelStore) -> RenderQueue:
        queues.append(RenderQueue(store))
        return queues[0]

    def watched(self: PhotographReader, content: bytes, most_pixels: int, called: str = "the photograph") -> Photograph:
        held.append(queues[0].device.locked())
        return read(self, content, most_pixels, called)

    monkeypatch.setattr("attrimorph.studio.server.RenderQueue", made)
    monkeypatch.setattr(PhotographReader, "read", watched)
    hole = Image.new("L", (16, 16))
    hole.paste(255, (3, 3, 8, 8))
    mask = {"source": image(4), "mask": base64.b64encode(encoded(hole, "PNG")).decode()}
    with let_in(create_app(models[:1])) as client:
        for path, words in (("edit", {"source": image(1)}), ("morph", {"first": image(2), "second": image(3)}),
                            ("inpaint", mask)):  # fmt: skip
            answer = client.post(f"/api/{path}", json={"model": "tiny", **words})
            assert answer.status_code == 200, answer.text
    assert held == [False] * 5


def image(seed: int) -> dict[str, str]:
    return {"image": base64.b64encode(face_png(seed)).decode()}


def test_stores_are_bounded_by_bytes(models: list[str]) -> None:
    store = ModelStore(models[:1], "cpu", Limits(subject_bytes=40_000))
    served = store.served("tiny")
    one = weight(store.seen(served, Origin(seed=0)))
    assert one > 3 * 16 * 16 * 4
    for seed in range(100):
        store.seen(served, Origin(seed=seed))
    assert store._seen._weight <= 40_000
    assert weight([b"x" * 1000, {"a": np.zeros(1000, np.uint8)}, torch.zeros(250)]) >= 3000
    kept: LRUCache[bytes] = LRUCache(3000, weight)
    for number in range(10):
        kept.get(number, lambda: bytes(1000))
    assert len(kept._found) == 2
