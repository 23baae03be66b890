"""A whole photograph in the studio: its faces found, one of them edited in place, and saved as large as it was."""

import base64
import hashlib
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient, WebSocketTestSession

from attrimorph.applications.edit import EditTarget, edit
from attrimorph.data.faces import Face
from attrimorph.errors import AttrimorphError
from attrimorph.requests.edit import Edit
from attrimorph.requests.receipt import read_receipt
from attrimorph.requests.replay import replay
from attrimorph.studio import model_store
from attrimorph.studio.model_store import Gone, Limits, LRUCache, ModelStore, Origin
from attrimorph.studio.opened import SCREEN
from tests.small_models import small_model
from tests.studio.conftest import LIVE, face_png, opened

PEOPLE = Path(__file__).parent.parent / "fixtures" / "photographs"
CHANGES = {"Smiling": 1.0, "Male": -1.0}


def group_photograph(suffix: str, size: tuple[int, int] = (1800, 1000)) -> bytes:
    """Return two people before noise, the larger on the left."""
    room = Image.effect_noise(size, 30).convert("RGB")
    room.paste(Image.open(PEOPLE / "man.jpg").resize((900, 900)), (20, 40))
    room.paste(Image.open(PEOPLE / "woman.jpg").resize((620, 620)), (1120, 200))
    buffer = io.BytesIO()
    room.save(buffer, suffix, **({"quality": 95} if suffix == "JPEG" else {}))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def group() -> bytes:
    return group_photograph("PNG")


def asked(client: TestClient, path: str, **words: Any) -> Any:
    answer = client.post(f"/api/{path}", json={"model": "tiny", **words})
    assert answer.status_code == 200, answer.text
    return answer.json()


