"""Live edits: the newest state wins, what arrives together is decoded together, one fault harms nobody else."""

import asyncio
import base64
import io
import json
import struct
import threading
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from attrimorph.applications.edit import EditTarget
from attrimorph.data.faces import Face
from attrimorph.photographs.file import Photograph
from attrimorph.studio import model_store
from attrimorph.studio.decoder import PhotographReader
from attrimorph.studio.model_store import Limits, ModelStore, Origin
from attrimorph.studio.render_queue import Live, Rendered, RenderQueue
from tests.studio.conftest import LIVE, face_png, let_in, opened


def read(message: bytes) -> tuple[dict[str, Any], Image.Image]:
    (length,) = struct.unpack("<I", message[:4])
    return json.loads(message[4 : 4 + length]), Image.open(io.BytesIO(message[4 + length :]))


def state(number: int, **words: Any) -> str:
    return json.dumps({"stream": 0, "number": number, "model": "tiny", "source": {"seed": 3}} | words)


def test_a_state_becomes_a_picture(client: TestClient, photograph: bytes) -> None:
    with client.websocket_connect(LIVE) as page:
        for format in ("jpeg", "webp", "png"):
            page.send_text(
                state(7, source={"photo": opened(client, photograph)}, changes={"Smiling": 1}, format=format)
            )
            head, image = read(page.receive_bytes())
            assert (head["stream"], head["number"], image.format, image.size) == (0, 7, format.upper(), (16, 16))


def test_bare_bytes_are_the_exact_picture(client: TestClient) -> None:
    with client.websocket_connect(LIVE) as page:
        page.send_text(state(1, changes={"Smiling": 0.7}, format="png"))
        _, exact = read(page.receive_bytes())
        page.send_text(state(2, changes={"Smiling": 0.7}, format="rgba"))
        message = page.receive_bytes()
    (length,) = struct.unpack("<I", message[:4])
    assert json.loads(message[4 : 4 + length])["format"] == "rgba"
    assert message[4 + length :] == exact.convert("RGBA").tobytes()


def test_side_effects_are_null_where_nobody_looked(client: TestClient) -> None:
    with client.websocket_connect(LIVE) as page:
        for number, watch in enumerate((True, False)):
            page.send_text(state(number, changes={"Smiling": 1}, watch=watch))
            head, _ = read(page.receive_bytes())
            assert isinstance(head["besides"], dict) == watch


def test_the_exact_picture_is_the_saved_one(client: TestClient) -> None:
    words: dict[str, Any] = {"model": "tiny", "source": {"seed": 3}, "changes": {"Smiling": 0.3, "Male": 1}}
    with client.websocket_connect(LIVE) as page:
        page.send_text(state(1, changes=words["changes"], format="png"))
        _, image = read(page.receive_bytes())
    saved = base64.b64decode(client.post("/api/edit", json=words).json()["picture"])
    assert image.tobytes() == Image.open(io.BytesIO(saved)).tobytes()


