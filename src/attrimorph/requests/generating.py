"""sample, reconstruct, transfer, layers, invert: what a model makes, sees, and is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from attrimorph.applications.options import PRIOR, Search
from attrimorph.requests.base import (
    Changes,
    Inputs,
    Inverting,
    Named,
    Option,
    Request,
    Result,
    Work,
    decibels,
    inversion_arguments,
    numbered,
    parse_names,
)

if TYPE_CHECKING:
    from attrimorph.models.model import Model


def _names(words: str | None) -> list[str] | None:
    return None if words is None else parse_names(words)


class Sample(Request):
    """Generate new images.

    Attributes:
        count: How many.
        changes: An attribute and how far: Smiling=1 sets it, -1 takes it away, 0.5 is half-way; class=smiling, a value.
        seed: The same seed gives the same images.
    """

    verb = "sample"
    count: int = 16
    changes: Changes = {}
    seed: int = 0

    def result(self, model: "Model", work: Work) -> Result:
        """Return a grid."""
        from attrimorph.applications.generating import sample
        from attrimorph.pictures import grid

        images = sample(model, self.count, seed=self.seed, changes=self.changes).images
        return Result({"": grid(images, cell=max(96, model.image_size))})


class Reconstruct(Inverting):
    """Show how the model sees images.

    Attributes:
        images: Pictures; the largest centred square of each is taken.
    """

    verb = "reconstruct"
    pictures = ("images",)
    images: list[Path]

    def result(self, model: "Model", work: Work) -> Result:
        """Return a sheet, inputs over reconstructions, or of many each alone."""
        from attrimorph.applications.generating import reconstruct
        from attrimorph.pictures import sheet_of, to_pil

        found = reconstruct(model, self.images, known=self.known, invert=self.invert, progress=work.progress)
        rows, labels = [found.images, found.reconstructions], ["input", "reconstruction"]
        return Result(
            sheet_of(len(found.images), rows, labels=labels, cell=max(128, model.image_size))
            or numbered("reconstruction", to_pil(found.reconstructions)),
            {
                "psnr (dB, at the model's size)": decibels(found.images, found.reconstructions),
                "attributes": [model.schema.describe(row) for row in found.code.attributes.cpu()],
            },
            inversion_arguments(self.invert, found.inversion),
        )


class Transfer(Inputs):
    """Give an image the attributes of another.

    Attributes:
        image: The picture to change.
        source: The picture whose attributes are taken.
        only: Which, with commas: Eyeglasses,Smiling; by default all.
    """

    verb = "transfer"
    pictures = ("image", "source")
    image: Path
    source: Annotated[Path, Option("--from")]
    only: Annotated[list[str] | None, Option("--attributes", str | None, _names, schema=True)] = None

    def result(self, model: "Model", work: Work) -> Result:
        """Return the row of four."""
        import torch

        from attrimorph.applications.generating import transfer
        from attrimorph.applications.inputs import attributes_of
        from attrimorph.pictures import sheet

        images, source = (model.prepared(path) for path in (self.image, self.source))
        found = transfer(model, images, source, only=self.only, attributes=attributes_of(model, images, self.known))
        row = torch.cat([found.images, found.reconstructions, source, found.transferred])
        columns = ["input", "reconstruction", "attributes of", "transferred"]
        return Result(
            {"": sheet([row], columns=columns, cell=max(128, model.image_size))},
            {"attributes": model.schema.describe(found.code.attributes[0].cpu())},
        )


class Layers(Inputs):
    """Take images apart into foreground, gate and background, and put them together again otherwise.

    Attributes:
        model: A run folder, a model file or a shipped model that has layers.
        images: Pictures; the largest centred square of each is taken.
        changes: An attribute and how far: Smiling=1 sets it, -1 takes it away, 0.5 is half-way; class=smiling, a value.
        background: A picture whose background is put behind the others' foregrounds.
        backgrounds: Draw so many backgrounds, the foregrounds staying as they are.
        seed: Of the drawn backgrounds.
    """

    verb = "layers"
    pictures = ("images", "background")
    model: Named = "discvae-drawn-64"
    images: list[Path]
    changes: Changes = {}
    background: Annotated[Path | None, Option("--background-from")] = None
    backgrounds: int = 0
    seed: int = 0

    def result(self, model: "Model", work: Work) -> Result:
        """Return a sheet (input, foreground, gate, background, composite, variants), and every layer alone."""
        import torch

        from attrimorph.applications.inputs import attributes_of
        from attrimorph.applications.layers import as_picture, layered, layers
        from attrimorph.pictures import sheet_of, to_pil

        layered(model, "layers")
        images = model.prepared(self.images)
        found = layers(
            model,
            images,
            attributes_of(model, images, self.known),
            changes=self.changes,
            background=None if self.background is None else model.prepared(self.background),
            backgrounds=self.backgrounds,
            seed=self.seed,
        )
        parts = found.layers
        columns = {
            "foreground": parts.foreground,
            "gate": as_picture(parts.gate),
            "background": parts.background,
            "composite": parts.composite,
            **found.variants,
        }
        rows = [torch.stack(row) for row in zip(images, *(batch.cpu() for batch in columns.values()), strict=True)]
        pictures = sheet_of(len(rows), rows, columns=["input", *columns], cell=max(128, model.image_size))
        for word, batch in columns.items():
            pictures |= numbered("-".join(word.replace("=", " ").split()), to_pil(batch))
        covered = (1 - parts.gate).mean((1, 2, 3)).cpu().double().round(decimals=4).tolist()
        return Result(
            pictures,
            {
                "attributes": [model.schema.describe(row) for row in found.code.attributes.cpu()],
                "share that the foreground covers": covered,
            },
        )

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read "other", the first word for a background from another picture."""
        return {"background" if name == "other" else name: value for name, value in words.items()}


