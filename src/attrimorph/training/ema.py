"""Exponential moving average of weights, its half-life counted in images."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Averaged copies of networks: average <- w average + (1 - w) weights, w = 2^(-images / half-life).

    The half-life grows with the run (at most a tenth of the images seen), so that early averages forget the
    first weights. Floating-point buffers (batch-norm statistics) are averaged alike; others are copied.

    Args:
        networks: name -> network; copied, never trained.
        half_life: images; 0 keeps plain copies.
    """

    def __init__(self, networks: Mapping[str, nn.Module], half_life: int) -> None:
        self.networks = {name: copy.deepcopy(net).eval().requires_grad_(False) for name, net in networks.items()}
        self.half_life = half_life
        self._pairs = [
            (mine, yours)
            for name, net in networks.items()
            for mine, yours in zip(tensors(self.networks[name]), tensors(net), strict=True)
        ]

    @torch.no_grad()
    def update(self, images_seen: int, images: int) -> None:
        """Move the averages after a step of `images` images, with `images_seen` before it."""
        half_life = min(float(self.half_life), images_seen / 10)
        weight = 1 - 2 ** (-images / half_life) if half_life > 0 else 1.0
        real = [(mine, yours) for mine, yours in self._pairs if mine.is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in real], [yours for _, yours in real], weight)
        for mine, yours in self._pairs:
            if not mine.is_floating_point():
                mine.copy_(yours)


def tensors(network: nn.Module) -> list[Tensor]:
    """Parameters and buffers in one order."""
    return [*network.parameters(), *network.buffers()]
