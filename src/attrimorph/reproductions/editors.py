"""Models that edit, given or trained, and the images and the judge that experiments on edits measure them with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import drawn_faces
from attrimorph.data.prepare import open_or_prepare
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import binary_names
from attrimorph.evaluators.default_evaluators import judge_for
from attrimorph.evaluators.judge import Judge, load_judge, save_judge
from attrimorph.evaluators.judge_training import JudgeRecipe, train_judge
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluation_set import EvaluationSet, calibration_images, drawn_images, held_out_images
from attrimorph.models.codes import Edits
from attrimorph.models.finding import named_parts, shipped
from attrimorph.models.model import Model
from attrimorph.recipe import field_names
from attrimorph.reproductions.comparison import lasting
from attrimorph.reproductions.outcome import Request
from attrimorph.training.trainer import train

SHIPPED = "drawn-faces-64"
REFERENCE_SEED = 990_003  # of drawn references: neither those of an evaluation nor of a calibration
REFERENCES = 300
BATCH = 128


@dataclass(frozen=True)
class Place:
    """Where editors are measured.

    Attributes:
        request: what was asked for.
        size: of the images.
        given: the models that the user named.
    """

    request: Request
    size: int
    given: tuple[Model, ...]

    @cached_property
    def data(self) -> PreparedData:
        """What is trained on: the user's images, or drawn faces."""
        request = self.request
        if request.data is not None:
            return open_or_prepare(
                request.data, self.size, progress=lambda done, all_: request.progress("preparing", done, all_)
            )
        return drawn_faces(
            self.size,
            request.form.people * request.form.images,
            folder=request.out / "data",
            progress=lambda done, all_: request.progress("drawing faces", done, all_),
        )

    @cached_property
    def unseen(self) -> EvaluationSet:
        """Images that nobody trained on."""
        count = 5 * self.request.form.per_class
        return drawn_images(count, self.size) if self.request.data is None else held_out_images(self.data, count)

    @cached_property
    def references(self) -> EvaluationSet:
        """Other images, to be like."""
        if self.request.data is None:
            return drawn_images(REFERENCES, self.size, REFERENCE_SEED)
        return calibration_images(self.data, REFERENCES)

    @cached_property
    def judge(self) -> Judge:
        """The shipped judge of these attributes, or one that learned from the user's data, once."""
        schema = faces.SCHEMA if self.request.data is None else self.data.schema
        if (found := judge_for(schema, self.size)) is not None:
            return found
        request = self.request
        path = request.out / "judges" / f"{self.data.fingerprint}-{request.form.presentations}.safetensors"
        if not path.exists():
            request.say("training a judge")
            trained_judge = train_judge(
                self.data,
                JudgeRecipe(presentations=request.form.presentations),
                progress=lambda done, all_, _: request.progress("training a judge", done, all_),
                result=path,
            )
            save_judge(trained_judge, path)
        return load_judge(path)

    def with_label(self, name: str, holds: bool) -> Tensor:
        """Return the references that have an attribute, or lack it, [R, 3, S, S]."""
        column = self.judge.schema.columns(name).start
        return self.references.images[self.references.labels[:, column] == float(holds)]

    def protocol(self, models: Mapping[str, Model | None]) -> dict[str, Any]:
        """What figures measured here depend on."""
        told = {
            name: "not given, not measured" if model is None else f"{model.recipe.name}, sha256 {model.hash[:16]}"
            for name, model in models.items()
        }
        return {"images": self.unseen.words, "judge": self.judge.name, **told}


def place_of(request: Request, recipe: str) -> Place:
    """Load what the user named; without it images have the recipe's size, or that of the form.

    Raises:
        AttrimorphError: the models have different sizes.
    """
    given = () if request.model is None else tuple(load(part, request.device) for part in named_parts(request.model))
    sizes = {model.image_size for model in given}
    if len(sizes) > 1:
        raise AttrimorphError(
            f"all models of an experiment must have one image size; got {', '.join(map(str, sorted(sizes)))}; "
            "leave the others out"
        )
    changed = request.form.changes.get("data.image_size", recipe_named(recipe).data.image_size)
    return Place(request, sizes.pop() if sizes else int(changed), given)


