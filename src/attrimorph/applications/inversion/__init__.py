"""The search for codes: Adam through a frozen generator, from a good start (Attribute2Image, ECCV 2016).

min over z (and y, as far as it is unknown) of distance(G(z, y), x) + prior R(z), where R = 1/2 |w|^2 of the whitened
code w: z itself under N(0, I); z = mean + factor w where the model carries the Gaussian of its codes. Steps are taken
in z: in w, directions that the codes hardly use, and the generator does see, would be slow.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attrimorph.applications.options import Search
from attrimorph.models.model import Code, Encodes, Generates, Model
from attrimorph.networks.prior import FittedPrior

if TYPE_CHECKING:
    from attrimorph.applications.inversion.distances import Distance

PAIRS = 512  # candidates times images that are compared at once
RISE = 0.05  # of the steps: the rate rises from 0 to its full height
Progress = Callable[[int, int], None]


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
        code = Code(
            torch.cat([each.z.to(self.model.device) for each in codes]),
            torch.cat([each.attributes.to(self.model.device) for each in codes]),
        )
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
