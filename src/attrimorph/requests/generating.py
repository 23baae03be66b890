"""sample, reconstruct, transfer, layers, invert, inpaint, superresolve: what a model makes, sees, and makes up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import model_validator

from attrimorph.applications import PRIOR, Search
from attrimorph.errors import AttrimorphError
from attrimorph.requests import (
    Changes,
    Inputs,
    Inverting,
    Named,
    Option,
    Request,
    Result,
    Seed,
    Work,
    decibels,
    inversion_arguments,
    numbered,
    parse_names,
)

if TYPE_CHECKING:
    from attrimorph.models.model import Model

Rectangle = tuple[int, int, int, int]


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
    seed: Seed = 0

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
    seed: Seed = 0

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
        mask: A picture of the images' size, white or else transparent where they are to be completed.
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
    white: Annotated[Literal["hole", "known"], Option("-")] = "hole"
    """What is white in the mask."""
    factor: int = 1
    steps: int = 100
    seconds: float | None = None
    prior: Annotated[float, Option(kind=float | None, read=lambda value: PRIOR if value is None else value)] = PRIOR
    candidates: int = 256
    starts: int = 1
    seed: Seed = 0
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

        from attrimorph.applications.filling import mask_for
        from attrimorph.applications.inversion import distance_to, inversion, known_alone
        from attrimorph.models.model import Encodes
        from attrimorph.pictures import sheet_of, to_pil

        images = model.prepared(self.images)
        seen = None
        if self.mask is not None and self.white == "known":
            seen = (model.prepared(self.mask).mean(1, keepdim=True) > 0).float()
        elif self.mask is not None:
            seen = 1 - torch.cat([mask_for(model, path, self.mask) for path in self.images])
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

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read a receipt whose mask was white where the images are known."""
        return {"white": "known", **super().earlier(words)}


def rectangle(words: str | None) -> Rectangle | None:
    """Read left,top,right,bottom.

    Raises:
        AttrimorphError: it is something else.
    """
    if words is None:
        return None
    try:
        left, top, right, bottom = (int(word) for word in words.split(","))
    except ValueError:
        raise AttrimorphError(
            f"a hole must be four whole numbers, left,top,right,bottom; got {words!r}; try --hole 20,24,44,36"
        ) from None
    return left, top, right, bottom


class Inpaint(Inverting):
    """Fill a hole of an image; what lies outside stays to the last bit.

    Attributes:
        image: A picture; its largest centred square is taken.
        mask: A picture of the same size, white where the hole is; where it has transparent parts, these.
        hole: In place of a mask: left,top,right,bottom in the picture's pixels.
        times: How often the model looks at the filled image; not with --invert.
        fill: What the hole holds at first: its border's colours spread inwards, or the mean colour.
        feather: Pixels inside the hole over which the seam is evened out.
    """

    verb = "inpaint"
    pictures = ("image", "mask")
    image: Path
    mask: Path | None = None
    hole: Annotated[Rectangle | None, Option(kind=str | None, read=rectangle)] = None
    times: int = 10
    fill: Literal["border", "mean"] = "border"
    feather: int = 4

    @model_validator(mode="after")
    def _one(self) -> "Inpaint":
        if (self.mask is None) == (self.hole is None):
            raise AttrimorphError("inpaint needs either --mask or --hole; give one of them, such as --hole 20,24,44,36")
        return self

    def result(self, model: "Model", work: Work) -> Result:
        """Return the strip of iterations, and the result alone."""
        from attrimorph.applications.filling import inpaint, mask_for, strip
        from attrimorph.pictures import to_pil

        images = model.prepared(self.image)
        hole = self.mask or self.hole
        assert hole is not None
        masks = mask_for(model, self.image, hole)
        found = inpaint(
            model,
            images,
            masks,
            None,
            self.times,
            fill=self.fill,
            feather=self.feather,
            known=self.known,
            invert=self.invert,
            progress=work.progress,
        )
        hidden = (found.images - found.inpainted).div(2).square().sum() / (3 * masks.sum())
        return Result(
            {"": strip(found, max(128, model.image_size)), "inpainted": to_pil(found.inpainted)[0]},
            {
                "hole (share of the image)": round(float(masks.mean()), 4),
                "psnr in the hole (dB, against what the input shows there)": round(-10 * float(hidden.log10()), 3),
                "attributes": model.schema.describe(found.attributes[0].cpu()),
            },
            inversion_arguments(self.invert, found.inversion),
        )

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read a receipt that tells of a mask by having no hole."""
        return {"mask": words.get("hole") is None, **words}


class Superresolve(Inverting):
    """Enlarge a small image to the model's size, with detail that agrees with every pixel of it.

    Attributes:
        image: A small square picture, of the model's size divided by a whole number; or any picture with
            --times-larger.
        times_larger: Shrink the picture first, so that the result is so many times larger.
        rounds: How often the model looks at the image; not with --invert.
    """

    verb = "superresolve"
    pictures = ("image",)
    image: Path
    times_larger: int | None = None
    rounds: int = 5

    def result(self, model: "Model", work: Work) -> Result:
        """Return the row of small, bicubic, ours (and truth), and the result alone."""
        import torch
        from torch.nn.functional import interpolate

        from attrimorph.applications.filling import small_image, superresolve
        from attrimorph.pictures import sheet, to_pil

        low, truth = small_image(model, self.image, self.times_larger)
        found = superresolve(
            model, low, None, self.rounds, known=self.known, invert=self.invert, progress=work.progress
        )
        side = low.shape[-1]
        small = interpolate(low, scale_factor=float(model.image_size // side), mode="nearest")
        columns = {f"{side} px": small, "bicubic": found.bicubic, "by the model": found.images}
        facts: dict[str, Any] = {
            "disagreement with the input (levels of 255, at most)": round(float(found.disagreement.max()), 4),
            "attributes": model.schema.describe(found.attributes[0].cpu()),
        }
        if truth is not None:
            for name in ("bicubic", "by the model"):
                facts[f"psnr against the truth (dB), {name}"] = decibels(columns[name], truth)[0]
            columns["truth"] = truth
        page = sheet([torch.cat(list(columns.values()))], columns=list(columns), cell=max(128, model.image_size))
        arguments = inversion_arguments(self.invert, found.inversion)
        return Result({"": page, "large": to_pil(found.images)[0]}, facts, arguments)