def array(content: bytes | str) -> NDArray[np.int64]:
    content = base64.b64decode(content) if isinstance(content, str) else content
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def inside(corners: list[list[float]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels of a picture that lie within the smallest upright rectangle about a frame."""
    low, high = np.floor(np.min(corners, 0)), np.ceil(np.max(corners, 0))
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1]))


def test_faces_are_told_and_one_is_edited_in_the_whole_photograph(client: TestClient, group: bytes) -> None:
    told = client.post("/api/open", content=group, headers={"content-type": "application/octet-stream"}).json()
    assert (told["width"], told["height"], len(told["faces"])) == (1800, 1000, 2)
    before = array(group)
    for face, where in ((None, 0), (1, 0), (2, 1)):
        source = {"photo": told["photo"]} | ({} if face is None else {"face": face})
        seen = asked(client, "reconstruct", source=source)
        assert np.allclose(seen["frame"], told["faces"][where], atol=0.2)
        assert array(seen["screen"]).shape == (711, SCREEN, 3)
        other = {name: 1 - 2 * seen["attributes"][name] for name in CHANGES}
        found = asked(client, "edit", source=source, changes=other)
        after, within = array(found["picture"]), inside(seen["frame"], before.shape)
        assert found["suffix"] == ".png"
        assert after.shape == before.shape
        assert (after != before)[within].any()
        assert not (after != before)[~within].any()


def test_a_save_is_what_the_command_writes(client: TestClient, models: list[str], tmp_path: Path) -> None:
    path = tmp_path / "group.jpg"
    path.write_bytes(group_photograph("JPEG"))
    found = asked(client, "edit", source={"photo": opened(client, path.read_bytes()), "face": 2}, changes=CHANGES)
    request = Edit(model=models[0], images=[path], changes=CHANGES, face="2")
    done = request.write(tmp_path / "out.png", request.load())
    assert found["suffix"] == done.pictures[-1].suffix == ".jpg"
    content = base64.b64decode(found["picture"])
    assert b"edited by attrimorph" in content
    assert np.array_equal(array(content), array(done.pictures[-1].read_bytes()))


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_saved_photograph_is_made_again_from_the_one_beside_it(
    client: TestClient, models: list[str], suffix: str, tmp_path: Path
) -> None:
    content = group_photograph(suffix, (900, 700))
    (tmp_path / "party.img").write_bytes(content)
    for model, words in (("tiny", {"locks": ["Young"]}), ("cycle", {})):
        changes = CHANGES if model == "tiny" else {client.get("/api/models").json()[2]["sliders"][0]["name"]: 1.0}
        source = {"photo": opened(client, content), "face": 1}
        found = asked(client, "edit", model=model, source=source, changes=changes, file="party.img", **words)
        saved = tmp_path / f"saved{found['suffix']}"
        saved.write_bytes(base64.b64decode(found["picture"]))
        again = replay(saved)
        assert again.identical
        assert [each.suffix for each in again.written.pictures] == [".png", found["suffix"]]
        assert np.array_equal(array(again.written.pictures[1].read_bytes()), array(saved.read_bytes()))
        assert replay(again.written.receipt, tmp_path / "third.png").identical
        # One that was edited again tells the last edit alone.
        twice = asked(
            client, "edit", model=model, source={"photo": opened(client, saved.read_bytes())}, changes=changes
        )
        (tmp_path / "twice").write_bytes(base64.b64decode(twice["picture"]))
        told = [read_receipt(path).inputs[0].sha256 for path in (saved, tmp_path / "twice")]
        assert told == [hashlib.sha256(each).hexdigest() for each in (content, saved.read_bytes())]
    done = Edit(model=models[0], images=[saved], changes=CHANGES).write(tmp_path / "edited.png")
    with pytest.raises(AttrimorphError, match="it holds no receipt"):
        read_receipt(done.pictures[-1])
    (tmp_path / "party.img").write_bytes(content + b"!")
    with pytest.raises(AttrimorphError, match=r"party\.img"):
        replay(saved)


def test_a_model_that_tells_fields_is_asked_for_its_own(tmp_path: Path, group: bytes) -> None:
    model, path = small_model(tmp_path / "told", "retouch-64"), tmp_path / "group.png"
    path.write_bytes(group)
    store = ModelStore([str(tmp_path / "told")], "cpu", Limits())
    served, name = store.served("told"), store.open(group)[0]
    seen = store.seen(served, Origin(name))
    targets = [EditTarget(CHANGES), EditTarget({"Smiling": 0.5})]
    pictures, fields = store.pictures(served, [seen, seen], targets)
    for target, picture, found in zip(targets, pictures, fields, strict=True):
        done = edit(model, path, target.changes, face=1)
        assert found is not None
        assert done.fields is not None
        assert torch.equal(found.affine()[0], done.fields.affine()[0])
        assert torch.equal(picture[None], done.edited.as_subclass(torch.Tensor))
    with pytest.raises(AttrimorphError, match="has no codes and cannot lock attributes"):
        store.pictures(served, [seen], [EditTarget(CHANGES, ("Young",))])


def test_a_photograph_unlike_the_models_own_is_told(group: bytes) -> None:
    store = ModelStore(["drawn-faces-64"], "cpu", Limits())
    served = store.served("drawn-faces-64")
    for content, count in ((group, 1), ((PEOPLE.parents[2] / "docs/images/ada.png").read_bytes(), 0)):
        said = store.seen(served, Origin(store.open(content)[0])).said
        assert sum("unlike what drawn-faces-64 was trained on" in each for each in said) == count == len(said)
    assert store.seen(served, Origin(seed=3)).said == ()


def live(page: WebSocketTestSession, **words: Any) -> tuple[list[int], NDArray[np.int64]]:
    """Return where a picture lies, and the picture."""
    page.send_text(json.dumps({"stream": 0, "number": 1, "model": "tiny", "format": "png", **words}))
    message = page.receive_bytes()
    (length,) = struct.unpack("<I", message[:4])
    box, content = json.loads(message[4 : 4 + length])["box"], message[4 + length :]
    if words.get("format") == "rgba":
        return box, np.frombuffer(content, np.uint8).reshape(box[3], box[2], 4)[..., :3].astype(int)
    return box, array(content)


def test_of_a_drag_what_changes_comes_at_screen_size(client: TestClient, group: bytes) -> None:
    source = {"photo": opened(client, group), "face": 2}
    with client.websocket_connect(LIVE) as page:
        for view, width in (({}, SCREEN), ({"width": 600}, 600), ({"width": 4000}, 1800)):
            seen = asked(client, "reconstruct", source=source, view=view)
            screen, scale = array(seen["screen"]), width / 1800
            assert screen.shape[1] == width
            words = {"source": source, "view": view}
            assert live(page, **words)[0] == [0, 0, 1, 1]
            (left, upper, wide, high), shown = live(page, **words, changes=CHANGES)
            # Within the frame, by a pixel; and no more than changes.
            low, far = np.min(seen["frame"], 0) * scale - 1, np.max(seen["frame"], 0) * scale + 1
            assert low[0] <= left < left + wide <= far[0]
            assert low[1] <= upper < upper + high <= far[1]
            own = screen[upper : upper + high, left : left + wide]
            assert shown.shape == own.shape
            assert (shown != own).any(2).mean() > 0.2
            assert np.array_equal(live(page, **words, changes=CHANGES, format="rgba")[1], shown)


def test_near_by_a_part_shows_the_pixels_that_are_saved(client: TestClient, group: bytes) -> None:
    source, box = {"photo": opened(client, group), "face": 1}, [300, 260, 700, 560]
    saved = array(asked(client, "edit", source=source, changes=CHANGES)["picture"])[260:560, 300:700]
    view = {"box": box, "width": 400}
    part = array(asked(client, "reconstruct", source=source, view=view)["screen"])
    assert np.array_equal(part, array(group)[260:560, 300:700])
    with client.websocket_connect(LIVE) as page:
        (left, upper, wide, high), shown = live(page, source=source, view=view, changes=CHANGES)
    part[upper : upper + high, left : left + wide] = shown
    assert np.abs(part - saved).max() <= 1
    assert np.array_equal(part, saved) or (part != saved).mean() < 0.001
    outside = client.post("/api/reconstruct", json={"model": "tiny", "source": source, "view": {"box": [9, 9, 9, 20]}})
    assert outside.status_code == 400
    assert "a part must lie in the photograph of 1800x1000 pixels" in outside.json()["error"]


def test_a_face_that_is_not_there_is_told(client: TestClient, group: bytes) -> None:
    answer = client.post(
        "/api/edit", json={"model": "tiny", "source": {"photo": opened(client, group), "face": 3}, "changes": CHANGES}
    )
    assert answer.status_code == 400
    assert "face must be a number from 1 to 2" in answer.json()["error"]


def test_what_is_a_face_already_has_no_frame(client: TestClient, group: bytes) -> None:
    drawn = asked(client, "reconstruct", source={"photo": opened(client, face_png(1))})
    assert (drawn["frame"], drawn["screen"]) == (None, None)
    # A large one is edited at its own size all the same.
    whole = asked(client, "reconstruct", source={"photo": opened(client, group), "face": 0})
    assert whole["frame"] == [[400, 0], [1400, 0], [1400, 1000], [400, 1000]]


def test_photographs_are_decoded_once_and_kept_bounded_in_bytes(
    models: list[str], group: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, looks = ModelStore([models[0]], "cpu", Limits(decoded_bytes=8 * 2**20)), 0

    def looked(image: Image.Image) -> list[Face]:
        nonlocal looks
        looks += 1
        return []

    monkeypatch.setattr(model_store, "find_faces", looked)
    name, first = store.open(group)
    assert store.opened(name) is first
    other, _ = store.open(group_photograph("JPEG"))
    assert store.opened(name) is not first  # two are too large together
    for _ in range(2):
        assert store.faces(name) == []
    assert looks == 1
    with pytest.raises(Gone):
        store.opened("0" * 40)
    assert other != name


def test_a_cache_weighs_what_it_keeps() -> None:
    cache: LRUCache[str] = LRUCache(5, len)
    for word in ("aa", "bbb", "aa", "cc"):
        cache.get(word, word.lower)
    found = {word: cache.get(word, lambda: "new") for word in ("aa", "cc", "bbb")}
    assert found == {"aa": "aa", "cc": "cc", "bbb": "new"}
    for _ in range(2):
        assert cache.get("all", lambda: "a whole sentence") == "a whole sentence"
