"""A new method is one folder and one row: this one is a file, and everything works with it that works with any."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.applications.edit import edit
from attrimorph.data import Changes, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Batch
from attrimorph.loading import load
from attrimorph.methods import METHODS, MethodEntry, Recipes, Trained, read_recipe
from attrimorph.methods.base import Algorithm
from attrimorph.models.model import Code, Model
from attrimorph.pictures import Pictures, Source
from attrimorph.recipe import AnyRecipe, DataOptions, Options, TrainingOptions, Weight
from attrimorph.studio.server import create_app
from attrimorph.training.trainer import train
from tests.studio.conftest import face_png, let_in

# ---- recipe


class ToyLosses(Options):
    pixel: Weight = 2.0


class ToyRecipe(AnyRecipe):
    method: Literal["toy"] = "toy"  # type: ignore[assignment]
    losses: ToyLosses = ToyLosses()


def toy() -> ToyRecipe:
    return ToyRecipe(
        name="toy",
        data=DataOptions(image_size=16),
        training=TrainingOptions(
            images=32, batch_size=8, checkpoint_images=16, precision="float32", memory_format="contiguous"
        ),
    )


# ---- networks


class Linear(nn.Linear):
    """(x flattened or z, y) -> rows."""

    def forward(self, first: Tensor, y: Tensor) -> Tensor:
        return super().forward(torch.cat([first.flatten(1), y], dim=1))


def networks_of(recipe: ToyRecipe, schema: Schema, found: object = ()) -> dict[str, nn.Module]:
    pixels = 3 * recipe.data.image_size**2
    return {"encoder": Linear(pixels + schema.width, 4), "generator": Linear(4 + schema.width, pixels)}


# ---- step


class Toy(Algorithm):
    kept = ("encoder", "generator")
    fresh: Callable[..., dict[str, nn.Module]] = staticmethod(networks_of)  # type: ignore[assignment]

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        y = self.blanked(batch.attributes)
        self.forget_gradients()
        with self.arithmetic():
            made = self.networks["generator"](self.networks["encoder"](batch.images, y), y)
        values = {"pixel": losses.mean_squared_error(made.float(), batch.images.flatten(1))}
        (self.weights["pixel"] * values["pixel"]).backward()
        self.update()
        return {"pixel": values["pixel"].detach()}


# ---- model


class ToyModel(Model):
    recipe: ToyRecipe

    @torch.no_grad()
    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        images = self.prepared(images)
        y = torch.zeros(len(images), self.schema.width) if attributes is None else attributes
        return Code(self.networks["encoder"](images.to(self.device), self.known(y)), y)

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        made = self.networks["generator"](code.z, self.known(code.attributes)).clamp(-1, 1)
        return made.view(-1, 3, self.image_size, self.image_size).as_subclass(Pictures)

    def edit(self, images: Source, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.moved(code.attributes, changes)))

    def classify(self, images: Source) -> Tensor:
        return torch.full((len(self.prepared(images)), self.schema.width), 0.25)


# ---- the row


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes: Mapping[str, Callable[[], AnyRecipe]] = {"toy": toy}
    entry = MethodEntry(lambda: Recipes(ToyRecipe, recipes), lambda: Toy, lambda: Trained(networks_of, ToyModel))
    monkeypatch.setitem(METHODS, "toy", entry)


@pytest.mark.usefixtures("row")
def test_it_is_trained_stopped_loaded_edited_and_served(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=24, size=16)
    assert read_recipe(toy().model_dump(mode="json")) == toy()

    class Stop(Exception):
        pass

    def stop(progress: Any) -> None:
        raise Stop

    train(toy(), data, tmp_path / "whole", device="cpu")
    with pytest.raises(Stop):
        train(toy(), data, tmp_path / "stopped", device="cpu", progress=stop)
    train(toy(), data, tmp_path / "stopped", device="cpu")
    model = load(tmp_path / "whole")
    assert load(tmp_path / "stopped").hash == model.hash
    assert isinstance(model, ToyModel)
    assert model.can == ("encode", "edit")

    images, labels = data.batch(data.indices("train")[:2])
    result = edit(model, images, {"Smiling": 1.0}, labels, composition="whole face")
    assert torch.equal(result.edited, model.edit(images, {"Smiling": 1.0}, labels))
    assert not torch.equal(result.edited, model.decode(model.encode(images, labels)))

    with let_in(create_app([str(tmp_path / "whole")])) as client:
        (told,) = client.get("/api/models").json()
        assert len(told["sliders"]) == len(faces.SCHEMA.names)
        source = {"image": base64.b64encode(face_png(1, 32)).decode()}
        words = {"model": told["name"], "source": source, "changes": {"Smiling": 1.0}}
        answer = client.post("/api/edit", json=words)
        assert answer.status_code == 200, answer.text
        assert base64.b64decode(answer.json()["picture"]).startswith(b"\x89PNG")
