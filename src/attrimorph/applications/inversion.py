"""Inversion: the code of an image, found by optimisation through the frozen generator, for any model that generates.

min over z (and y, as far as it is unknown) of distance(G(z, y), x) + prior R(z), where R = 1/2 |w|^2 of the whitened
code w: z itself under N(0, I); z = mean + factor w where the model carries the Gaussian of its codes (Attribute2Image,
ECCV 2016). Steps of Adam are taken in z: in w, directions that the codes hardly use, and the generator does see, would
be slow. The search starts from the encoder where there is one, and from the best of many samples where there is none.

What is compared is a choice: images that are wholly, partly (completion) or only coarsely (super-resolution) known, or
what a network sees. A distance holds its images; it is called with pictures [N, 3, S, S] in [-1, 1] and the row of the
image that each is compared with, and returns [N], with gradients towards the pictures. All but the perceptual part are
-log p of a Gaussian with deviation 1, as L_img: half the squared error, summed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph.applications import Search
from attrimorph.data import Changes, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.similarity import maps_distance
from attrimorph.models.model import Code, Encodes, Generates, Model
from attrimorph.networks.convolutional import FittedPrior

PAIRS = 512  # candidates times images that are compared at once
RISE = 0.05  # of the steps: the rate rises from 0 to its full height
AT_ONCE = 64  # images that are inverted together
Maps = Callable[[Tensor], list[Tensor]]
Progress = Callable[[int, int], None]
Compared = Literal["pixel", "perceptual"]


class Distance(Protocol):
    """How far pictures are from the images."""

    @property
    def whole(self) -> bool:
        """Whether an encoder can be shown the images as they are."""

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Pictures [N, 3, S, S], rows of the images [N] -> [N]."""


@dataclass(frozen=True)
class Pixels:
    """1/2 ||G(z, y) - x||^2, over all pixels or over those that are known: the paper's completion.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        known: [B or 1, 1, S, S] in [0, 1], 0 where a pixel is to be completed; all known when None.
    """

    images: Tensor
    known: Tensor | None = None

    @property
    def whole(self) -> bool:
        """Whether an encoder can be shown the images as they are."""
        return self.known is None

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N]."""
        errors = (pictures - self.images.to(pictures)[rows]).square()
        if self.known is not None:
            errors = errors * self.known.to(pictures).expand(len(self.images), -1, -1, -1)[rows]
        return 0.5 * errors.flatten(1).sum(1)


@dataclass(frozen=True)
class Downsampled:
    """f^2/2 ||D(G(z, y)) - x||^2, D the mean over f x f pixels: the images are f times smaller.

    Attributes:
        images: [B, 3, s, s] in [-1, 1], s = S / f.
    """

    images: Tensor
    whole = False

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N].

        Raises:
            AttrimorphError: the pictures' size is no multiple of the images'.
        """
        factor, rest = divmod(pictures.shape[-1], self.images.shape[-1])
        if rest or not factor:
            raise AttrimorphError(
                f"the model's pictures ({pictures.shape[-1]} pixels) must be a whole number of times larger than the "
                f"images; they have {self.images.shape[-1]}; resize them"
            )
        errors = (F.avg_pool2d(pictures, factor) - self.images.to(pictures)[rows]).square()
        return 0.5 * factor**2 * errors.flatten(1).sum(1)