def trained(place: Place, recipe: str, data: PreparedData | None = None, **changes: Any) -> Path:
    """Return the run of a recipe in the form's size, trained now as far as it is not yet.

    Args:
        place: of the experiment.
        recipe: its name.
        data: to train on, in place of the place's own.
        changes: fields, two underscores for a dot; `name` is the run's.
    """
    request, data = place.request, data or place.data
    whole = recipe_named(recipe)
    known = {*field_names(whole.model_dump())}
    fields = {key: value for key, value in request.form.changes.items() if key in known}
    fields |= {"data.image_size": place.size} | {key.replace("__", "."): value for key, value in changes.items()}
    whole = whole.with_changes(fields)
    length = request.images or int(request.form.changes.get("training.images", whole.training.images))
    # What is told in images keeps its share of the recipe's own run.
    own = recipe_named(recipe).training.images
    whole = lasting(whole.with_changes({"training.images": own}), length, request.seeds[0])
    run = request.out / "models" / f"{request.form.name}-{data.fingerprint}" / f"{whole.name}-{length}"
    request.say(f"training {whole.name}: {length:,} images")
    return train(
        whole,
        data,
        run,
        device=request.device,
        progress=lambda now: request.progress(f"training {whole.name}", now.images_seen, now.images),
    )


def interpolator(place: Place) -> InterpolationModel:
    """Return the HomoInterpGAN that was named, or one that is trained.

    Raises:
        AttrimorphError: models were named, none of them a HomoInterpGAN.
    """
    found = [model for model in place.given if isinstance(model, InterpolationModel)]
    if not found and place.given:
        names = ", ".join(model.recipe.name for model in place.given)
        raise AttrimorphError(f"one of the models must be a HomoInterpGAN; got {names}; add one, with a comma")
    model = found[0] if found else load(trained(place, homointerp_recipe(place)), place.request.device)
    assert isinstance(model, InterpolationModel)
    check_schema(place, model)
    return model


def homointerp_recipe(place: Place) -> str:
    """Return the name of the small recipe for drawn faces, or for photographs."""
    return "homointerp-drawn-64" if place.request.data is None else "homointerp-64"


def cvae_gan(place: Place) -> Editor | None:
    """Return the CVAE-GAN to compare with: named, shipped, or trained; None where others were named and none fits."""
    found = next((model for model in place.given if isinstance(model, Editor)), None)
    if found is None and place.request.data is None and place.size == 64 and SHIPPED in shipped():
        shipped_model = load(SHIPPED, place.request.device)
        assert isinstance(shipped_model, Editor)
        found = shipped_model
    if found is None and not place.given:
        model = load(trained(place, SHIPPED, name="cvae-gan-edit"), place.request.device)
        assert isinstance(model, Editor)
        found = model
    if found is not None:
        check_schema(place, found)
    return found


def check_schema(place: Place, model: Model) -> None:
    """Refuse a model of other attributes than the images'.

    Raises:
        AttrimorphError: it is one.
    """
    if model.schema != place.judge.schema:
        raise AttrimorphError(
            f"a model must have the attributes of the images ({place.judge.schema.names[0]}, ...); "
            f"{model.recipe.name!r} has others ({model.schema.names[0]}, ...); name its own data with --data"
        )


def one_of_each(model: InterpolationModel) -> tuple[str, ...]:
    """Return the first binary attribute of every group."""
    binary = set(binary_names(model.schema))
    firsts = [next((name for name in group if name in binary), None) for group in model.groups.values()]
    return tuple(name for name in firsts if name is not None)


def edited(model: Edits, images: Tensor, changes: Mapping[str, float], labels: Tensor) -> Tensor:
    """Edit images a batch at a time, [N, 3, S, S] on the CPU."""
    parts = zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True)
    return torch.cat([model.edit(part, changes, y).cpu() for part, y in parts])


def megabytes(models: Sequence[Model]) -> float:
    """Return the size of models as files."""
    return sum(len(model.to_bytes()) for model in models) / 1e6


def plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Return figures for JSON, which knows no NaN."""
    return {name: None if value != value else value for name, value in figures.items()}
