"""Where samples come from after training: a Gaussian fitted to the codes of training images.

An encoder trained with a small weight of L_KL leaves N(0, I): its codes fill a part of it only, and G knows
little of the rest. Drawing z from a Gaussian fitted to the codes afterwards (ex-post density estimation, Ghosh et
al., ICLR 2020) keeps samples where G was taught. Methods without an encoder keep N(0, I).
"""

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn


class FittedPrior(nn.Module):
    """noise [B, Z] ~ N(0, I) -> z = mean + factor noise; the identity until it is fitted."""

    mean: Tensor
    factor: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("factor", torch.zeros(latent, latent).fill_diagonal_(1))

    @classmethod
    def of(cls, codes: Iterable[tuple[Tensor, Tensor]]) -> Self:
        """Return the Gaussian of the codes of training images, given as batches of `fit`'s arguments."""
        means, logvars = (torch.cat(parts) for parts in zip(*codes, strict=True))
        prior = cls(means.shape[1])
        prior.fit(means, logvars)
        return prior

    def forward(self, noise: Tensor) -> Tensor:
        return torch.addmm(self.mean, noise, self.factor.T)  # [B, Z]

    @torch.no_grad()
    def fit(self, means: Tensor, logvars: Tensor) -> None:
        """Take mean and covariance of the aggregate posterior, 1/N sum of N(mean_i, exp(logvar_i)).

        Args:
            means, logvars: of the training images' codes, [N, Z]; N = 1 and dead columns are allowed.
        """
        means, logvars = means.double().cpu(), logvars.double().cpu()
        centred = means - means.mean(0)
        covariance = centred.T @ centred / len(means) + torch.diag(logvars.exp().mean(0))
        self.mean.copy_(means.mean(0))
        self.factor.copy_(torch.linalg.cholesky(covariance))
