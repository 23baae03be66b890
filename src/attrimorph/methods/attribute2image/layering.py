"""How disCVAE's four networks go together: what the encoders are shown, and how layers become a picture.

Layers live in [0, 1]: x = x_F + x_B g ("sum", the paper's) or x = x_F (1 - g) + x_B g ("convex", which it compares).
Composed in [-1, 1] with a black foreground of -1, no background brighter than grey could come out.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from attrimorph.methods.attribute2image.networks import Paint

Composition = Literal["sum", "convex"]
LOOKS = 3  # published encoders know no "unknown": without a mask they look again, with the gate that they found


def compose(foreground: Tensor, gate: Tensor, background: Tensor, composition: Composition) -> Tensor:
    """Return x_F + x_B g, or x_F (1 - g) + x_B g.

    Args:
        foreground, background: [B, 3, S, S] in [0, 1]; the foreground is black where it is not.
        gate: [B, 1 or 3, S, S] in [0, 1], 1 where the background shows.
        composition: "sum" or "convex".

    Returns:
        [B, 3, S, S]; a sum may leave [0, 1] a little.
    """
    if composition == "convex":
        return torch.lerp(foreground, background, gate.expand_as(foreground))
    return torch.addcmul(foreground, background, gate)


def composed_logvar(foreground: Tensor, gate: Tensor, background: Tensor, composition: Composition) -> Tensor:
    """Return the log-variance of the composition of layers whose noise is independent: the gate scales deviations."""
    kept = (1 - gate).square() if composition == "convex" else 1.0
    return torch.log(kept * foreground.exp() + gate.square() * background.exp())


class Layering:
    """disCVAE's networks as one.

    Args:
        networks: "foreground_encoder", "background_encoder", "foreground_decoder", "background_decoder".
        published: what the encoders see: q(z_F | x_F, y) and q(z_B | x, y, z_F) as in the authors' code; otherwise
            both see x and the gate, each as far as it is known.
        composition: of the layers.
    """

    def __init__(self, networks: Mapping[str, nn.Module], *, published: bool, composition: Composition) -> None:
        self.networks, self.published, self.composition = networks, published, composition

    @property
    def unknown(self) -> float:
        """What an encoder of the foreground is given for a gate that nobody knows."""
        return 0.0 if self.published else 0.5

    def shown(self, gate: Tensor, known: Tensor) -> Tensor:
        """Return gates [B, 1, S, S] with those that are not `known` [B] replaced by `unknown`."""
        return torch.where(known[:, None, None, None], gate, self.unknown)

    def encode_foreground(
        self, images: Tensor, gate: Tensor, y: Tensor, dropped: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z_F | x_F, g, x, y), each [B, Z_F].

        Args:
            images: [B, 3, S, S] in [-1, 1].
            gate: [B, 1, S, S], `unknown` where nobody knows it.
            y: [B, W] without NaN.
            dropped: factors of the last hidden layer, [B, features], for training.
        """
        seen = (images + 1) * (1 - gate) - 1 if self.published else torch.cat([images, gate], dim=1)
        mean, logvar = self.networks["foreground_encoder"](seen, y, dropped)
        return mean.float(), logvar.float()

    def encode_background(
        self, images: Tensor, gate: Tensor, y: Tensor, z: Tensor, dropped: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z_B | z_F, x_F, g, x, y), each [B, Z_B].

        Args:
            images: [B, 3, S, S] in [-1, 1].
            gate: [B, 1, S, S]: the observed one, or what z_F makes of it.
            y: [B, W] without NaN; z: z_F, [B, Z_F].
            dropped: factors of the last hidden layer, [B, features], for training.
        """
        seen = images if self.published else torch.cat([(images + 1) * gate - 1, gate], dim=1)
        mean, logvar = self.networks["background_encoder"](seen, torch.cat([y, z], dim=1), dropped)
        return mean.float(), logvar.float()

    def paint_foreground(self, z: Tensor, y: Tensor) -> Paint:
        """Return x_F and the logits of its gate from z_F [B, Z_F] and y [B, W]."""
        paint: Paint = self.networks["foreground_decoder"](z, y)
        return paint

    def paint_background(self, z: Tensor, y: Tensor) -> Paint:
        """Return x_B from z_B [B, Z_B]; y is looked at by nobody."""
        paint: Paint = self.networks["background_decoder"](z, y[:, :0])
        return paint

    def posterior(
        self, images: Tensor, gate: Tensor | None, y: Tensor, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z_F, z_B | x, ...) at the mean of z_F, each [B, Z_F + Z_B].

        Args:
            images: [B, 3, S, S] in [-1, 1].
            gate: [B, 1, S, S] in [0, 1], or None where no image has one.
            y: [B, W] without NaN.
            known: bool [B], whose gate is known; all when None.
        """
        if gate is None:
            gate = images.new_zeros(images.shape[0], 1, *images.shape[2:])
            known = torch.zeros(images.shape[0], dtype=torch.bool, device=images.device)
        known = torch.ones(images.shape[0], dtype=torch.bool, device=images.device) if known is None else known
        rows = known[:, None, None, None]
        found = self.shown(gate, known)
        for _ in range(LOOKS if self.published else 1):
            # What the encoder takes for the gate: at first the word for unknown, then the one that it found.
            mean, logvar = self.encode_foreground(images, found, y)
            found = torch.where(rows, gate, gate_of(self.paint_foreground(mean, y)))
        mean_b, logvar_b = self.encode_background(images, found, y, mean)
        return torch.cat([mean, mean_b], dim=1), torch.cat([logvar, logvar_b], dim=1)

    def compose(self, foreground: Paint, background: Paint) -> Tensor:
        """Return the picture [B, 3, S, S] in [-1, 1] of two painted layers."""
        assert foreground.gate is not None
        gate = foreground.gate.sigmoid()
        return 2 * compose(foreground.colour, gate, background.colour, self.composition) - 1

    def composed_logvar(self, foreground: Paint, background: Paint) -> Tensor | None:
        """Return the log-variance of the picture, or None where it is fixed."""
        if foreground.logvar is None or background.logvar is None or foreground.gate is None:
            return None
        gate = foreground.gate.sigmoid()
        return composed_logvar(foreground.logvar, gate, background.logvar, self.composition)


def gate_of(foreground: Paint) -> Tensor:
    """Return the gate as one channel, [B, 1, S, S] in [0, 1]."""
    assert foreground.gate is not None
    return foreground.gate.sigmoid().mean(1, keepdim=True)


def settled(foreground: Tensor, gate: Tensor, sure: float) -> tuple[Tensor, Tensor]:
    """Take a gate that is within `sure` of 0 or 1 for 0 or 1, and fade the foreground out towards where it is 1.

    What shows there is then the background to the last bit, whatever the foreground's attributes.

    Args:
        foreground: [B, 3, S, S] in [0, 1].
        gate: [B, 1 or 3, S, S] in [0, 1].
        sure: above 0 and below 1/2.
    """
    gate = ((gate - sure) / (1 - 2 * sure)).clamp(0, 1)
    return foreground * ((1 - gate) / sure).clamp(0, 1), gate
