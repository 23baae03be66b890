"""New identities: people that do not exist, by mixing three who do."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.augment import BATCH, TRIES, Made, check_amount, class_attribute, until_confirmed
from attrimorph.applications.confirm import Confirmation
from attrimorph.applications.inputs import encoder
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Code
from attrimorph.models.model import Model
from attrimorph.pictures import to_bytes

MIXED = 3  # identities that make a new one
LEAST_SHARE = 0.5  # of the largest, before the shares of a mixture are scaled to 1: nobody known stands out
VARIED = 0.3  # standard deviations by which z varies among the images of a new identity, where z is who it is
POOL = 512  # training images whose codes are mixed
TRANSIENT = (
    "Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Wearing_Hat", "Wearing_Earrings", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Heavy_Makeup", "Narrow_Eyes", "Blurry",
)  # fmt: skip
"""CelebA's attributes that change from one photograph of a person to the next."""


def new_identities(
    model: Model,
    data: PreparedData,
    count: int,
    each: int = 100,
    *,
    confirm: Confirmation | None,
    seed: int = 0,
) -> Iterator[Made]:
    """Make people that do not exist, by mixing three who do (Bao et al. 2017, section 5.6).

    Of a class-conditional model the class codes are mixed, and z is drawn anew for every image. Of other models z tells
    who it is: the codes of three training images are mixed, with their spread kept, and vary a little from image to
    image, together with the attributes that change from one photograph to the next (`TRANSIENT`).

    Args:
        model: one that samples.
        data: with the model's attributes; the three are taken from its train split.
        count: new identities.
        each: images of each.
        confirm: who must see the new person in every image: of a class-conditional model one of the three that were
            mixed, of another one who is not like any other new person; None = nobody looks.
        seed: of everything drawn.

    Raises:
        AttrimorphError: the model has no codes, or a number is out of range.
    """
    check_amount(count, each)
    generator = torch.Generator().manual_seed(seed)
    name = class_attribute(model.schema)
    mixed = _mixed_codes(model, data, count, generator) if name is None else None
    for number in range(count):
        words = f"new-{number + 1:0{max(4, len(str(count)))}d}"
        person: _ClassMixture | _CodeMixture
        person = mixed.person(number, generator) if mixed else _class_mixture(model, str(name), generator)
        draw = partial(_drawn, model, words, person, generator)
        yield from until_confirmed(draw, each, TRIES * each, confirm, [] if name is None else [name])


def _drawn(
    model: Model, words: str, person: "_ClassMixture | _CodeMixture", generator: torch.Generator, _: int, count: int
) -> Made:
    code = person.draw(model, count, generator)
    images = to_bytes(model.decode(code))
    return Made(images, code.attributes.cpu(), words, [words] * count, [person.origin] * count)


@dataclass(frozen=True)
class _ClassMixture:
    """A new identity of a class-conditional model: a mixture of class codes."""

    columns: slice
    mixture: Tensor
    origin: str

    def draw(self, model: Model, count: int, generator: torch.Generator) -> Code:
        code = model.sample_codes(count, generator)
        y = code.attributes.clone()
        y[:, self.columns] = self.mixture
        return Code(code.z, y)


def _class_mixture(model: Model, name: str, generator: torch.Generator) -> _ClassMixture:
    values = model.schema.attribute(name).values
    who = torch.randperm(len(values), generator=generator)[:MIXED]
    shares = _shares(1, len(who), generator)[0]
    mixture = torch.zeros(len(values)).index_put((who,), shares)
    told = ", ".join(f"{share:.2f} {values[int(place)]}" for place, share in zip(who, shares.tolist(), strict=True))
    return _ClassMixture(model.schema.columns(name), mixture, f"mixed: {told}")


@dataclass(frozen=True)
class _CodeMixture:
    """A new identity of a model whose z tells who it is."""

    z: Tensor
    attributes: Tensor
    deviation: Tensor
    origin: str

    def draw(self, model: Model, count: int, generator: torch.Generator) -> Code:
        noise = torch.randn(count, *self.z.shape, generator=generator)
        y = self.attributes.expand(count, -1).clone()
        others = model.draw_attributes(count, generator)
        for name in TRANSIENT:
            if name in model.schema.names:
                y[:, model.schema.columns(name)] = others[:, model.schema.columns(name)]
        return Code(self.z + VARIED * self.deviation * noise, y)


@dataclass(frozen=True)
class _MixedCodes:
    """Mixtures of the codes of training images.

    Attributes:
        z: [N, ...], one for each new identity.
        deviation: standard deviation of single codes, [...].
        attributes: [P, W] of the images; rows: [N, MIXED], places among them; files: P names.
    """

    z: Tensor
    deviation: Tensor
    attributes: Tensor
    rows: Tensor
    files: list[str]

    def person(self, number: int, generator: torch.Generator) -> _CodeMixture:
        rows = self.rows[number].tolist()
        # Attributes are no mixture: half a moustache is on nobody's lip.
        chosen = rows[int(torch.randint(MIXED, (), generator=generator))]
        told = ", ".join(self.files[row] for row in rows)
        return _CodeMixture(self.z[number], self.attributes[chosen], self.deviation, f"mixed: {told}")


def _mixed_codes(model: Model, data: PreparedData, count: int, generator: torch.Generator) -> _MixedCodes:
    encodes = encoder(model, "augment")
    train = data.indices("train")
    if len(train) < MIXED:
        raise AttrimorphError(
            f"at least {MIXED} training images must be there to mix; got {len(train)}; give more data"
        )
    pool = np.sort(train[torch.randperm(len(train), generator=generator)[:POOL].numpy()])
    parts = [data.batch(pool[start : start + BATCH]) for start in range(0, len(pool), BATCH)]
    z = torch.cat([encodes.encode(*part).z.cpu() for part in parts])
    rows = torch.stack([torch.randperm(len(pool), generator=generator)[:MIXED] for _ in range(count)])
    shares = _shares(count, MIXED, generator)
    centred = (z - z.mean(0))[rows]
    shares = shares.view(count, MIXED, *[1] * (z.dim() - 1))
    # A mean of three is nearer to the middle than each of them: it is moved out again, to where codes are.
    mixture = z.mean(0) + (shares * centred).sum(1) / shares.square().sum(1).sqrt()
    y = torch.cat([labels for _, labels in parts])
    return _MixedCodes(mixture, z.std(0), y, rows, [data.files[row] for row in pool])


def _shares(count: int, among: int, generator: torch.Generator) -> Tensor:
    """Draw shares [count, among] that add up to 1, the smallest at least half of the largest."""
    drawn = LEAST_SHARE + (1 - LEAST_SHARE) * torch.rand(count, among, generator=generator)
    return drawn / drawn.sum(1, keepdim=True)
