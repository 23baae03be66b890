"""Models with one class an image, the recogniser that looks at their samples, and where both are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import IdentityEncoder, load_identity_encoder, save_identity_encoder
from attrimorph.evaluators.identity_training import IdentityRecipe, train_identity_encoder
from attrimorph.files import read_json, write_json
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.models.codes import Code, Encodes
from attrimorph.models.model import Model
from attrimorph.reproductions.class_data import ATTRIBUTE, class_data
from attrimorph.reproductions.outcome import Form, Request
from attrimorph.training.trainer import train

BATCH = 250
SAMPLE_SEED = 1
PRIOR = "z from N(0, I), for every method"


@dataclass(frozen=True)
class Setting:
    """Class data, and who looks at what is made of it.

    Attributes:
        form: how large all is.
        data: class data.
        recogniser: trained on the real images of the train split, never with a method.
    """

    form: Form
    data: PreparedData
    recogniser: IdentityEncoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return self.data.schema.attribute(ATTRIBUTE).values

    def protocol(self) -> dict[str, Any]:
        """What figures measured here depend on."""
        counts = {split: len(self.data.indices(split)) for split in ("train", "valid", "test")}
        return {
            "data": f"{len(self.data):,} images of {len(self.classes)} classes, {self.data.image_size} px, "
            f"data {self.data.fingerprint}",
            "split": ", ".join(f"{split} {count:,}" for split, count in counts.items()) + ", by image in every class",
            "recogniser": f"{self.recogniser.name}, trained on the train split alone",
            "samples": f"{self.form.per_class} of every class, seed {SAMPLE_SEED}, {PRIOR}",
        }


def setting(request: Request) -> Setting:
    """Prepare data and recogniser, or take those that are there."""
    form = request.form
    data = class_data(request, recipe_for(request, "cvae-gan", 0).data.image_size)
    return Setting(form, data, identity_encoder_of(request, data, form.presentations))


def identity_encoder_of(request: Request, data: PreparedData, presentations: int) -> IdentityEncoder:
    """Return the recogniser of class data, trained on its train split once."""
    path = request.out / "recognisers" / f"{data.fingerprint}-{presentations}.safetensors"
    if not path.exists():
        request.say(f"training a recogniser on {len(data.indices('train')):,} real images")
        trained = train_identity_encoder(
            data,
            IdentityRecipe(presentations=presentations),
            least=3,
            name=f"data {data.fingerprint[:8]}",
            progress=lambda done, total, _: request.progress("training a recogniser", done, total),
            result=path,
        )
        save_identity_encoder(trained, path)
    return load_identity_encoder(path)


def recipe_for(request: Request, method: str, seed: int) -> Recipe:
    """Return the recipe of a method in the form and as long as the request wants it."""
    recipe = recipe_named(f"identities-{method}")
    assert isinstance(recipe, Recipe)
    changes = {**request.form.changes, "training.seed": seed}
    if request.images is not None:
        changes["training.images"] = request.images
    changed = recipe.with_changes(changes)
    # What is told in images keeps its share of the run.
    warmup = round(changed.losses.warmup_images * changed.training.images / recipe.training.images)
    return changed.with_changes({"losses.warmup_images": warmup})


def trained(request: Request, place: Setting, method: str, seed: int) -> Path:
    """Return the run of a method on class data, trained now as far as it is not yet."""
    recipe = recipe_for(request, method, seed)
    folder = request.out / "models" / f"{request.form.name}-{place.data.fingerprint}"
    run = folder / f"{method}-seed{seed}-{recipe.training.images}"
    request.say(f"training {method}, seed {seed}: {recipe.training.images:,} images")
    return train(
        recipe,
        place.data,
        run,
        device=request.device,
        progress=lambda now: request.progress(f"training {method}, seed {seed}", now.images_seen, now.images),
    )


def class_model(request: Request, place: Setting) -> Model:
    """Return the one model that an experiment looks at: CVAE-GAN with the first seed, or the one that was named.

    Raises:
        AttrimorphError: the named model has other attributes than the data.
    """
    if request.model is None:
        return load(trained(request, place, "cvae-gan", request.seeds[0]), request.device)
    model = load(request.model, request.device)
    if model.schema != place.data.schema or model.image_size != place.data.image_size:
        raise AttrimorphError(
            f"the model must have the attribute {ATTRIBUTE!r} with the {len(place.classes)} classes of the data, at "
            f"{place.data.image_size} px; {request.model} has others; train identities-cvae-gan on {place.data.path}"
        )
    return model


def samples(model: Model, labels: Tensor, seed: int = SAMPLE_SEED) -> Tensor:
    """Sample one image for each class named, with z from N(0, I).

    Args:
        model: of class data, with a z of numbers.
        labels: int64 [N].
        seed: of z.

    Returns:
        [N, 3, S, S] in [-1, 1], on the CPU.
    """
    recipe = model.recipe
    assert isinstance(recipe, Recipe)
    z = torch.randn(len(labels), recipe.networks.latent, generator=torch.Generator().manual_seed(seed))
    y = one_hot(labels, model.schema.width).float()
    return torch.cat([model.decode(Code(z[at], y[at])).cpu() for at in torch.split(torch.arange(len(labels)), BATCH)])


def every_class(place: Setting) -> Tensor:
    """Return the classes of the samples that are measured, each equally often, int64 [N]."""
    return torch.arange(len(place.classes)).repeat_interleave(place.form.per_class)


def real_images(place: Setting, split: str = "test", most: int | None = None) -> tuple[Tensor, Tensor]:
    """Return images of a split and their classes."""
    images, y = place.data.batch(place.data.indices(split)[:most])
    return images, y.argmax(1)


def codes_of(model: Model, place: Setting, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    """Return images [N, 3, S, S], classes [N] and z [N, Z] (the mean of q(z | x, class)) of some rows of the data."""
    assert isinstance(model, Encodes)
    images, y = place.data.batch(rows)
    parts = zip(torch.split(images, BATCH), torch.split(y, BATCH), strict=True)
    return images, y.argmax(1), torch.cat([model.encode(part, labels).z.cpu().flatten(1) for part, labels in parts])


def top_1(place: Setting, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that the recogniser takes for their class."""
    return float((place.recogniser(images).argmax(1) == labels).double().mean())


def remembered(run: Path, name: str, key: Mapping[str, Any], measure: Any) -> dict[str, float]:
    """Return what was measured of a run before under the same key, or measure it now and remember it."""
    path = run / f"{name}.json"
    if path.exists():
        known = read_json(path)
        if known.get("key") == key:
            return {str(figure): float(value) for figure, value in known["figures"].items()}
    figures: dict[str, float] = measure()
    write_json(path, {"key": dict(key), "figures": figures})
    return figures


def by_seed(figures: Mapping[str, Sequence[Mapping[str, float]]], name: str) -> dict[str, list[float]]:
    """Return one figure of every method, a value for each seed."""
    return {method: [one[name] for one in each] for method, each in figures.items()}
