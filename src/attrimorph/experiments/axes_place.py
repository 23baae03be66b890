"""What the experiments on TL-GAN share: the generator, who judges it, its axes, and faces with dialled correlations."""

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
from attrimorph.data import faces
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.data.synthetic import write_these_faces
from attrimorph.errors import AttrimorphError
from attrimorph.experiments.face_models import face_model, recipe_for, told, trained, training_faces
from attrimorph.experiments.outcome import FULL, Request
from attrimorph.files import write_bytes
from attrimorph.metrics.attributes import Judges, decisions
from attrimorph.metrics.judge import Judge
from attrimorph.metrics.suitable import judge_for
from attrimorph.models import Code, Model, load
from attrimorph.recipes.options import AnyRecipe
from attrimorph.recipes.progressive import ProgressiveRecipe

PGGAN = "pggan-drawn-64"
STANDS_IN = "drawn-faces-64"
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


def place_of(request: Request, *, correlated: bool = False) -> Place:
    """Return the generator that is looked at, and its judge.

    It is the one that was named; else the shipped `pggan-drawn-64`; else one that is trained now. In the quick form the
    generator of `drawn-faces-64` stands in for it.

    Args:
        request: of the experiment.
        correlated: a shipped one will not do: it is trained on faces with dialled correlations.
    """
    model, words = _model(request, correlated)
    judge = judge_named(None, model)
    return Place(request, model, judge, words)


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


def _model(request: Request, correlated: bool) -> tuple[Model, str]:
    if request.model is not None:
        model = face_model(request, request.model, PGGAN)
        return model, told(model)
    if not correlated:
        try:
            model = load(PGGAN, request.device)
            return model, told(model)
        except AttrimorphError:
            pass
    if request.form.name != FULL.name:
        model = load(STANDS_IN, request.device)
        return model, f"{told(model)}; it stands in for a GAN: name one with --model, or leave --quick out"
    recipe = grown(recipe_for(request, PGGAN, request.seeds[0]))
    size = recipe.data.image_size
    data = correlated_faces(request, size) if correlated else training_faces(request, size)
    model = load(trained(request, recipe, data, PGGAN), request.device)
    return model, told(model)


def grown(recipe: AnyRecipe, images: int | None = None) -> AnyRecipe:
    """Return a recipe for another length; where it grows, each size keeps its share of the run."""
    images = images or recipe.training.images
    changes: dict[str, Any] = {"training.images": images}
    if isinstance(recipe, ProgressiveRecipe):
        from attrimorph.recipes import recipe_named

        share = images / recipe_named(recipe.name).training.images
        for name, values in (("fixed", recipe.growth.fixed_images), ("fading", recipe.growth.fading_images)):
            changes[f"growth.{name}_images"] = [max(1, round(value * share)) for value in values]
    return recipe.with_changes(changes)


# Found by counting: beards are told by Male with a correlation of 0.8, grey hair by age with 0.6.
TIED = 0.985
KEPT_OLD = 0.79  # of those who are neither young nor grey


def correlated_factors(count: int, seed: int) -> Tensor:
    """Return factors of faces in which beard and Male correlate by 0.8, grey hair and age by 0.6, [count, F].

    The renderer's own dial ties grey hair to age by at most 0.55: of the old who are not grey some are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    found = faces.sample_factors(round(1.2 * count) + 64, generator, correlation=TIED)
    grey, young = (found[:, faces.FACTOR_NAMES.index(name)] > 0.5 for name in ("Gray_Hair", "Young"))
    kept = grey | young | (torch.rand(len(found), generator=generator) < KEPT_OLD)
    return found[kept][:count]


def correlated_faces(request: Request, size: int) -> PreparedData:
    """Return such faces to train on; they are written into OUT/data once."""
    count = request.form.faces
    words = f"faces {count} {size} 0 beard-Male 0.8 grey-age 0.6"
    return write_these_faces(
        request.out / "data" / f"correlated-faces-{size}-{count}",
        correlated_factors(count, 0),
        size,
        words,
        progress=lambda done, total: request.progress("drawing faces", done, total),
    )


def phi(a: Tensor, b: Tensor) -> float:
    """Return the correlation of two rows of 0 and 1; NaN where one never varies."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    below = float((a.square().sum() * b.square().sum()).sqrt())
    return float((a * b).sum()) / below if below > 0 else float("nan")


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for results.json: NaN becomes None."""
    return {name: None if value != value else value for name, value in values.items()}
