"""Where axes live: coordinates in which drawn codes have mean 0 and unit variance, and how long a move is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from attrimorph.data.loader import generator_for
from attrimorph.models.model import Code, Model
from attrimorph.networks.convolutional import FittedPrior

CHUNK = 256  # codes drawn from one stream: code i of a seed is the same however many are drawn
CODES = 6  # a word that keeps these streams apart from all others
FAINT = 1e-3  # of the largest variance of attributes: what varies less is no coordinate
DERIVED, SEED = 8, 5  # drawn codes over which the mean derivative is taken, and their seed
STEP = 0.15  # of a difference quotient, in deviations of the codes
PLAIN = 0.3
"""Share of the plain length in the measure: with less, moves hide where the picture hardly changes, nor the score."""
REACH = 1.25
"""How much farther a photograph's edit goes than a drawn picture's: a part is lost where it is put back."""
TOGETHER = 64
SAME_PICTURE = 1e-3  # largest difference, on the scale of [-1, 1], of pictures that are one


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


@torch.inference_mode()
def normalises(model: Model) -> bool:
    """Return whether a generator sees the direction of z alone, as those do that normalise it (PGGAN).

    Never of one that is given attributes as well, or whose codes are whitened: their coordinates are not z.
    """
    if model not in _NORMALISE:
        space = Space.of(model)
        _NORMALISE[model] = space.mean is None and space.size == space.latent and _same_of_twice(model)
    return _NORMALISE[model]


_NORMALISE: WeakKeyDictionary[Model, bool] = WeakKeyDictionary()  # a live edit asks again and again


def _same_of_twice(model: Model) -> bool:
    code = next(drawn_codes(model, 1, SEED))
    one, twice = model.decode(Code(torch.cat([code.z, 2 * code.z]), code.attributes.repeat(2, 1)))
    return bool(torch.allclose(one, twice, atol=SAME_PICTURE))


@torch.inference_mode()
def picture_gram(model: Model) -> Tensor:
    """Return how a move's length is measured as the picture shows it: E[J'J] and a part of the plain length.

    Codes that are moved the shortest way in z also move whatever nobody named: background, light, the cut of the hair.
    Of all moves to the same scores there is one that changes the picture least. With J the generator's derivative of
    its pixels towards coordinates, a small move d changes the picture by d' J'J d: E[J'J] over drawn codes, scaled to a
    mean eigenvalue of 1, plus PLAIN times the unit matrix measures moves.

    Args:
        model: any generator; its coordinates are those of `space`.

    Returns:
        [D, D] float64 on the CPU.
    """
    space, blank = Space.of(model), model.schema.fill_value
    gram = torch.zeros(space.size, space.size, dtype=torch.float64)
    beside = STEP * torch.eye(space.size, dtype=torch.float64)
    for chunk in drawn_codes(model, DERIVED, SEED):
        for z, y in zip(torch.split(chunk.z, 1), torch.split(chunk.attributes, 1), strict=True):
            here, pictures = space.coordinates(Code(z, y), blank), []
            for part in torch.split(torch.cat([here + beside, here - beside]), TOGETHER):
                like = Code(z.expand(len(part), *z.shape[1:]), y.expand(len(part), -1))
                pictures.append(model.decode(space.code(part, like, blank)).flatten(1).double().cpu())
            after, before = torch.cat(pictures).chunk(2)
            jacobian = (after - before) / (2 * STEP)  # difference quotients, [D, 3 S S]
            gram += jacobian @ jacobian.T
    plain = torch.eye(space.size, dtype=torch.float64)
    return gram / (gram.trace() / space.size).clamp(min=1e-12) + PLAIN * plain
