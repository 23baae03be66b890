"""The Python client against a studio that serves on a real port."""

import io
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.studio.client import Studio
from attrimorph.studio.connections import listen
from attrimorph.studio.server import create_app
from tests.studio.conftest import face_png

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def served(models: list[str]) -> Iterator[Studio]:
    at = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(models[:1], token=TOKEN), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([at],), daemon=True)
    thread.start()
    yield Studio(f"http://127.0.0.1:{at.getsockname()[1]}", TOKEN)
    server.should_exit = True
    thread.join(20)


def size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


def test_every_verb(served: Studio) -> None:
    face, other = face_png(1), face_png(2)
    assert [told["name"] for told in served.models()] == ["tiny"]
    picture, besides = served.edit(face, {"Smiling": 1}, locks=["Male"])
    assert size(picture) == (16, 16)
    assert all(abs(change) >= 0.2 for change in besides.values())
    assert served.edit(7, {"Smiling": 1})[0] != served.edit(8, {"Smiling": 1})[0]
    assert set(served.reconstruct(face)[1].values()) <= {0, 1}
    assert [size(each) for each in served.sample(2, seed=3, changes={"Male": 1})] == [(16, 16)] * 2
    assert len(served.morph(face, 3, steps=5)) == 5
    assert size(served.transfer(face, other, only=["Male"])) == (16, 16)
    buffer = io.BytesIO()
    mask = Image.new("L", (16, 16))
    mask.paste(255, (3, 3, 8, 8))
    mask.save(buffer, "PNG")
    assert size(served.inpaint(face, buffer.getvalue())) == (16, 16)


def test_what_the_studio_refuses_is_said(served: Studio) -> None:
    with pytest.raises(AttrimorphError, match="did you mean 'Smiling'"):
        served.edit(1, {"Smilng": 1})
    with pytest.raises(AttrimorphError, match="needs its token"):
        Studio(served.address).models()
    assert Studio(f"{served.address}/?token={TOKEN}").models() == served.models()
    with pytest.raises(AttrimorphError, match="no studio answers at"):
        Studio("http://127.0.0.1:9").models()
