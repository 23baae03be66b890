"""What experiments of one kind share: images of classes and who recognises them; drawn faces; who judges edits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot

from attrimorph.applications.edit import Composed
from attrimorph.applications.gallery import check_prepared, open_data
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import drawn_faces, write_faces
from attrimorph.data.prepared import PreparedData, open_or_prepare, open_prepared
from attrimorph.data.readers import Source
from attrimorph.data.readers.people import sign_of_lfw
from attrimorph.data.writer import write_prepared
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.evaluators import binary_names
from attrimorph.evaluators.evaluator import batched
from attrimorph.evaluators.identity_encoder import IdentityEncoder, load_identity_encoder
from attrimorph.evaluators.judge import AttributeScore, Judge, judge_for, load_judge
from attrimorph.evaluators.training import IdentityRecipe, JudgeRecipe, train_identity_encoder, train_judge
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.recipes import recipe_named
from attrimorph.metrics.evaluation_set import EvaluationSet, calibration_images, drawn_images, held_out_images
from attrimorph.models import named_parts, shipped
from attrimorph.models.model import Code, Edits, Encodes, Model
from attrimorph.reproductions.frame import Request, describe

BATCH = 128

# --- images of classes

ATTRIBUTE = "class"
LEAST = 20  # images that a class must have
HELD_OUT = 0.1  # of every class's images in the valid split, and as many in the test split
DRAWN_SEED = 7
CHUNK = 512
SAMPLE_SEED = 1


@dataclass(frozen=True)
class ClassContext:
    """Class data, and who looks at what is made of it.

    Attributes:
        request: of the experiment.
        data: class data.
        identity_encoder: trained on the real images of the train split, never with a method.
    """

    request: Request
    data: PreparedData
    identity_encoder: IdentityEncoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return self.data.schema.attribute(ATTRIBUTE).values

    @property
    def every_class(self) -> Tensor:
        """The classes of the samples that are measured, each equally often, int64 [N]."""
        return torch.arange(len(self.classes)).repeat_interleave(self.request.form.per_class)

    def protocol(self) -> dict[str, Any]:
        """What figures measured here depend on."""
        parts = self.identity_encoder.network.state_dict().values()
        weights = hashlib.sha256(b"".join(part.cpu().numpy().tobytes() for part in parts)).hexdigest()
        counts = {split: len(self.data.indices(split)) for split in ("train", "valid", "test")}
        return {
            "data": f"{len(self.data):,} images of {len(self.classes)} classes, {self.data.image_size} px, "
            f"data {self.data.fingerprint}",
            "split": ", ".join(f"{split} {count:,}" for split, count in counts.items()) + ", by image in every class",
            "recogniser": f"{self.identity_encoder.name}, trained on the train split alone, weights {weights[:16]}",
            "samples": f"{self.request.form.per_class} of every class, seed {SAMPLE_SEED}, z from N(0, I), for every "
            "method",
        }

    def trained(self, method: str, seed: int, changes: Mapping[str, Any] | None = None, word: str = "") -> Path:
        """Return the run of a method on the data, trained now as far as it is not yet.

        Args:
            method: of Table 1 or its ablation.
            seed: of the training.
            changes: of the recipe's fields.
            word: in the name of the run, for these.
        """
        recipe = self.request.recipe(f"identities-{method}", seed, changes)
        return self.request.trained(f"{method} {word}".strip(), recipe, self.data)

    def model(self) -> Model:
        """Return the one model that an experiment looks at: CVAE-GAN with the first seed, or the one that was named.

        Raises:
            AttrimorphError: the named model has other attributes than the data.
        """
        request, data = self.request, self.data
        model = load(request.model or self.trained("cvae-gan", request.seeds[0]), request.device)
        data.schema.check_same(model.schema, "the data", str(request.model), ordered=True)
        if model.image_size != data.image_size:
            raise AttrimorphError(
                f"the model must have the size of the data, {data.image_size} px; {request.model} has "
                f"{model.image_size}; train identities-cvae-gan on {data.path}"
            )
        check_prepared(model, data)
        return model

    def labels(self, classes: Tensor) -> Tensor:
        """Return classes, int64 [N], as models take them: one-hot [N, classes]."""
        return one_hot(classes, len(self.classes)).float()

    def images(self, split: str = "test", most: int | None = None) -> tuple[Tensor, Tensor]:
        """Return images of a split and their classes."""
        images, y = self.data.batch(self.data.indices(split)[:most])
        return images, y.argmax(1)

    def codes(self, model: Model, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Return images [N, 3, S, S], classes [N] and z [N, Z] (the mean of q(z | x, class)) of rows of the data."""
        images, y = self.data.batch(rows)
        encode = encoding(model).encode
        z = batched(lambda part, labels: encode(part, labels).z.flatten(1), images, y, size=BATCH)
        return images, y.argmax(1), z

    def top_1(self, images: Tensor, classes: Tensor) -> float:
        """Return the share of images that the identity encoder takes for their class."""
        return float((self.identity_encoder(images).argmax(1) == classes).double().mean())


