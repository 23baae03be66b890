"""pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017): a generator from a source image to the image that belongs to it.

    L_G = -log D(s, G(s)) + 100 |G(s) - x|,  L_D = 1/2 (-log D(s, x) - log(1 - D(s, G(s))))
D is a PatchGAN that is shown the source s as well. G's only noise is dropout.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.algorithms.passes import seeded
from attrimorph.data.loader import Batch

Source = Literal["pairs", "mask", "grey", "edges"]
LUMA = (0.299, 0.587, 0.114)


class Pix2Pix:
    """pix2pix: its networks, their optimisers, and `step`.

    Args:
        networks: "generator" and "discriminator".
        optimisers: one for each.
        source: where sources come from: "pairs" (rows 2k and 2k + 1 of a batch belong together; the one without the
            attribute is the source), or made of the image itself: its "mask", "grey" or "edges".
        column: of y that tells the source (0) from the image (1) in pairs.
        l1: weight of |G(s) - x|, 100 as published.
        autocast, reduce_gradients: as of `CVAEGAN`.
    """

    kept = ("generator",)

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        *,
        source: Source,
        column: int = 0,
        l1: float = 100.0,
        autocast: torch.dtype | None = None,
        reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        self.networks, self.optimisers = dict(networks), dict(optimisers)
        self.source, self.column, self.l1 = source, column, l1
        self.autocast, self.reduce_gradients = autocast, reduce_gradients

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step.

        Args:
            batch: images [B, 3, S, S] in [-1, 1], and what the source is made of.
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, without gradient.
        """
        source, x = (
            pairs(batch, self.column) if self.source == "pairs" else (source_of(batch, self.source), batch.images)
        )
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        g, d = self.networks["generator"], self.networks["discriminator"]
        enabled = self.autocast is not None
        with (
            torch.autocast(x.device.type, self.autocast or torch.bfloat16, enabled=enabled),
            seeded(generator, x.device),
        ):
            made = g(source).float()
            verdict = d(torch.cat([source, made], dim=1)).float()
            values = {"fool": losses.non_saturating(verdict), "l1": losses.mean_absolute_error(made, x)}
            total = values["fool"] + self.l1 * values["l1"]
            total.backward(inputs=list(g.parameters()))  # type: ignore[no-untyped-call]
            shown = torch.cat([torch.cat([source, x], dim=1), torch.cat([source, made.detach()], dim=1)])
            of_real, of_made = d(shown).float().chunk(2)
            values["discriminator"] = 0.5 * losses.real_or_fake(of_real, [of_made])
            values["discriminator"].backward(inputs=list(d.parameters()))  # type: ignore[no-untyped-call]
        if self.reduce_gradients:
            self.reduce_gradients([*g.parameters(), *d.parameters()])
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {name: value.detach() for name, value in values.items()}

    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Nothing: the generator is the model."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def pairs(batch: Batch, column: int) -> tuple[Tensor, Tensor]:
    """Return sources and images of a batch whose rows 2k and 2k + 1 are pairs, [B/2, 3, S, S] each."""
    count = len(batch.images) // 2 * 2
    first, second = batch.images[0:count:2], batch.images[1:count:2]
    ordered = (batch.attributes[0:count:2, column] < 0.5)[:, None, None, None]
    return torch.where(ordered, first, second), torch.where(ordered, second, first)


def source_of(batch: Batch, source: Source) -> Tensor:
    """Return what the generator is given, made of the images themselves, [B, 3, S, S] in [-1, 1].

    Args:
        batch: images, and masks for the source "mask".
        source: "mask": white where the person is; "grey": brightness; "edges": white where it changes (Sobel).

    Raises:
        ValueError: masks are wanted and there are none.
    """
    if source == "mask":
        if batch.masks is None:
            raise ValueError("the source mask needs data with masks; these have none; take grey or edges")
        return (2 * batch.masks - 1).expand_as(batch.images)
    luma = torch.tensor(LUMA, device=batch.images.device)[None, :, None, None]
    grey = (batch.images * luma).sum(1, keepdim=True)
    if source == "edges":
        sobel = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]], device=grey.device) / 4
        slopes = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
        grey = (2 * slopes.square().sum(1, keepdim=True).sqrt() - 1).clamp(-1, 1)
    return grey.expand_as(batch.images)
