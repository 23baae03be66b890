"""How far a move is, as the picture shows it: the way along axes that keeps most of a photograph.

Codes that are moved the shortest way in z also move whatever nobody named: background, light, the cut of the hair. Of
all moves to the same scores there is one that changes the picture least. With J the generator's derivative of its
pixels towards coordinates, a small move d changes the picture by d' J'J d: E[J'J] over drawn codes measures moves.
"""

import torch
from torch import Tensor

from attrimorph.applications.axes.space import Space, drawn_codes
from attrimorph.models.codes import Code
from attrimorph.models.model import Model

CODES, SEED = 8, 5  # drawn codes over which the mean is taken, and their seed
STEP = 0.15  # of a difference quotient, in deviations of the codes
PLAIN = 0.3
"""Share of the plain length in the measure: with less, moves hide where the picture hardly changes, nor the score."""
REACH = 1.25
"""How much farther a photograph's edit goes than a drawn picture's: a part is lost where it is put back."""
TOGETHER = 64


@torch.inference_mode()
def picture_gram(model: Model) -> Tensor:
    """Return E[J'J], scaled to a mean eigenvalue of 1, plus PLAIN times the unit matrix: [D, D] float64 on the CPU.

    Args:
        model: any generator; its coordinates are those of `space`.
    """
    space = Space.of(model)
    gram = torch.zeros(space.size, space.size, dtype=torch.float64)
    for chunk in drawn_codes(model, CODES, SEED):
        for z, y in zip(torch.split(chunk.z, 1), torch.split(chunk.attributes, 1), strict=True):
            jacobian = _jacobian(model, space, Code(z, y))
            gram += jacobian @ jacobian.T
    plain = torch.eye(space.size, dtype=torch.float64)
    return gram / (gram.trace() / space.size).clamp(min=1e-12) + PLAIN * plain


def _jacobian(model: Model, space: Space, code: Code) -> Tensor:
    """Return the difference quotients of a code's picture, [D, 3 S S]."""
    blank = model.schema.fill_value
    here = space.coordinates(code, blank)
    beside = STEP * torch.eye(space.size, dtype=torch.float64)
    pictures = []
    for part in torch.split(torch.cat([here + beside, here - beside]), TOGETHER):
        like = Code(code.z.expand(len(part), *code.z.shape[1:]), code.attributes.expand(len(part), -1))
        pictures.append(model.decode(space.code(part, like, blank)).flatten(1).double().cpu())
    after, before = torch.cat(pictures).chunk(2)
    return (after - before) / (2 * STEP)