def class_context(request: Request) -> ClassContext:
    """Prepare data and identity encoder, or take those that are there."""
    data = class_data(request, request.recipe("identities-cvae-gan", 0).data.image_size)
    seen = request.form.images_seen
    path = request.out / "recognisers" / f"{data.fingerprint}-{seen}.safetensors"
    if not path.exists():
        request.say(f"training an identity encoder on {len(data.indices('train')):,} real images")
        trained = train_identity_encoder(
            data,
            IdentityRecipe(images_seen=seen),
            least=3,
            name=f"data {data.fingerprint[:8]}",
            progress=request.counting("training an identity encoder"),
            result=path,
            device=request.device,
        )
        trained.save(path)
    return ClassContext(request, data, load_identity_encoder(path, request.device))


def class_data(request: Request, size: int) -> PreparedData:
    """Return data whose schema is one categorical attribute, "class", split by image within every class.

    It is written into OUT/data once and read from there the next time.

    Args:
        request: says where the images come from and what their classes are.
        size: of the images.

    Raises:
        AttrimorphError: the data has no classes with enough images.
    """
    if request.data is None:
        people, count = request.form.people, request.form.people * request.form.images
        name = f"drawn-{people}-people-{count}-{size}"
        source = write_faces(
            request.out / "data" / f"{name}-as-drawn",
            count=count,
            size=size,
            seed=DRAWN_SEED,
            identities=people,
            progress=request.counting("drawing faces"),
        )
    else:
        given = Source.of(request.data)
        if given.recognised and sign_of_lfw(given.path):
            # A table of scores beside the photographs names no classes, and covers only a part of them.
            given = Source(given.path, "lfw-people")
        source = open_or_prepare(given, size, progress=request.counting("preparing"))
        name = f"{source.fingerprint}-{request.classes or 'classes'}"
    folder = request.out / "data" / name
    if not (folder / "schema.json").is_file():
        write_class_data(folder, source, *classes_of(source, request.classes))
    return open_prepared(folder)