def test_faces_are_looked_for_while_others_have_the_device(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a search takes seconds of a large photograph."""
    held: list[bool] = []
    queue = next(thread for thread in threading.enumerate() if thread.name == "studio queue")

    def looked(image: Image.Image) -> list[Face]:
        held.append(threading.current_thread() is queue)
        return []

    monkeypatch.setattr(model_store, "find_faces", looked)
    with client.websocket_connect(LIVE) as page:
        page.send_text(state(1, source={"image": base64.b64encode(face_png(901, 40)).decode()}))
        page.receive_bytes()
        page.send_text(state(2, source={"image": base64.b64encode(face_png(902, 40)).decode(), "face": 0}))
        page.receive_bytes()
    assert held == [False]


def test_faults_come_back_with_their_number(client: TestClient) -> None:
    with client.websocket_connect(LIVE) as page:
        page.send_text(state(1, changes={"Smilng": 1}))
        told = json.loads(page.receive_text())
        assert (told["number"], told["status"], "did you mean" in told["error"]) == (1, 400, True)
        page.send_text(state(2, source={"photo": "0" * 40}))
        assert json.loads(page.receive_text())["status"] == 410
        page.send_text(state(3, stream=60))
        assert json.loads(page.receive_text())["status"] == 400
        page.send_text("no json")
        assert json.loads(page.receive_text())["status"] == 422
        page.send_text(state(4))
        assert read(page.receive_bytes())[0]["number"] == 4


def test_a_photograph_in_a_message_keeps_nobody_waiting(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small message may hold a photograph of many megapixels: it is never decoded where all pages are served."""
    serving: list[bool] = []

    read_in_process = PhotographReader.read

    def watched(*words: Any) -> Photograph:
        serving.append(asyncio._get_running_loop() is not None)
        return read_in_process(*words)

    monkeypatch.setattr(PhotographReader, "read", watched)
    with client.websocket_connect(LIVE) as page:
        page.send_text(state(1, source={"image": base64.b64encode(face_png(77)).decode()}))
        assert read(page.receive_bytes())[0]["number"] == 1
    assert serving
    assert not any(serving)


@pytest.fixture
def queue(models: list[str]) -> Any:
    found = RenderQueue(ModelStore(models, "cpu", Limits()))
    yield found
    found.close()


def live(queue: RenderQueue, seed: int = 3, **changes: float) -> Live:
    return Live(queue.store.served("tiny"), Origin(seed=seed), EditTarget(changes), "png")


def test_stale_states_are_dropped(queue: RenderQueue) -> None:
    answers: list[tuple[int, Rendered | Exception]] = []
    arrived = threading.Event()

    def take(number: int) -> Any:
        def answer(found: Rendered | Exception) -> None:
            answers.append((number, found))
            if number == 49:
                arrived.set()

        return answer

    with queue.device:  # nothing can be computed while these arrive
        for number in range(50):
            queue.submit("stream", live(queue, Smiling=number / 49), take(number))
    assert arrived.wait(10)
    # The first may have been taken before the others came.
    assert [number for number, _ in answers] in ([49], [0, 49])
    assert queue.dropped >= 48
    (expected,) = queue.frames([live(queue, Smiling=1.0)])
    assert isinstance(expected, Rendered)
    assert answers[-1][1] == expected


def test_what_arrives_together_is_decoded_together_and_one_fault_harms_nobody(
    queue: RenderQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    pictures = queue.store.pictures

    def counted(served: Any, seen: Any, wishes: Any) -> torch.Tensor:
        sizes.append(len(seen))
        return pictures(served, seen, wishes)

    monkeypatch.setattr(queue.store, "pictures", counted)
    found = queue.frames([live(queue, seed) for seed in range(5)])
    assert sizes == [5]
    assert all(isinstance(each, Rendered) for each in found)
    broken = [
        live(queue, 0),
        live(queue, 1, Smilng=1.0),
        Live(live(queue).served, Origin("0" * 40), EditTarget()),
        live(queue, 2),
    ]
    mixed = queue.frames(broken)
    assert [isinstance(each, Rendered) for each in mixed] == [True, False, False, True]
    for one, other in ((mixed[0], found[0]), (mixed[3], found[2])):
        assert isinstance(one, Rendered)
        assert isinstance(other, Rendered)
        with Image.open(io.BytesIO(one.picture)) as a, Image.open(io.BytesIO(other.picture)) as b:
            difference = [abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True)]
        assert max(difference) <= 1  # another batch size may round the last bit differently


def test_streams_of_several_models_all_get_their_pictures(client: TestClient) -> None:
    photo = opened(client, face_png(4))
    with client.websocket_connect(LIVE) as page:
        for stream, model in enumerate(("tiny", "layered", "cycle")):
            page.send_text(state(stream, stream=stream, model=model, source={"photo": photo}, changes={"Smiling": 1}))
        heads = [read(page.receive_bytes())[0] for _ in range(3)]
    assert {head["stream"] for head in heads} == {0, 1, 2}


def test_long_work_gives_way_to_live_edits(queue: RenderQueue) -> None:
    arrived = threading.Event()
    with queue.device:
        queue.submit("stream", live(queue), lambda found: arrived.set())
        for _ in range(50):
            queue.give_way()
            if arrived.wait(0.05):
                break
        assert arrived.is_set()


def test_side_effects_are_told_of_the_shipped_model() -> None:
    from attrimorph.studio.server import create_app

    with let_in(create_app()) as client, client.websocket_connect(LIVE) as page:
        told, held = [], []
        for number, seed in enumerate(range(16)):
            words: dict[str, Any] = {"model": "drawn-faces-64", "source": {"seed": seed}}
            page.send_text(state(number, **words, changes={"Young": -1, "Heavy_Makeup": 1}))
            besides = read(page.receive_bytes())[0]["besides"]
            told += [abs(change) for change in besides.values()]
            if besides:
                page.send_text(state(number, **words, changes={"Young": -1, "Heavy_Makeup": 1}, locks=list(besides)))
                after = read(page.receive_bytes())[0]["besides"]
                held += [abs(after.get(name, 0.0)) for name in besides]
    assert told
    assert min(told) >= 0.2
    assert sum(held) < 0.5 * sum(told)


def test_a_dragged_picture_with_locks_is_the_one_that_is_saved() -> None:
    queue = RenderQueue(ModelStore(("drawn-faces-64",), "cpu", Limits()))
    try:
        served = queue.store.served("drawn-faces-64")
        wish = EditTarget({"Heavy_Makeup": 0.8}, ("Wavy_Hair", "Male", "Young"))
        live = [Live(served, Origin(seed=6), wish, format) for format in ("rgba", "png")]
        quick, saved = (queue.frames([each])[0] for each in live)
        assert isinstance(quick, Rendered)
        assert isinstance(saved, Rendered)
        assert quick.picture == Image.open(io.BytesIO(saved.picture)).convert("RGBA").tobytes()
    finally:
        queue.close()
