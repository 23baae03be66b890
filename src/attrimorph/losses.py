"""Losses: pure functions of tensors, each with its equation and its reduction.

Unless said otherwise a loss is summed over the elements of a sample and averaged over the batch: the weights in the
recipes are for that reduction. Equation numbers are those of CVAE-GAN (Bao et al., ICCV 2017).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Block = tuple[str, int, int]
"""Columns start..stop of y that hold attributes of one kind: "binary", "categorical" (one attribute) or "real"."""


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, I)) = 1/2 (mean'mean + sum(exp(logvar) - logvar - 1)), eq. 4.

    Args:
        mean, logvar: [B, Z].

    Returns:
        Scalar: summed over Z, averaged over B.
    """
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1).flatten(1).sum(1).mean()


def half_squared_error(a: Tensor, b: Tensor) -> Tensor:
    """1/2 ||a - b||^2, eq. 5: L_img on pixels, L_featD and L_featC on features.

    Args:
        a, b: [B, ...] of one shape.

    Returns:
        Scalar: summed over a sample, averaged over B.
    """
    return 0.5 * (a - b).square().flatten(1).sum(1).mean()


def real_or_fake(real: Tensor | None, fakes: Sequence[Tensor]) -> Tensor:
    """L_D = -log D(x_r) - sum over fakes of log(1 - D(x)), Algorithm 1 (two fakes: x_f and x_p).

    Args:
        real, fakes: logits [B, 1].

    Returns:
        Scalar: summed over the terms, each averaged over B.
    """
    loss = sum((F.softplus(fake).mean() for fake in fakes), start=torch.zeros((), device=fakes[0].device))
    return loss if real is None else loss + F.softplus(-real).mean()


def non_saturating(fake: Tensor) -> Tensor:
    """-log D(G(z)) (Goodfellow et al. 2014), on logits [B, 1]; averaged over B."""
    return F.softplus(-fake).mean()


def least_squares_real_or_fake(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (D(x_r) - 1)^2 + 1/2 D(x_p)^2 (Mao et al. 2017), on raw outputs [B, 1]; averaged over B."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def least_squares_fool(fake: Tensor) -> Tensor:
    """1/2 (D(x_p) - 1)^2 (Mao et al. 2017), on raw outputs [B, 1]; averaged over B."""
    return 0.5 * (fake - 1).square().mean()


def hinge_real_or_fake(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x_r)) + max(0, 1 + D(x_p)) (Lim and Ye 2017), on raw outputs [B, 1]; averaged over B."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def loss_sensitive(real: Tensor, fake: Tensor, margin: Tensor) -> Tensor:
    """max(0, margin + L(x_r) - L(x_p)) with L = -D (Qi 2017, eq. 6): x_r outscores x_p by their distance.

    The paper's other term, E L(x_r), may be left out (its theorem 3), and the authors' code does so.

    Args:
        real, fake: raw outputs [B, 1] of images that are compared in pairs.
        margin: of each pair, [B, 1].

    Returns:
        Scalar: averaged over B.
    """
    return F.relu(margin + fake - real).mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """E f(x_p) - E f(x_r), the critic's loss (Arjovsky et al. 2017), on raw outputs [B, 1]."""
    return fake.mean() - real.mean()


def wasserstein_fool(fake: Tensor) -> Tensor:
    """-E f(x_p), the generator's loss against a critic, on raw outputs [B, 1]."""
    return -fake.mean()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """(||grad f(x)|| - 1)^2 (Gulrajani et al. 2017).

    Args:
        gradient: of the critic's outputs by its inputs, [B, ...].

    Returns:
        Scalar: the norm over a sample, averaged over B.
    """
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norm - 1).square().mean()


def mean_squared_error(a: Tensor, b: Tensor) -> Tensor:
    """(a - b)^2, averaged over everything: the reduction of CycleGAN's and HomoInterpGAN's losses.

    Args:
        a, b: [B, ...] of one shape.
    """
    return (a - b).square().mean()


