"""The API does what the command line does, and answers what it cannot do with a sentence."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from attrimorph.applications.edit import edit
from attrimorph.applications.filling import inpaint
from attrimorph.applications.generating import transfer
from attrimorph.applications.morph import morph
from attrimorph.loading import load
from attrimorph.pictures import pixels_of, to_bytes
from attrimorph.requests.replay import replay
from attrimorph.studio.server import create_app
from tests import certificates
from tests.certificates import credentials_of
from tests.studio.conftest import face_png, let_in, opened


def pixels(text: str) -> torch.Tensor:
    """Base64 PNG -> uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return ((pixels_of(image.convert("RGB"))[0] + 1) * 127.5).round().byte().permute(1, 2, 0)


def expected(images: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(to_bytes(images)[0])


def asked(client: TestClient, path: str, **words: Any) -> Any:
    answer = client.post(f"/api/{path}", json=words)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def on_disk(tmp_path: Path, photograph: bytes) -> Path:
    path = tmp_path / "face.png"
    path.write_bytes(photograph)
    return path


def test_models_tell_what_they_can_do(client: TestClient) -> None:
    told = {each["name"]: each for each in client.get("/api/models").json()}
    assert list(told) == ["tiny", "layered", "cycle"]
    assert told["tiny"]["can"]["sample"]
    assert not told["tiny"]["can"]["layers"]
    assert told["layered"]["can"]["layers"]
    assert [each["name"] for each in told["cycle"]["sliders"]] == ["Smiling"]
    assert told["cycle"]["locks"] == []
    assert len(told["tiny"]["locks"]) == len(told["tiny"]["sliders"]) == 25


def test_an_edit_is_the_command_lines(
    client: TestClient, models: list[str], photograph: bytes, on_disk: Path, tmp_path: Path
) -> None:
    changes = {"Smiling": 0.7, "Male": -1.0}
    for source in ({"photo": opened(client, photograph)}, {"image": base64.b64encode(photograph).decode()}):
        found = asked(client, "edit", model="tiny", source=source, changes=changes)
        model = load(models[0])
        assert torch.equal(pixels(found["picture"]), expected(edit(model, model.prepared([on_disk]), changes).edited))
    saved = tmp_path / "saved.png"
    saved.write_bytes(base64.b64decode(found["picture"]))
    assert replay(saved).identical


def test_a_photograph_is_seen_as_the_model_sees_it(client: TestClient, photograph: bytes) -> None:
    told = asked(client, "reconstruct", model="tiny", source={"photo": opened(client, photograph)})
    assert pixels(told["input"]).shape == (16, 16, 3)
    assert set(told["attributes"].values()) <= {0, 1}
    known = {"photo": opened(client, photograph), "known": {"Male": 1 - told["attributes"]["Male"]}}
    assert asked(client, "reconstruct", model="tiny", source=known)["attributes"]["Male"] != told["attributes"]["Male"]


def test_samples_are_sources(client: TestClient) -> None:
    told = asked(client, "sample", model="tiny", count=3, seed=5, changes={"Male": 1})
    assert len(told["pictures"]) == 3
    alone = asked(client, "reconstruct", model="tiny", source={"seed": 6, "held": {"Male": 1}})
    assert alone["picture"] == told["pictures"][1] or torch.equal(pixels(alone["picture"]), pixels(told["pictures"][1]))
    assert alone["input"] is None
    assert alone["attributes"]["Male"] == 1


def test_a_morph_is_the_command_lines(client: TestClient, models: list[str], photograph: bytes, tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, content in zip(paths, (photograph, face_png(2)), strict=True):
        path.write_bytes(content)
    names = [opened(client, path.read_bytes()) for path in paths]
    told = asked(
        client, "morph", model="tiny", first={"photo": names[0]}, second={"photo": names[1]}, steps=4, gif=True
    )
    model = load(models[0])
    images = model.prepared(paths)
    found = morph(model, images[:1], images[1:], 4).images
    for row, text in enumerate(told["pictures"]):
        assert torch.equal(pixels(text), expected(found[row : row + 1]))
    with Image.open(io.BytesIO(base64.b64decode(told["gif"]))) as moving:
        assert moving.n_frames > 4


def test_a_morph_is_exported_as_animation_and_film(client: TestClient) -> None:
    words = {"model": "tiny", "first": {"seed": 1}, "second": {"seed": 2}, "steps": 3}
    told = asked(client, "morph", **words)
    assert (told["gif"], told["mp4"]) == (None, None)
    assert client.get("/api/studio").json()["films"] is True
    film = base64.b64decode(asked(client, "morph", mp4=True, **words)["mp4"])
    import av

    with av.open(io.BytesIO(film)) as read:
        assert sum(1 for _ in read.decode(video=0)) > 3


def test_what_is_saved_says_so_in_words_that_others_read(models: list[str], photograph: bytes, tmp_path: Path) -> None:
    words: dict[str, Any] = {"model": "tiny", "changes": {"Smiling": 1}}
    kinds = {"gif": "image/gif", "mp4": "video/mp4"}
    for label, signature in ((True, certificates.signature()), (True, None), (False, certificates.signature())):
        app = create_app(models[:1], label=label, signature=signature)
        with let_in(app) as client:
            assert client.get("/api/studio").json()["signs"] is (label and signature is not None)
            sources = [({"seed": 3}, "/trained"), ({"photo": opened(client, photograph)}, "/compositeWithTrained")]
            for source, word in sources:
                content = base64.b64decode(asked(client, "edit", source=source, **words)["picture"])
                path = tmp_path / "saved.png"
                path.write_bytes(content)
                assert replay(path).identical
                with Image.open(path) as image:
                    image.load()
                    assert (word in image.info.get("XML:com.adobe.xmp", "")) is label
                    assert ("attrimorph" in image.info) is label
                told = credentials_of(content, "image/png")
                assert (told is not None) is (label and signature is not None)
                assert told is None or told["validation_state"] == "Valid"
            moving = asked(client, "morph", model="tiny", first={"seed": 1}, second={"seed": 2}, gif=True, mp4=True)
            for name, kind in kinds.items():
                told = credentials_of(base64.b64decode(moving[name]), kind)
                assert (told is not None) is (label and signature is not None)


def test_a_path_says_what_it_can_be_asked_by(models: list[str], tmp_path: Path) -> None:
    with let_in(create_app(models[:1], runs=tmp_path)) as client:
        for path, allowed in (("/api/runs", "GET, POST"), ("/api/edit", "POST"), ("/api/models", "GET")):
            answer = client.put(path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_hole_is_filled_and_the_rest_stays(client: TestClient, models: list[str], on_disk: Path) -> None:
    buffer = io.BytesIO()
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (4, 4, 9, 9))
    mask.save(buffer, "PNG")
    source = {"photo": opened(client, on_disk.read_bytes())}
    told = asked(
        client, "inpaint", model="tiny", source=source, mask=base64.b64encode(buffer.getvalue()).decode(), times=2
    )
    model = load(models[0])
    image = model.prepared([on_disk])
    hole = torch.zeros(1, 1, 16, 16)
    hole[:, :, 4:9, 4:9] = 1
    assert torch.equal(pixels(told["picture"]), expected(inpaint(model, image, hole, None, 2, feather=4).inpainted))


def test_a_transfer_is_the_command_lines(client: TestClient, models: list[str], tmp_path: Path) -> None:
    contents = [face_png(1), face_png(2)]
    for name, content in zip("ab", contents, strict=True):
        (tmp_path / name).write_bytes(content)
    names = [opened(client, content) for content in contents]
    told = asked(
        client, "transfer", model="tiny", source={"photo": names[0]}, attributes_of={"photo": names[1]}, only=["Male"]
    )
    model = load(models[0])
    images = model.prepared([tmp_path / "a", tmp_path / "b"])
    found = transfer(model, images[:1], images[1:], only=["Male"])
    assert torch.equal(pixels(told["picture"]), expected(found.transferred))


def test_a_picture_finds_itself(client: TestClient) -> None:
    names = [opened(client, face_png(seed)) for seed in range(6)]
    told = asked(client, "retrieve", model="tiny", source={"photo": names[3]}, among=names, count=2)
    assert told["found"][0] == {"photo": names[3], "distance": 0.0}
    assert told["searched"] == 6
    attributes = asked(client, "reconstruct", model="tiny", source={"photo": names[3]})["attributes"]
    wanted = {"Male": -1 if attributes["Male"] else 1}
    answer = client.post(
        "/api/retrieve", json={"model": "tiny", "source": {"photo": names[3]}, "among": names, "wanted": wanted}
    )
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert names[3] not in [each["photo"] for each in answer.json()["found"]]


def test_layers_keep_the_face_and_take_the_background(client: TestClient, photograph: bytes) -> None:
    words = {"source": {"photo": opened(client, photograph)}, "background": {"photo": opened(client, face_png(2))}}
    told = asked(client, "layers", model="layered", **words)
    assert pixels(told["picture"]).shape == (16, 16, 3)
    answer = client.post("/api/layers", json={"model": "tiny", **words})
    assert answer.status_code == 400
    assert "paints in layers" in answer.json()["error"]


def test_filled_and_put_together_pictures_are_made_again(client: TestClient, photograph: bytes, tmp_path: Path) -> None:
    hole = Image.new("L", (64, 64))
    hole.paste(255, (16, 24, 40, 36))
    buffer = io.BytesIO()
    hole.save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    for source, kind in (({"photo": opened(client, photograph)}, "composite"), ({"seed": 3}, "/trained")):
        for path, words in (
            ("inpaint", {"model": "tiny", "mask": mask, "times": 3}),
            ("layers", {"model": "layered", "background": {"seed": 9}, "changes": {"Smiling": 1}}),
        ):
            content = base64.b64decode(asked(client, path, source=source, **words)["picture"])
            saved = tmp_path / f"{path}.png"
            saved.write_bytes(content)
            assert replay(saved).identical, (path, source)
            assert replay(tmp_path / f"{path}.again.json").identical
            with Image.open(saved) as image:
                image.load()
                assert kind in image.info["XML:com.adobe.xmp"]


def test_a_taught_attribute_gets_an_axis(client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Fewer drawn pictures than usual: what is tested is the way, not how sure it is.
    monkeypatch.setattr("attrimorph.applications.axes.examples.draw_pool.__kwdefaults__", {
        "count": 200, "seed": 0, "progress": None,
    })  # fmt: skip
    having, lacking = ([{"seed": seed} for seed in range(start, start + 5)] for start in (0, 10))
    told = asked(client, "teach", model="tiny", name="Puzzled", **{"with": having, "without": lacking})
    assert "Puzzled: " in told["sentence"]
    slider = {"model": "tiny", "name": "Puzzled", "axis": told["axis"]}
    assert client.get("/api/taught").json() == [slider]
    asked(client, "teach", model="tiny", name="Puzzled", **{"with": having[1:], "without": lacking})
    (newer,) = client.get("/api/taught").json()  # taught again: one slider, the newer axis
    assert (newer["name"], newer["axis"] == told["axis"]) == ("Puzzled", False)
    words: dict[str, Any] = {"model": "tiny", "source": {"seed": 3}, "axes": [told["axis"]]}
    moved = asked(client, "edit", changes={"Puzzled": 1.0}, **words)
    still = asked(client, "edit", changes={"Puzzled": 0.0}, **words)
    assert moved["picture"] != still["picture"]
    path = tmp_path / "taught.png"
    path.write_bytes(base64.b64decode(moved["picture"]))
    assert replay(path).identical
    again = client.post("/api/teach", json={"model": "tiny", "name": "Smiling", "with": having, "without": lacking})
    assert again.status_code == 400
    for name in ("", "a=b", "x" * 41):
        again = client.post("/api/teach", json={"model": "tiny", "name": name, "with": having, "without": lacking})
        assert (again.status_code, "a slider's name must have" in again.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "words", "status", "sentence"),
    [
        ("edit", {"model": "no", "source": {"seed": 1}}, 400, "has no model 'no'"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "changes": {"Smilng": 1}}, 400, "did you mean 'Smiling'"),
        ("edit", {"model": "tiny", "source": {"photo": "0" * 40}}, 410, "no longer kept"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "axes": ["0" * 40]}, 410, "no longer kept"),
        ("edit", {"model": "tiny", "source": {}}, 422, "one of photo, image and seed"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "chnges": {}}, 422, "chnges"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "changes": {"Smiling": 1e9}}, 422, "changes.Smiling"),
        ("edit", {"model": "tiny", "source": {"image": "!!!!"}}, 400, "must be base64"),
        ("edit", {"model": "tiny", "source": {"image": "AAAA"}}, 400, "no readable image"),
        ("edit", {"model": "cycle", "source": {"seed": 1}}, 400, "no codes"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "locks": ["Mael"], "changes": {"Bald": 1}}, 400, "'Male'"),
        ("edit", {"model": "\ud800", "source": {"seed": 1}}, 422, "model"),
        ("sample", {"model": "cycle"}, 400, "no codes"),
        ("sample", {"model": "tiny", "count": 2.5}, 422, "count"),
        ("sample", {"model": "tiny", "count": True}, 422, "count: must be a number; got True"),
        ("sample", {"model": "tiny", "seed": "1"}, 422, "seed: must be a number; got '1'"),
        ("edit", {"model": "tiny", "source": {"seed": 1}, "changes": {"Smiling": True}}, 422, "changes.Smiling"),
        ("inpaint", {"model": "tiny", "source": {"seed": 1}, "mask": base64.b64encode(face_png(1)).decode()}, 400, ""),
    ],
)  # fmt: skip
def test_bad_requests_get_a_sentence(
    client: TestClient, path: str, words: dict[str, Any], status: int, sentence: str
) -> None:
    import json

    content = json.dumps(words)
    answer = client.post(f"/api/{path}", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b'{"model": NaN}', b'{"seed": 1e999}', b"\xff\xfe", b""])
def test_what_is_no_json_gets_a_sentence(client: TestClient, content: bytes) -> None:
    answer = client.post("/api/edit", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_openapi_describes_every_route(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert schema["components"]["schemas"]["EditRequest"]["properties"]["model"]["enum"] == ["tiny", "layered", "cycle"]
    count = schema["components"]["schemas"]["SampleRequest"]["properties"]["count"]
    assert (count["type"], count["minimum"], count["maximum"]) == ("integer", 1, 64)
    for path in (
        "models",
        "open",
        "reconstruct",
        "edit",
        "sample",
        "morph",
        "inpaint",
        "transfer",
        "retrieve",
        "teach",
    ):
        (operation,) = schema["paths"][f"/api/{path}"].values()
        assert operation["description"]
        assert {"200", "400", "410", "413", "422", "503"} <= set(operation["responses"])