def classes_of(
    data: PreparedData, wished: str | None = None, least: int = LEAST
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the classes that have at least `least` images, and the class of every image, -1 for none of them.

    Args:
        data: with a categorical attribute, or with identities.
        wished: the attribute to take; None = the first categorical one, or else the identities.
        least: images of a class.

    Raises:
        AttrimorphError: there is no such attribute, or there are fewer than two such classes.
    """
    categorical = {attribute.name: attribute for attribute in data.schema.attributes if attribute.kind == "categorical"}
    if wished not in (None, "identity", *categorical):
        known = suggestion(str(wished), [*categorical, "identity"])
        raise AttrimorphError(f"there is no categorical attribute {wished!r} here; {known}")
    chosen = next((each for name, each in categorical.items() if wished in (None, name)), None)
    if chosen is None:
        numbers = data.identity.numpy()
        names = {int(number): str(number) for number in np.unique(numbers[numbers >= 0])}
    else:
        y = data.attributes[:, data.schema.columns(chosen.name)]
        numbers = torch.where(y.isnan().any(1), -1, y.nan_to_num().argmax(1)).numpy()
        names = dict(enumerate(chosen.values))
    kept = [number for number in names if int((numbers == number).sum()) >= least]
    if len(kept) < 2:
        raise AttrimorphError(
            f"the data must have at least two classes with {least} images each; it has {len(kept)} such classes "
            f"({'identities' if chosen is None else chosen.name}); name another attribute with --classes"
        )
    labels = np.full(len(data), -1, np.int64)
    for label, number in enumerate(kept):
        labels[numbers == number] = label
    return [names[number] for number in kept], labels


def write_class_data(out: Path, data: PreparedData, classes: list[str], labels: NDArray[np.int64]) -> None:
    """Write the images that have a class, with a new split within every class."""
    rows = np.flatnonzero(labels >= 0)
    labels = labels[rows]
    split = np.full(len(labels), "train", dtype="<U5")
    random = np.random.default_rng(0)  # divided at random, but always alike
    for label in np.unique(labels):
        own = random.permutation(np.flatnonzero(labels == label))
        held_out = max(1, round(HELD_OUT * len(own)))
        split[own[:held_out]], split[own[held_out : 2 * held_out]] = "test", "valid"
    y = one_hot(torch.from_numpy(labels), len(classes)).float()
    schema = Schema((Attribute(ATTRIBUTE, "categorical", tuple(classes)),))
    write_rows(out, data, rows, schema, y, split, torch.from_numpy(labels))


def write_rows(
    out: Path,
    data: PreparedData,
    rows: NDArray[np.int64],
    schema: Schema,
    y: Tensor,
    split: NDArray[np.str_],
    identity: Tensor,
) -> None:
    """Write some rows of prepared data, with attributes, splits and identities of their own, [rows] each."""
    write_prepared(
        out,
        (np.asarray(data.images[rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK)),
        schema,
        y,
        files=[data.files[row] for row in rows],
        split=split.tolist(),
        identity=identity,
        factors=None if data.factors is None else (data.factor_names, data.factors[rows]),
        preprocessing=data.preprocessing,
    )


def labels_of(data: PreparedData, rows: NDArray[np.int64]) -> Tensor:
    """Return the classes of some rows of class data, int64 [B]."""
    return data.attributes[torch.from_numpy(rows)].argmax(1)


def samples(model: Model, classes: Tensor, seed: int = SAMPLE_SEED, *, fitted: bool = False) -> Tensor:
    """Sample one image for each class named, with z from N(0, I).

    Args:
        model: of class data, with a z of numbers.
        classes: int64 [N].
        seed: of z.
        fitted: z from the Gaussian that was fitted to the codes of training images, of a model that encodes.

    Returns:
        [N, 3, S, S] in [-1, 1], on the CPU.
    """
    recipe = model.recipe
    assert isinstance(recipe, Recipe)
    z = torch.randn(len(classes), recipe.networks.latent, generator=torch.Generator().manual_seed(seed))
    if fitted:
        z = model.networks["prior"](z.to(model.device)).cpu()
    return decoded(model, Code(z, one_hot(classes, model.schema.width).float()))


# --- any model


def encoding(model: Model) -> Encodes:
    """Return a model that is known to encode as what encodes."""
    assert isinstance(model, Encodes)
    return model


@torch.no_grad()
def decoded(model: Model, code: Code) -> Tensor:
    """Decode codes a batch at a time, [N, 3, S, S] on the CPU."""
    return batched(lambda z, y: model.decode(Code(z, y)), code.z, code.attributes, size=BATCH)


def reconstructed(model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """Return images as a model makes them, with their true labels, [N, 3, S, S] on the CPU."""
    encode = encoding(model).encode
    return batched(lambda part, y: model.decode(encode(part, y)), images, labels, size=BATCH)


def edited(model: Edits, images: Tensor, changes: Mapping[str, float], labels: Tensor) -> Tensor:
    """Edit images a batch at a time, [N, 3, S, S] on the CPU."""
    return batched(lambda part, y: model.edit(part, changes, y), images, labels, size=BATCH)


# --- drawn faces


def face_model(request: Request, name: str | None, recipe: str, *, tied: bool = False) -> Model:
    """Return the model that was named, or else the recipe's, trained with the first seed on drawn (or tied) faces.

    Raises:
        AttrimorphError: the named model knows other attributes than those of drawn faces.
    """
    if name is None:
        whole = request.recipe(recipe, request.seeds[0])
        data = training_faces(request, whole.data.image_size, tied=tied)
        return load(request.trained(recipe, whole, data), request.device)
    model = load(name, request.device)
    faces.SCHEMA.check_same(model.schema, "drawn faces", name, ordered=True)
    return model


def training_faces(request: Request, size: int, *, tied: bool = False) -> PreparedData:
    """Return drawn faces (or tied faces) to train on: those that were named, else they are written into OUT/data once.

    Raises:
        AttrimorphError: the request's data are no drawn faces.
    """
    if request.data is None:
        return drawn_faces(
            size,
            count=request.form.faces,
            tied=tied,
            folder=request.out / "data",
            progress=request.counting("drawing faces"),
        )
    data = open_or_prepare(request.data, size, progress=request.counting("preparing"))
    faces.SCHEMA.check_same(data.schema, "drawn faces", str(request.data), ordered=True)
    if data.masks is None:
        raise AttrimorphError(
            f"the data must be drawn faces, whose truth is known; {request.data} has no masks; leave --data out, or "
            "draw some with data synthetic"
        )
    return data


def turning(holds: bool | float) -> float:
    """Return the strength that turns an attribute the other way round."""
    return -1.0 if holds else 1.0


# --- edits, judged

DECODED, BACK = "{}, as decoded", "{}, put back"


def both_ways(editors: Mapping[str, Edits]) -> dict[str, Edits]:
    """Return methods' edits as they are decoded, and put back into the image: all methods alike."""
    ways: dict[str, Edits] = {}
    for name, editor in editors.items():
        ways |= {DECODED.format(name): editor, BACK.format(name): Composed(editor)}
    return ways


SHIPPED = "drawn-faces-64"
REFERENCE_SEED = 990_003  # of drawn references: neither those of an evaluation nor of a calibration
REFERENCES = 300


class Halved(AttributeScore):
    """How much attributes hold, as a judge of pictures of half the size sees it."""

    @property
    def name(self) -> str:
        """As of `AttributeScore`."""
        return f"{super().name}, at half the size"

    def __call__(self, images: Tensor, name: str) -> Tensor:
        """As of `AttributeScore`, of images [B, 3, S, S]."""
        return super().__call__(avg_pool2d(images, 2), name)


@dataclass(frozen=True)
class EditContext:
    """Models that edit, given or trained, and the images and the judge that edits are measured with.

    Attributes:
        request: of the experiment.
        size: of the images.
        given: the models that the user named.
    """

    request: Request
    size: int
    given: tuple[Model, ...]

    @cached_property
    def data(self) -> PreparedData:
        """What is trained on: the user's images, or drawn faces."""
        return self.data_at(self.size)

    def data_at(self, size: int) -> PreparedData:
        """Return it at any size."""
        request = self.request
        if request.data is not None:
            progress = request.counting("preparing")
            if self.given and size == self.size:
                return open_data(self.given[0], request.data, progress)
            return open_or_prepare(request.data, size, progress=progress)
        count, progress = request.form.people * request.form.images, request.counting("drawing faces")
        return drawn_faces(size, count=count, folder=request.out / "data", progress=progress)

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
        """Who measures: see `judge_at`."""
        return self.judge_at(self.size)

    @cached_property
    def calibrator(self) -> AttributeScore:
        """Who calibrates what the judge measures: another judge, which is shown pictures of half the size."""
        return Halved(self.judge_at(self.size // 2))

    def judge_at(self, size: int) -> Judge:
        """Return the shipped judge of these attributes, or one that learned from the user's data, once."""
        schema = faces.SCHEMA if self.request.data is None else self.data.schema
        if (found := judge_for(schema, size, self.request.device)) is not None:
            return found
        request, seen, data = self.request, self.request.form.images_seen, self.data_at(size)
        path = request.out / "judges" / f"{data.fingerprint}-{seen}.safetensors"
        if not path.exists():
            request.say(f"training a judge of {size} px")
            recipe, progress = JudgeRecipe(images_seen=seen), request.counting("training a judge")
            train_judge(data, recipe, progress=progress, result=path, device=request.device).save(path)
        return load_judge(path, self.request.device)

    def column(self, name: str) -> int:
        """Return where an attribute stands among the labels."""
        return int(self.judge.schema.columns(name).start)

    def with_label(self, name: str, holds: bool) -> Tensor:
        """Return the references that have an attribute, or lack it, [R, 3, S, S]."""
        return self.references.images[self.references.labels[:, self.column(name)] == float(holds)]

    def protocol(self, models: Mapping[str, Model | None]) -> dict[str, Any]:
        """What figures measured here depend on."""
        which = {name: describe(model) if model else "not given, not measured" for name, model in models.items()}
        return {"images": self.unseen.words, "judge": self.judge.name, **which}

    def trained(
        self, recipe: str, name: str = "", changes: Mapping[str, Any] | None = None, data: PreparedData | None = None
    ) -> Path:
        """Return the run of a recipe in the form's size, trained now as far as it is not yet.

        Args:
            recipe: its name.
            name: of the run.
            changes: of its fields.
            data: to train on, in place of the context's own.
        """
        name, request = name or recipe, self.request
        whole = request.recipe(recipe, request.seeds[0], paced=True).with_changes(
            {"data.image_size": self.size, "name": name, **(changes or {})}
        )
        return request.train(whole, data or self.data, f"{name}-{whole.training.images}", name)

    def interpolator(self) -> InterpolationModel:
        """Return the HomoInterpGAN that was named, or one that is trained.

        Raises:
            AttrimorphError: models were named, none of them a HomoInterpGAN.
        """
        found: list[Model] = [model for model in self.given if isinstance(model, InterpolationModel)]
        if self.given and not found:
            names = ", ".join(model.recipe.name for model in self.given)
            raise AttrimorphError(f"one of the models must be a HomoInterpGAN; got {names}; add one, with a comma")
        recipe = "homointerp-drawn-64" if self.request.data is None else "homointerp-64"
        model = found[0] if found else load(self.trained(recipe), self.request.device)
        assert isinstance(model, InterpolationModel)
        self.check(model)
        return model

    def cvae_gan(self) -> Editor | None:
        """Return the CVAE-GAN to compare with: named, shipped, or trained; None where others were named alone."""
        found: Model | None = next((model for model in self.given if isinstance(model, Editor)), None)
        if found is None and self.request.data is None and self.size == 64 and SHIPPED in shipped():
            found = load(SHIPPED, self.request.device)
        if found is None and not self.given:
            found = load(self.trained(SHIPPED, "cvae-gan-edit"), self.request.device)
        if found is not None:
            assert isinstance(found, Editor)
            self.check(found)
        return found

    def check(self, model: Model) -> None:
        """Refuse a model of other attributes than the images'.

        Raises:
            AttrimorphError: it is one.
        """
        self.judge.schema.check_same(model.schema, "the images", repr(model.recipe.name), ordered=True)


def edit_context(request: Request) -> EditContext:
    """Load what the user named; without it images have the size of HomoInterpGAN's recipe, or that of the form.

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
    own = recipe_named("homointerp-drawn-64").data.image_size
    size = sizes.pop() if sizes else int(request.form.changes.get("data.image_size", own))
    return EditContext(request, size, given)


def one_of_each(model: InterpolationModel) -> tuple[str, ...]:
    """Return the first binary attribute of every group."""
    binary = set(binary_names(model.schema))
    firsts = [next((name for name in group if name in binary), None) for group in model.groups.values()]
    return tuple(name for name in firsts if name is not None)