class Invert(Inputs):
    """Find the codes of images by optimisation through the model's generator; any model that generates will do.

    Attributes:
        images: Pictures; the largest centred square of each is taken.
        compared: What is compared: pixels, or what the model's classifier sees too.
        mask: A picture, white where the images are known, black where they are to be completed.
        factor: Compare so many times smaller images: what lies between is made up.
        steps: Of the search.
        seconds: A budget of time; the search ends with the best it has found.
        prior: How much an unlikely code costs; 0 allows any.
        candidates: Samples among which a start is looked for, where there is no encoder.
        starts: Follow the best so many of them.
        seed: Of the samples.
    """

    verb = "invert"
    pictures = ("images", "mask")
    images: list[Path]
    compared: Annotated[Literal["pixel", "perceptual"], Option("--distance")] = "pixel"
    mask: Path | None = None
    factor: int = 1
    steps: int = 100
    seconds: float | None = None
    prior: Annotated[float, Option(kind=float | None, read=lambda value: PRIOR if value is None else value)] = PRIOR
    candidates: int = 256
    starts: int = 1
    seed: int = 0
    rate: Annotated[float, Option("-")] = 0.2
    label_rate: Annotated[float, Option("-")] = 0.2
    of: Annotated[int | None, Option("-")] = None
    """Steps that were asked for, of a search that is repeated."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse numbers out of range at once."""
        self.search  # noqa: B018

    @property
    def search(self) -> Search:
        """How the codes are looked for."""
        names = ("rate", "label_rate", "prior", "candidates", "starts", "seed", "seconds")
        words = {name: getattr(self, name) for name in names}
        return Search(self.steps, **words) if self.of is None else Search(self.of, stop=self.steps, **words)

    def result(self, model: "Model", work: Work) -> Result:
        """Return a sheet (input, what the encoder makes of it or what was given, what was found), and each alone."""
        import torch
        import torch.nn.functional as F

        from attrimorph.applications.inversion import distance_to, inversion, known_alone
        from attrimorph.models.model import Encodes
        from attrimorph.pictures import sheet_of, to_pil

        images = model.prepared(self.images)
        seen = None if self.mask is None else (model.prepared(self.mask).mean(1, keepdim=True) > 0).float()
        distance = distance_to(model, images, self.compared, known=seen, factor=self.factor)
        shown = images if seen is None else images * seen
        if self.factor > 1:
            shown = F.interpolate(F.avg_pool2d(images, self.factor), scale_factor=self.factor, mode="bilinear")
        attributes = known_alone(model.schema, len(images), self.known)
        found = inversion(model, shown, attributes, distance=distance, search=self.search, progress=work.progress)
        made, start = model.decode(found.code).cpu(), model.decode(found.start).cpu()
        columns = {"input": images}
        if shown is not images:
            columns["given"] = shown
        elif isinstance(model, Encodes):
            columns["encoder"] = start
        columns["found"] = made
        rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
        return Result(
            sheet_of(len(made), rows, columns=list(columns), cell=max(128, model.image_size))
            | numbered("found", to_pil(made)),
            {
                "psnr of the start (dB, at the model's size)": decibels(start, images),
                "psnr of what was found": decibels(made, images),
                "seconds": round(found.seconds, 2),
                "attributes": [model.schema.describe(row) for row in found.code.attributes.cpu()],
                "z": [[round(value, 5) for value in row] for row in found.code.z.cpu().flatten(1).tolist()],
            },
            {"steps": found.steps, "of": self.search.steps, "seconds": None},
        )
