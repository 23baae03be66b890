"""What the images of a batch are to change into: another face, or a few other attributes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph import losses
from attrimorph.methods.base import flip_some

MANY = 0.3
"""Of the rows that prototypes change, so many become another face in everything: more is learned from them at once."""


@dataclass(frozen=True)
class EditTargets:
    """What one batch is to change into.

    Attributes:
        order: whose features b has, [B].
        references: rows 0 .. references - 1 go towards another face, the others by prototypes.
        v: how far each branch goes, [B, branches]; by prototypes all go equally far.
        change: of the attributes at v = 1, [B, W]; NaN where unknown.
        z_int: the attributes on the way, [B, W]; NaN where unknown or in no group.
        share: of real features between which and F_int the critic's gradient is measured, [B, 1, 1, 1].
    """

    order: Tensor
    references: int
    v: Tensor
    change: Tensor
    z_int: Tensor
    share: Tensor


class TargetDraw:
    """Draws edit targets.

    Args:
        members: bool [branches, W]: the columns of y in each branch's group.
        blocks, mutually_exclusive: of the schema.
        reference_share: share of a batch that changes towards another face.
        full_share: share of prototype changes with v = 1; the others' is uniform in 0..1.
    """

    def __init__(
        self,
        members: Tensor,
        blocks: Sequence[losses.Block],
        mutually_exclusive: Tensor,
        *,
        reference_share: float = 1.0,
        full_share: float = 0.0,
    ) -> None:
        self.members, self.mutually_exclusive = members, mutually_exclusive
        self.reference_share, self.full_share = reference_share, full_share
        self.grouped = members.any(0)
        self.flippable = torch.zeros_like(self.grouped)
        for kind, start, stop in blocks:
            self.flippable[start:stop] = (kind == "binary") & self.grouped[start:stop]

    def draw(self, y: Tensor, generator: torch.Generator) -> EditTargets:
        """Return what a batch with labels y [B, W], NaN where unknown, is to change into."""
        count, branches, device = len(y), len(self.members), y.device
        order = torch.randperm(count, generator=generator).to(device)
        v = torch.rand(count, branches, generator=generator).to(device)
        share = torch.rand(count, 1, 1, 1, generator=generator).to(device)
        flips = torch.rand(count, y.shape[1], generator=generator).to(device)
        coins = torch.rand(count, 2, generator=generator).to(device)
        references = round(self.reference_share * count)
        towards = torch.arange(count, device=device)[:, None] < references
        # Prototypes: a few binary attributes flipped; those of other kinds take another face's value in half the rows.
        flipped = flip_some(y.nan_to_num(0.5), flips, self.mutually_exclusive, self.flippable)
        flipped = torch.where(torch.isnan(y) | ~self.grouped, y, flipped)
        other = coins[:, :1] < torch.where(self.flippable, MANY, 0.5)
        flipped = torch.where(other, y[order], flipped)
        change = torch.where(towards, y[order], flipped) - y
        change = torch.where(self.grouped, change, torch.nan)
        far = torch.where(coins[:, 1:] < self.full_share, 1.0, v[:, -1:])
        v = torch.where(towards, v, far)
        z_int = y + change * (v @ self.members.to(v.dtype))
        return EditTargets(order, references, v, change, z_int, share)
