"""Where axes live: coordinates of a generator's codes in which drawn codes have mean 0 and unit variance."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.data.loader import generator_for
from attrimorph.models.codes import Code
from attrimorph.models.model import Model
from attrimorph.networks.prior import FittedPrior

CHUNK = 256  # codes drawn from one stream: code i of a seed is the same however many are drawn
CODES = 6  # a word that keeps these streams apart from all others
FAINT = 1e-3  # of the largest variance of attributes: what varies less is no coordinate


@dataclass(frozen=True)
class Space:
    """Coordinates [B, D]: z, flattened and whitened by the model's prior, then y, whitened, where G is given y.

    For z ~ N(0, I) and no y the coordinates are z itself. White means that what is seen at a score along an axis among
    drawn codes is what a move to that score makes seen, and that the shortest move is the likeliest one: setting blond
    hair takes the other colours away.

    Attributes:
        shape: of one z.
        mean, factor: z = mean + factor coordinates, [Z] and lower triangular [Z, Z]; None for N(0, I).
        y_mean, y_factor: of the model's examples, [W] and [W, R]: y = y_mean + y_factor coordinates; R = 0 without y.
    """

    shape: tuple[int, ...]
    mean: Tensor | None
    factor: Tensor | None
    y_mean: Tensor
    y_factor: Tensor

    @staticmethod
    def of(model: Model) -> "Space":
        """Return the space of a model's codes."""
        shape = tuple(model.sample_codes(1, torch.Generator().manual_seed(0)).z.shape[1:])
        prior = model.networks.get("prior")
        mean = factor = None
        if isinstance(prior, FittedPrior):
            mean, factor = prior.mean.double().cpu(), prior.factor.double().cpu()
        width = model.schema.width
        y_mean, y_factor = torch.zeros(width).double(), torch.zeros(width, 0).double()
        if model.conditional:
            known = torch.tensor(model.header["examples"], dtype=torch.float64).reshape(-1, width)
            y_mean = known.mean(0)
            values, vectors = torch.linalg.eigh((known - y_mean).T @ (known - y_mean) / len(known))
            # What never varies among the examples (the sum of a categorical attribute's columns) is no coordinate.
            varied = values > FAINT * values.amax().clamp(min=1e-12)
            y_factor = vectors[:, varied] * values[varied].sqrt()
        return Space(shape, mean, factor, y_mean, y_factor)

    @property
    def latent(self) -> int:
        """Coordinates of z."""
        return int(torch.Size(self.shape).numel())

    @property
    def size(self) -> int:
        """D."""
        return self.latent + self.y_factor.shape[1]

    def coordinates(self, code: Code, blank: Tensor | None = None) -> Tensor:
        """Return the coordinates of codes, [B, D] float64 on the CPU.

        Args:
            code: z [B, ...], attributes [B, W].
            blank: what stands for missing attributes, [W].
        """
        z = code.z.flatten(1).double().cpu()
        if self.mean is not None and self.factor is not None:
            z = torch.linalg.solve_triangular(self.factor, (z - self.mean).T, upper=False).T
        if not self.y_factor.shape[1]:
            return z
        y = filled(code.attributes.double().cpu(), blank)
        return torch.cat([z, (y - self.y_mean) @ (self.y_factor / self.y_factor.square().sum(0))], 1)

    def code(self, coordinates: Tensor, like: Code, blank: Tensor | None = None) -> Code:
        """Return the codes at coordinates; what is no coordinate of their attributes stays that of `like`.

        Args:
            coordinates: [B, D]; gradients pass.
            like: codes [B, ...].
            blank: what stands for missing attributes, [W].
        """
        z, y = coordinates[:, : self.latent], like.attributes.cpu()
        if self.mean is not None and self.factor is not None:
            z = self.mean + z @ self.factor.T
        if self.y_factor.shape[1]:
            moved = coordinates[:, self.latent :] - self.coordinates(like, blank)[:, self.latent :]
            y = filled(y, blank) + (moved @ self.y_factor.T).to(y.dtype)
        return Code(z.to(like.z.dtype).view(-1, *self.shape), y)


def filled(y: Tensor, blank: Tensor | None) -> Tensor:
    """Return attributes [B, W] with missing values (NaN) replaced by those of `blank` [W]."""
    return y if blank is None else torch.where(y.isnan(), blank.to(y), y)


def drawn_codes(model: Model, count: int, seed: int) -> Iterator[Code]:
    """Draw codes in chunks; code i is a function of (seed, i)."""
    for place, start in enumerate(range(0, count, CHUNK)):
        code = model.sample_codes(CHUNK, generator_for(seed, CODES, place))
        few = min(CHUNK, count - start)
        yield Code(code.z[:few], code.attributes[:few])
