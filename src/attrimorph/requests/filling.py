"""inpaint, superresolve: what a model makes up where nobody knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import model_validator

from attrimorph.errors import AttrimorphError
from attrimorph.requests.base import Inverting, Option, Result, Work, decibels, inversion_arguments

if TYPE_CHECKING:
    from attrimorph.models.model import Model

Rectangle = tuple[int, int, int, int]


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
        mask: A picture of the same size, white where the hole is.
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