def mean_absolute_error(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, averaged over everything: the cycle and identity terms of CycleGAN, the L1 of pix2pix.

    Args:
        a, b: [B, ...] of one shape.
    """
    return (a - b).abs().mean()


def centre_distance(real: Tensor, generated: Tensor) -> Tensor:
    """1/2 sum over c of ||centre_r(c) - centre_p(c)||^2: L_GD (one centre, eq. 2) and L_GC (one a class, eq. 3).

    Args:
        real, generated: centres [C, F]; the real ones get no gradient.

    Returns:
        Scalar: summed over C and F.
    """
    return 0.5 * (real.detach() - generated).square().sum()


def attribute_loss(outputs: Tensor, y: Tensor, blocks: Sequence[Block]) -> Tensor:
    """-log P(y | x): L_C, for any mixture of attributes.

    Binary attributes: sigmoid cross-entropy each. A categorical one: softmax cross-entropy. Real ones: 1/2 squared
    error, the Gaussian case. Missing values (NaN) add nothing.

    Args:
        outputs: logits [B, W] (real columns: the values themselves).
        y: [B, W], NaN where unknown.
        blocks: the kinds of the columns.

    Returns:
        Scalar: summed over attributes, averaged over B.
    """
    known = ~torch.isnan(y)
    target = torch.where(known, y, 0)
    total = outputs.new_zeros(())
    for kind, start, stop in blocks:
        out, goal, mask = outputs[:, start:stop], target[:, start:stop], known[:, start:stop]
        if kind == "binary":
            losses = F.binary_cross_entropy_with_logits(out, goal, reduction="none")
        elif kind == "categorical":
            losses = -goal * F.log_softmax(out, dim=1)
        else:
            losses = 0.5 * (out - goal).square()
        total = total + (losses * mask).sum() / len(y)
    return total


def attribute_accuracy(outputs: Tensor, y: Tensor, blocks: Sequence[Block]) -> Tensor:
    """Share of known binary and categorical attributes that the outputs get right (no gradient).

    Args:
        outputs: logits [B, W]; y: [B, W], NaN where unknown; blocks: the kinds of the columns.

    Returns:
        Scalar in [0, 1]; NaN where nothing is known.
    """
    right, count = outputs.new_zeros(()), outputs.new_zeros(())
    for kind, start, stop in blocks:
        out, goal = outputs[:, start:stop], y[:, start:stop]
        if kind == "binary":
            known = ~torch.isnan(goal)
            right = right + (((out > 0) == (goal > 0.5)) & known).sum()
            count = count + known.sum()
        elif kind == "categorical":
            known = ~torch.isnan(goal[:, 0])
            right = right + ((out.argmax(1) == goal.nan_to_num().argmax(1)) & known).sum()
            count = count + known.sum()
    return right / count


def drift(real: Tensor) -> Tensor:
    """D(x_r)^2, which keeps a critic's outputs near 0 (Karras et al. 2018, appendix A), on [B, 1]; averaged over B."""
    return real.square().mean()


def gaussian_error(
    x: Tensor, mean: Tensor, logvar: Tensor | None = None, *, deviation: float = 1.0, known: Tensor | None = None
) -> Tensor:
    """-log N(x; mean, variance) without its constant (Attribute2Image: L(x_F), L(x)).

    One fixed deviation for all pixels gives 1/2 ||x - mean||^2 / deviation^2, the paper's; with a log-variance for each
    (the authors' code) it is 1/2 sum((x - mean)^2 / exp(logvar) + logvar).

    Args:
        x, mean: [B, ...] of one shape.
        logvar: like them, or None.
        deviation: where logvar is None.
        known: bool [B]: the other samples add nothing.

    Returns:
        Scalar: summed over a sample, averaged over B.
    """
    errors = (x - mean).square()
    errors = errors / deviation**2 if logvar is None else errors * torch.exp(-logvar) + logvar
    return _mean_of_known(0.5 * errors.flatten(1).sum(1), known)


def smooth_l1_errors(x: Tensor, mean: Tensor) -> Tensor:
    """1/2 d^2 where |d| < 1, else |d| - 1/2, d = x - mean: L(x_F) and L(x) of disCVAE in the authors' code.

    Args:
        x, mean: [B, ...] of one shape.

    Returns:
        [B]: summed over a sample.
    """
    return F.smooth_l1_loss(mean, x, reduction="none").flatten(1).sum(1)


def smooth_l1_error(x: Tensor, mean: Tensor, *, known: Tensor | None = None) -> Tensor:
    """As of `smooth_l1_errors`, averaged over B; samples that are not `known`, bool [B], add nothing."""
    return _mean_of_known(smooth_l1_errors(x, mean), known)


def gate_error(logits: Tensor, gate: Tensor, *, known: Tensor | None = None) -> Tensor:
    """-log P(g | z_F): cross-entropy of a gate's logits (Attribute2Image: L(g)).

    Args:
        logits: [B, C, S, S]; gate: [B, 1, S, S] in [0, 1], the same for every channel.
        known: bool [B]: the other samples add nothing.

    Returns:
        Scalar: summed over pixels and channels, averaged over B.
    """
    return _mean_of_known(gate_errors(logits, gate), known)


def gate_errors(logits: Tensor, gate: Tensor) -> Tensor:
    """Return -log P(g | z_F) of each sample, [B]; see `gate_error`."""
    return F.binary_cross_entropy_with_logits(logits, gate.expand_as(logits), reduction="none").flatten(1).sum(1)


def hidden_roughness(background: Tensor, hidden: Tensor) -> Tensor:
    """1/2 sum of squared steps between neighbouring pixels of x_B, as far as either is hidden.

    Nothing is known of what the foreground hides; at its least this is a membrane, stretched between what shows.

    Args:
        background: [B, C, S, S]; hidden: [B, 1, S, S] in [0, 1].

    Returns:
        Scalar: summed over a sample, averaged over B.
    """
    total = background.new_zeros(())
    for axis in (2, 3):
        count = background.shape[axis] - 1
        either = torch.maximum(hidden.narrow(axis, 0, count), hidden.narrow(axis, 1, count))
        total = total + (background.diff(dim=axis).square() * either).sum()
    return 0.5 * total / len(background)


def _mean_of_known(values: Tensor, known: Tensor | None) -> Tensor:
    """Average values [B] over B; those that are not known count as 0."""
    return (values if known is None else torch.where(known, values, 0)).mean()
