"""Requests: what is said once is the command, its help, the receipt and what a replay reads."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attrimorph.cli.app import option_of
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Model
from attrimorph.recipe import meanings_of
from attrimorph.requests import Request
from attrimorph.requests.edit import Edit
from attrimorph.requests.generating import Reconstruct, Sample
from attrimorph.requests.morph import Morph
from attrimorph.requests.receipt import read_receipt
from attrimorph.requests.replay import REQUESTS
from tests.small_models import pictures, small_model
from tests.tiny_models import tiny_layers, tiny_model

TYPED = [kind for kind in REQUESTS.values() if not kind.verb.startswith(("studio", "edit-folder"))]


@pytest.mark.parametrize("kind", TYPED, ids=lambda kind: kind.verb)
def test_every_option_says_what_it_means(kind: type[Request]) -> None:
    meanings = meanings_of(kind)
    for name, field in kind.model_fields.items():
        if option_of(field).name != "-":
            assert meanings[name].endswith("."), name


def photograph(path: Path, size: int = 32) -> Path:
    from attrimorph.pictures import to_pil

    to_pil(pictures(1, size))[0].save(path)
    return path


MODELS: dict[str, Callable[[Path], Model]] = {
    "cvae-gan": tiny_model,
    "discvae": tiny_layers,
    "homointerp": lambda folder: small_model(folder, "homointerp-drawn-64"),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_edit_encodes_once_and_decodes_twice(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = MODELS[name](tmp_path / "run"), Counter[str]()
    for word in ("encode", "decode"):
        own = getattr(model, word)

        def counted(*given: Any, word: str = word, own: Callable[..., Any] = own) -> Any:
            calls[word] += 1
            return own(*given)

        monkeypatch.setattr(model, word, counted)
    path = photograph(tmp_path / "a.png")
    Edit(model=tmp_path / "run", images=[path], changes={"Smiling": 1.0}).write(tmp_path / "out.png", model)
    assert calls == {"encode": 1, "decode": 2}


@pytest.mark.parametrize(
    "request_",
    [
        Sample(count=3, changes={"Male": 1.0}),
        Reconstruct(images=["FACE"], known={"Male": 0.0}),
        Edit(images=["FACE", "FACE"], changes={"Smiling": 0.5}, calibrated=False, model="drawn-faces-64"),
        Morph(images=["FACE", "FACE"], path="slerp", steps=3),
    ],
    ids=lambda request: request.verb,
)
def test_a_receipt_tells_the_request_again(request_: Request, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    changes: dict[str, Any] = {"model": str(tmp_path / "run")}
    if request_.pictures:
        changes["images"] = [photograph(tmp_path / "face.png")] * len(request_.files)
    asked = request_.model_copy(update=changes)
    written = asked.write(tmp_path / "out.png", model)
    receipt = read_receipt(written.receipt)
    found = type(asked).from_receipt(receipt)
    # The receipt knows besides where the faces were.
    assert found.model_copy(update={"frames": None} if hasattr(asked, "frames") else {}) == asked


def test_an_unknown_word_and_a_wrong_form_get_a_sentence() -> None:
    with pytest.raises(AttrimorphError, match="cout"):
        Sample.checked(cout=3)
    with pytest.raises(AttrimorphError, match=r"^count: must be a valid integer.*; got 'many'$"):
        Sample.checked(count="many")
    with pytest.raises(AttrimorphError, match="edit needs an IMAGE"):
        Edit.checked(changes={"Smiling": 1.0})
