"""Models of drawn faces: named, or trained once on faces that are drawn; and the unseen faces they are measured on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import drawn_faces
from attrimorph.data.prepare import open_or_prepare
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluation_set import EvaluationSet, drawn_images
from attrimorph.models.model import Model
from attrimorph.recipe import AnyRecipe
from attrimorph.reproductions.outcome import Request
from attrimorph.training.trainer import train

BATCH = 100


def face_model(request: Request, named: str | None, recipe: str) -> Model:
    """Return the model that was named, or else the recipe's, trained with the first seed.

    Raises:
        AttrimorphError: the named model knows other attributes than those of drawn faces.
    """
    if named is None:
        wished = recipe_for(request, recipe, request.seeds[0])
        return load(trained(request, wished, training_faces(request, wished.data.image_size), recipe), request.device)
    model = load(named, request.device)
    if model.schema != faces.SCHEMA:
        raise AttrimorphError(
            f"the model must have the {faces.SCHEMA.width} attributes of drawn faces, whose truth is known; "
            f"{named} has others; train {recipe} on drawn faces"
        )
    return model


def training_faces(request: Request, size: int, *, tied: bool = False) -> PreparedData:
    """Return drawn faces (or tied faces) to train on: those that were named, else they are written into OUT/data once.

    Raises:
        AttrimorphError: the request's data are no drawn faces.
    """
    if request.data is None:
        folder = request.out / "data"
        return drawn_faces(
            size,
            request.form.faces,
            tied=tied,
            folder=folder,
            progress=lambda done, total: request.progress("drawing faces", done, total),
        )
    data = open_or_prepare(request.data, size, progress=lambda done, total: request.progress("preparing", done, total))
    if data.schema != faces.SCHEMA or data.masks is None:
        raise AttrimorphError(
            f"the data must be drawn faces, whose truth is known; {request.data} holds others; leave --data out, or "
            "draw some with data synthetic"
        )
    return data


def recipe_for(request: Request, name: str, seed: int, changes: Mapping[str, Any] | None = None) -> AnyRecipe:
    """Return a recipe in the form and as long as the request wants it; its own `changes` come first."""
    fields = {**(changes or {}), **request.form.changes, "training.seed": seed}
    if request.images is not None:
        fields["training.images"] = request.images
    return recipe_named(name).with_changes(fields)


def trained(request: Request, recipe: AnyRecipe, data: PreparedData, words: str) -> Path:
    """Return the run of a recipe, trained now as far as it is not yet.

    Args:
        request: says where and on what device.
        recipe: as `recipe_for` returns it.
        data: to train on.
        words: what it is called, in folders and while it trains; equal words on equal data must mean equal recipes.
    """
    seed, images = recipe.training.seed, recipe.training.images
    folder = request.out / "models" / f"{request.form.name}-{data.fingerprint}"
    request.say(f"training {words}, seed {seed}: {images:,} images")
    return train(
        recipe,
        data,
        folder / f"{words.replace(' ', '-')}-seed{seed}-{images}",
        device=request.device,
        progress=lambda now: request.progress(f"training {words}, seed {seed}", now.images_seen, now.images),
    )


def unseen_faces(request: Request, size: int) -> EvaluationSet:
    """Return drawn faces that nobody trained on, with their true factors and masks."""
    return drawn_images(request.form.unseen, size)


def told(model: Model) -> str:
    """Return in words which model it is."""
    return f"{model.recipe.name}, {model.images_seen:,} images seen, sha256 {model.hash[:16]}"
