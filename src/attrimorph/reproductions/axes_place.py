"""What the experiments on TL-GAN share: the generator, who judges it, and its axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications.axes.choosing import OwnClassifier, judge_named
from attrimorph.applications.axes.fitting import Judged, fit_axes, judged_by
from attrimorph.applications.axes.pack import AxisPack
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.data.schema import Schema
from attrimorph.evaluators.attributes import Judges, decisions
from attrimorph.evaluators.default_evaluators import judge_for
from attrimorph.evaluators.judge import Judge
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.methods.pggan.recipe import ProgressiveRecipe
from attrimorph.models.codes import Code
from attrimorph.models.finding import shipped
from attrimorph.models.model import Model
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions.face_models import face_model, recipe_for, told, trained, training_faces
from attrimorph.reproductions.outcome import Request

PGGAN = "pggan-drawn-64"
SOURCE = "our bar"
FRESH = 7_001  # seed of the codes that are edited: none of these fitted an axis
BATCH = 128


@dataclass(frozen=True)
class Place:
    """A generator and who judges it.

    Attributes:
        request: of the experiment.
        model: the generator.
        judge: who judged the pictures that axes are fitted to, and who judges edits.
        words: which model it is.
    """

    request: Request
    model: Model
    judge: Judge | OwnClassifier
    words: str

    def protocol(self) -> dict[str, Any]:
        """Return what every page tells."""
        return {"generator": self.words, "judge": self.judge.name}

    def judged(self) -> Judged:
        """Return drawn codes and what the judge says of them; kept in OUT/axes."""
        count = self.request.form.codes
        path = self.request.out / "axes" / f"{self.model.hash[:16]}-{count}.safetensors"
        names = self.judge.schema.column_names
        if path.exists():
            known = load_file(path)
            return Judged(known["coordinates"], known["said"], names, self.judge.name)
        judged = judged_by(
            self.model,
            self.judge,
            count=count,
            progress=lambda done, total: self.request.progress("drawing and judging", done, total),
        )
        tensors = {"coordinates": judged.coordinates.contiguous(), "said": judged.said.contiguous()}
        write_bytes(path, save(tensors))
        return judged

    def pack(self) -> AxisPack:
        """Return the generator's axes."""
        return fit_axes(self.model, self.judged())

    def codes(self, count: int) -> Code:
        """Return drawn codes to edit."""
        parts = list(drawn_codes(self.model, count, FRESH))
        return Code(torch.cat([part.z for part in parts]), torch.cat([part.attributes for part in parts]))

    @torch.no_grad()
    def seen(self, code: Code, by: Judges | None = None) -> Tensor:
        """Return what the judge, or somebody else, says of a code's pictures: probabilities [B, W] float64."""
        pairs = zip(torch.split(code.z, BATCH), torch.split(code.attributes, BATCH), strict=True)
        judge = by or self.judge
        return torch.cat([judge(self.model.decode(Code(z, y))).double().cpu() for z, y in pairs])

    def decided(self, code: Code) -> Tensor:
        """Return the judge's decisions, [B, W]."""
        return decisions(self.seen(code), self.judge.schema)

    def column(self, name: str) -> int:
        """Return where an attribute stands among what the judge says."""
        return int(self.judge.schema.columns(name).start)


def place_of(request: Request) -> Place:
    """Return the generator that is looked at, and its judge.

    It is the one that was named; else the shipped `pggan-drawn-64`; else one that is trained now, on tied faces as that
    one was.
    """
    if request.model is None and PGGAN not in shipped():
        recipe = grown(recipe_for(request, PGGAN, request.seeds[0]))
        data = training_faces(request, recipe.data.image_size, tied=True)
        model = load(trained(request, recipe, data, PGGAN), request.device)
    else:
        model = face_model(request, request.model or PGGAN, PGGAN)
    return Place(request, model, judge_named(None, model), told(model))


@dataclass(frozen=True)
class Witness:
    """A judge of smaller pictures, which nobody followed and no axis was fitted to.

    Attributes:
        judge: of pictures of half the size.
    """

    judge: Judge

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""
        return f"{self.judge.name} at half the size"

    @property
    def schema(self) -> Schema:
        """The attributes that it knows."""
        return self.judge.schema

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, W] for images [B, 3, S, S]."""
        return self.judge(avg_pool2d(images, 2))


def witness_of(place: Place) -> Witness | None:
    """Return a second judge, or None where there is none of half the generator's size."""
    judge = judge_for(place.judge.schema, place.model.image_size // 2)
    return None if judge is None else Witness(judge)


def grown(recipe: AnyRecipe, images: int | None = None) -> AnyRecipe:
    """Return a recipe for another length; where it grows, each size keeps its share of the run."""
    images = images or recipe.training.images
    changes: dict[str, Any] = {"training.images": images}
    if isinstance(recipe, ProgressiveRecipe):
        from attrimorph.methods.recipes import recipe_named

        share = images / recipe_named(recipe.name).training.images
        for name, values in (("fixed", recipe.growth.fixed_images), ("fading", recipe.growth.fading_images)):
            changes[f"growth.{name}_images"] = [max(1, round(value * share)) for value in values]
    return recipe.with_changes(changes)


def phi(a: Tensor, b: Tensor) -> float:
    """Return the correlation of two rows of 0 and 1; NaN where one never varies."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    below = float((a.square().sum() * b.square().sum()).sqrt())
    return float((a * b).sum()) / below if below > 0 else float("nan")


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for results.json: NaN becomes None."""
    return {name: None if value != value else value for name, value in values.items()}
