"""New identities: people that do not exist, by mixing three who do."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.augment import BATCH, TRIES, Made, check_amount, class_attribute, until_confirmed
from attrimorph.applications.confirm import Confirmation
from attrimorph.applications.inputs import encoder
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code, Model
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
Draws = Callable[[int], Code]
"""A number of images -> their codes."""


def new_identities(
    model: Model, data: PreparedData, count: int, each: int = 100, *, confirm: Confirmation | None, seed: int = 0
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
    mixture = _code_mixtures(model, data, count, generator) if name is None else None
    for number in range(count):
        origin, code_of = mixture(number) if mixture else _class_mixture(model, str(name), generator)
        words = f"new-{number + 1:0{max(4, len(str(count)))}d}"
        draw = partial(_drawn, model, words, f"mixed: {origin}", code_of)
        yield from until_confirmed(draw, each, TRIES * each, confirm, [] if name is None else [name])


def _drawn(model: Model, words: str, origin: str, code_of: Draws, _: int, count: int) -> Made:
    code = code_of(count)
    return Made(to_bytes(model.decode(code)), code.attributes.cpu(), words, [words] * count, [origin] * count)


def _class_mixture(model: Model, name: str, generator: torch.Generator) -> tuple[str, Draws]:
    """Return a new identity of a class-conditional model, a mixture of classes: of whom, and what draws codes."""
    values = model.schema.attribute(name).values
    who = torch.randperm(len(values), generator=generator)[:MIXED]
    shares = _shares(1, len(who), generator)[0]
    mixture = torch.zeros(len(values)).index_put((who,), shares)

    def draw(count: int) -> Code:
        code = model.sample_codes(count, generator)
        y = code.attributes.clone()
        y[:, model.schema.columns(name)] = mixture
        return Code(code.z, y)

    return ", ".join(f"{share:.2f} {values[int(at)]}" for at, share in zip(who, shares.tolist(), strict=True)), draw


def _code_mixtures(
    model: Model, data: PreparedData, count: int, generator: torch.Generator
) -> Callable[[int], tuple[str, Draws]]:
    """Return what makes a new identity of a model whose z tells who it is: its number -> as of `_class_mixture`."""
    encodes = encoder(model, "augment")
    train = data.indices("train")
    if len(train) < MIXED:
        raise AttrimorphError(
            f"at least {MIXED} training images must be there to mix; got {len(train)}; give more data"
        )
    pool = np.sort(train[torch.randperm(len(train), generator=generator)[:POOL].numpy()])
    parts = [data.batch(pool[start : start + BATCH]) for start in range(0, len(pool), BATCH)]
    z, labels = torch.cat([encodes.encode(*part).z.cpu() for part in parts]), torch.cat([y for _, y in parts])
    rows = torch.stack([torch.randperm(len(pool), generator=generator)[:MIXED] for _ in range(count)])
    shares = _shares(count, MIXED, generator).view(count, MIXED, *[1] * (z.dim() - 1))
    centred = (z - z.mean(0))[rows]
    # A mean of three is nearer to the middle than each of them: it is moved out again, to where codes are.
    mixture = z.mean(0) + (shares * centred).sum(1) / shares.square().sum(1).sqrt()

    deviation = z.std(0)

    def person(number: int) -> tuple[str, Draws]:
        who = rows[number].tolist()
        # Attributes are no mixture: half a moustache is on nobody's lip.
        own = labels[who[int(torch.randint(MIXED, (), generator=generator))]]

        def draw(few: int) -> Code:
            noise = torch.randn(few, *z.shape[1:], generator=generator)
            y, others = own.expand(few, -1).clone(), model.draw_attributes(few, generator)
            for name in TRANSIENT:
                if name in model.schema.names:
                    y[:, model.schema.columns(name)] = others[:, model.schema.columns(name)]
            return Code(mixture[number] + VARIED * deviation * noise, y)

        return ", ".join(data.files[pool[row]] for row in who), draw

    return person


def _shares(count: int, among: int, generator: torch.Generator) -> Tensor:
    """Draw shares [count, among] that add up to 1, the smallest at least half of the largest."""
    drawn = LEAST_SHARE + (1 - LEAST_SHARE) * torch.rand(count, among, generator=generator)
    return drawn / drawn.sum(1, keepdim=True)