@dataclass(frozen=True)
class Perceptual:
    """A mixture of how a network sees pictures and of their pixels: weight d(maps) + share 1/2 ||G(z, y) - x||^2.

    Attributes:
        images: [B, 3, S, S] in [-1, 1].
        maps: images -> feature maps, differentiable.
        weight: of the perceptual distance, see `metrics.similarity`, which is at most 2.
        share: of the pixels' distance.
    """

    images: Tensor
    maps: Maps
    weight: float = 1000.0
    share: float = 0.25
    whole = True

    @cached_property
    def _seen(self) -> list[Tensor]:
        with torch.no_grad():
            return [layer.detach() for layer in self.maps(self.images)]

    def __call__(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Return the distances [N]."""
        seen = [layer.to(pictures)[rows] for layer in self._seen]
        return self.weight * maps_distance(self.maps(pictures), seen) + self.share * Pixels(self.images)(pictures, rows)


def convolution_maps(network: nn.Module) -> Maps:
    """Return what all convolutions of a network put out, as a function of images."""
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]

    def maps(images: Tensor) -> list[Tensor]:
        found: list[Tensor] = []

        def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            # A rectifier that works in place may follow.
            found.append(output.clone())

        hooks = [part.register_forward_hook(keep) for part in convolutions]
        try:
            network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    return maps


def perceptual_maps(model: Model) -> Maps:
    """Return the maps of the model's own classifier, which knows the data.

    Raises:
        AttrimorphError: the model has none.
    """
    if "classifier" not in model.networks:
        raise AttrimorphError(
            f"a perceptual distance needs a network that sees; {model.recipe.name!r} has no classifier; "
            "use --distance pixel"
        )
    return convolution_maps(model.networks["classifier"])


@dataclass(frozen=True)
class Inversion:
    """What was found.

    Attributes:
        code: of the images.
        start: where the search began.
        before, after: distances of both, [B].
        steps: taken, the fewest of all images.
        seconds: it took.
    """

    code: Code
    start: Code
    before: Tensor
    after: Tensor
    steps: int
    seconds: float


class CodeSearch:
    """The search for the codes of a few images together; arguments as of `inversion`.

    Args:
        rows: of the distance's images.
        until: when to stop, as `time.perf_counter` tells it.
    """

    def __init__(
        self,
        model: Model,
        images: Tensor,
        attributes: Tensor | None,
        distance: "Distance",
        rows: Tensor,
        search: Search,
        until: float,
    ) -> None:
        assert isinstance(model, Generates)
        self.model, self.generate, self.images = model, model.generate, images
        self.distance, self.rows, self.search, self.until = distance, rows, search, until
        given = torch.full((len(images), model.schema.width), torch.nan) if attributes is None else attributes
        self.given = given.to(model.device).float()
        prior = model.networks.get("prior")
        self.prior = prior if isinstance(prior, FittedPrior) else None

    def run(self, progress: Progress | None = None) -> Inversion:
        """Look for the codes."""
        start, rows = self.start()
        count, images = len(rows), len(self.rows)
        free = torch.isnan(self.given).repeat(count // images, 1) & self.model.conditional
        z = start.z.clone().requires_grad_()
        y = start.attributes.clone().requires_grad_(bool(free.any()))
        groups = [{"params": [z], "lr": self.search.rate}]
        if y.requires_grad:
            groups.append({"params": [y], "lr": self.search.label_rate})
        adam = torch.optim.Adam(groups, betas=(0.9, 0.95))
        heights = [group["lr"] for group in adam.param_groups]
        best = torch.full((count,), torch.inf, device=z.device)
        kept_z, kept_y, kept_distance, before = z.detach().clone(), y.detach().clone(), best.clone(), best.clone()
        steps, stop = self.search.steps, self.search.stop
        for step in range(steps + 1):
            seen = torch.where(free, y, start.attributes) if y.requires_grad else start.attributes
            distances = self.distance(self.generate(z, seen), rows)
            total = distances + self.search.prior * self.unlikelihood(z)
            with torch.no_grad():
                # Adam's last step is not its best one: of every image the best code met is kept.
                better = total.detach() < best
                best = torch.where(better, total.detach(), best)
                kept_distance = torch.where(better, distances.detach(), kept_distance)
                kept_z = torch.where(better[:, None], z.detach(), kept_z)
                kept_y = torch.where(better[:, None], seen.detach(), kept_y)
                before = distances.detach() if step == 0 else before
            if progress is not None:
                progress(step, steps)
            if step in (steps, stop) or time.perf_counter() > self.until:
                break
            adam.zero_grad()
            total.sum().backward()  # type: ignore[no-untyped-call]
            for group, height in zip(adam.param_groups, heights, strict=True):
                group["lr"] = height * rate_factor(step, steps)
            adam.step()
            if self.search.within is not None:
                self.draw_in(z, self.search.within)
            if y.requires_grad:
                with torch.no_grad():
                    for kind, begin, end in self.model.schema.blocks:
                        if kind != "real":
                            y[:, begin:end].clamp_(0, 1)
        chosen = best.view(-1, images).argmin(0) * images + torch.arange(images, device=best.device)
        first = before.view(-1, images).argmin(0) * images + torch.arange(images, device=best.device)
        return Inversion(
            code=Code(kept_z[chosen], kept_y[chosen]),
            start=Code(start.z[first], start.attributes[first]),
            before=before[first],
            after=kept_distance[chosen],
            steps=step,
            seconds=0.0,
        )

    def whitened(self, z: Tensor) -> Tensor:
        """Return w [B, Z], in which drawn codes are N(0, I)."""
        if self.prior is None:
            return z
        w: Tensor = torch.linalg.solve_triangular(self.prior.factor, (z - self.prior.mean).T, upper=False).T
        return w

    def unlikelihood(self, z: Tensor) -> Tensor:
        """R(z) = 1/2 |w|^2 of each row, [B]."""
        return 0.5 * self.whitened(z).square().sum(1)

    @torch.no_grad()
    def draw_in(self, z: Tensor, within: float) -> None:
        """Shorten codes to at most `within` times sqrt(Z), the length of drawn ones."""
        middle: Tensor | float = 0.0 if self.prior is None else self.prior.mean
        share = (within * z.shape[1] ** 0.5 / self.whitened(z).norm(dim=1, keepdim=True)).clamp(max=1)
        z.copy_(middle + share * (z - middle))

    @torch.no_grad()
    def start(self) -> tuple[Code, Tensor]:
        """Return where to begin, one or several codes for each image, and the row that each belongs to.

        An encoder is trusted with whole images. Shown an image with a hole or a blurred one it is one more candidate.
        """
        codes, encoded = [], isinstance(self.model, Encodes)
        if isinstance(self.model, Encodes):
            unknown = self.model.conditional and bool(torch.isnan(self.given).any())
            guesses = unknown and "classifier" in self.model.networks
            y = self.known_or(self.model.guess_attributes(self.images) if guesses else None)
            codes.append(self.model.encode(self.images, y if self.model.conditional else None))
        if not encoded or not self.distance.whole:
            codes += self.sampled(self.search.starts)
        device = self.model.device
        code = Code.joined(Code(each.z.to(device), each.attributes.to(device)) for each in codes)
        return code, self.rows.repeat(len(codes))

    def known_or(self, other: Tensor | None) -> Tensor:
        """Return the attributes that are known; for the others what is given here, or blanks."""
        other = self.model.schema.fill_value.expand_as(self.given) if other is None else other
        return torch.where(torch.isnan(self.given), other.to(self.given), self.given)

    def sampled(self, starts: int) -> list[Code]:
        """Return the best of many samples for each image: `starts` codes of B rows."""
        model, images = self.model, len(self.rows)
        known = model.conditional and not bool(torch.isnan(self.given).all())
        drawn = model.sample_codes(self.search.candidates, torch.Generator().manual_seed(self.search.seed))
        z, y = drawn.z.to(model.device), drawn.attributes.to(model.device)
        distances = []
        for part in torch.split(torch.arange(len(z)), max(1, PAIRS // images)):
            rows = self.rows.repeat(len(part))
            if known:
                # Attributes that are known go with every candidate, which then is another picture for every image.
                each = torch.where(torch.isnan(self.given), y[part][:, None], self.given)
                pictures = self.generate(z[part].repeat_interleave(images, 0), each.flatten(0, 1))
            else:
                pictures = self.generate(z[part], y[part]).repeat_interleave(images, 0)
            distances.append(self.distance(pictures, rows).view(len(part), images))
        order = torch.cat(distances).topk(starts, dim=0, largest=False).indices
        return [Code(z[row], self.known_or(y[row])) for row in order]


def rate_factor(step: int, steps: int) -> float:
    """Rise over the first steps, then fall as a cosine; in 0..1."""
    done = (step + 0.5) / steps
    return min(1.0, done / RISE) * 0.5 * (1 + math.cos(math.pi * done))


def inversion(
    model: Model,
    images: Tensor,
    attributes: Tensor | None = None,
    *,
    distance: Distance | None = None,
    search: Search | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Look for the codes of images by optimisation.

    Args:
        model: one that generates from z and y; an encoder, a classifier and a fitted prior are used where it has them.
        images: [B, 3, S, S] in [-1, 1], what an encoder is shown.
        attributes: [B, W]; NaN where unknown, those are looked for too. None: all of them are, starting from the
            classifier's guess where there is one.
        distance: to the images; of all pixels when None.
        search: how.
        progress: called with (steps done, steps).

    Raises:
        AttrimorphError: the model generates nothing, or the images have another size.
    """
    if not isinstance(model, Generates):
        remedy = "use a CVAE-GAN or a GAN, for example drawn-faces-64"
        raise model.unable("invert", "generates images from codes", remedy)
    if images.shape[1:] != (3, model.image_size, model.image_size):
        raise AttrimorphError(
            f"this model takes images of {model.image_size}x{model.image_size}; "
            f"got {images.shape[-1]}x{images.shape[-2]}; resize them first"
        )
    # The first optimiser of a process imports it, which takes seconds: not those of the budget.
    import torch._dynamo

    begin, search = time.perf_counter(), search or Search()
    distance = distance or Pixels(images.to(model.device))
    parts = list(torch.split(torch.arange(len(images)), AT_ONCE))
    found: list[Inversion] = []

    def report(done: int, steps: int) -> None:
        if progress is not None:
            progress(len(found) * steps + done, len(parts) * steps)

    for rows in parts:
        given = None if attributes is None else attributes[rows]
        until = math.inf
        if search.seconds is not None:
            # All images get as many steps as the first have time for: so the whole can be repeated.
            until, search = begin + search.seconds / len(parts), replace(search, seconds=None)
        codes = CodeSearch(model, images[rows], given, distance, rows.to(model.device), search, until)
        found.append(codes.run(report))
        search = replace(search, stop=found[0].steps)
    return Inversion(
        code=Code.joined(each.code for each in found),
        start=Code.joined(each.start for each in found),
        before=torch.cat([each.before for each in found]),
        after=torch.cat([each.after for each in found]),
        steps=min(each.steps for each in found),
        seconds=time.perf_counter() - begin,
    )


def distance_to(
    model: Model, images: Tensor, compared: Compared = "pixel", *, known: Tensor | None = None, factor: int = 1
) -> Distance:
    """Return the distance that the command line's words stand for.

    Args:
        model: whose pictures are compared.
        images: [B, 3, S, S] in [-1, 1].
        compared: pixels, or what a network sees.
        known: [1, 1, S, S], 0 where a pixel is to be completed.
        factor: the images are compared so many times smaller.

    Raises:
        AttrimorphError: the words do not go together.
    """
    if factor < 1 or model.image_size % factor:
        raise AttrimorphError(
            f"factor must divide the model's image size, {model.image_size}; got {factor}; try 2, 4 or 8"
        )
    if (compared == "perceptual") + (known is not None) + (factor > 1) > 1:
        raise AttrimorphError("an inversion compares what is seen, or known pixels, or smaller images; choose one")
    if compared == "perceptual":
        return Perceptual(images.to(model.device), perceptual_maps(model))
    if factor > 1:
        return Downsampled(F.avg_pool2d(images, factor))
    return Pixels(images, known)


def known_alone(schema: Schema, count: int, known: Changes) -> Tensor:
    """Return attributes [count, W] that are NaN, but for those that are known: name -> 0 or 1, or a real one's value.

    Raises:
        AttrimorphError: there is no such attribute, or the value is none of its.
    """
    y = torch.full((count, schema.width), torch.nan)
    for key, value in schema.facts(known).items():
        columns = schema.columns(schema.find(key)[0].name)
        y[:, columns] = schema.with_facts(schema.fill_value.expand(count, -1), {key: value})[:, columns]
    return y
