"""One lazy evaluation of the family's networks on one batch, with the paper's names; and the moving averages of feature
centres, one for each class or attribute value (eqs. 2 and 3).
"""

from contextlib import nullcontext
from functools import cached_property
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.methods.base import flip_some, keeping_averages, marginals, world
from attrimorph.methods.cvae_gan.terms import Method


class Centres:
    """Real and generated centres, [V, F] each: centre <- m centre + (1 - m) batch mean, where the batch has the value.

    A batch holds few samples of a class, so the averages stand in for the expectations of the equations. The generated
    centre's gradient is that of the batch mean, not shrunk by (1 - m): the weight of the loss then means the same at
    every momentum. A value's first batch sets its centre.

    Args:
        momentum: m in [0, 1).
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.real: Tensor | None = None
        self.generated: Tensor | None = None
        self.real_seen: Tensor | None = None
        self.generated_seen: Tensor | None = None

    def update(
        self, real: Tensor, real_member: Tensor, generated: Tensor, generated_member: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move the averages by one batch.

        Args:
            real, generated: features [B, F]; real_member, generated_member: [B, V] in {0, 1}.

        Returns:
            The real and the generated centres, [V', F], of the values this batch generated and that have a real
            centre; gradient flows into `generated` alone.
        """
        if self.real is None or self.generated is None or self.real_seen is None or self.generated_seen is None:
            shape = (real_member.shape[1], real.shape[1])
            self.real, self.generated = real.new_zeros(shape), real.new_zeros(shape)
            self.real_seen = torch.zeros(shape[0], dtype=torch.bool, device=real.device)
            self.generated_seen = self.real_seen.clone()
        # A checkpoint is read to the CPU.
        self.real, self.generated = self.real.to(real.device), self.generated.to(real.device)
        self.real_seen, self.generated_seen = self.real_seen.to(real.device), self.generated_seen.to(real.device)
        with torch.no_grad():
            self.real, self.real_seen, _, _ = self._moved(self.real, self.real_seen, real, real_member)
            self.generated, self.generated_seen, count, present = self._moved(
                self.generated, self.generated_seen, generated, generated_member
            )
        own = _sums(generated_member, generated) * (world() / count.clamp_min(1))
        use = present & self.real_seen
        # The value of the moving average with the gradient of the batch mean; the mean of the processes' gradients
        # is then the gradient of the joint batch.
        through = self.generated + (own - own.detach())
        return self.real[use], through[use]

    def _moved(
        self, centre: Tensor, seen: Tensor, features: Tensor, member: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total, count = _sums(member, features.detach()), member.sum(0)[:, None]
        if dist.is_initialized():
            both = torch.cat([total, count], dim=1)
            dist.all_reduce(both)
            total, count = both[:, :-1], both[:, -1:]
        present = count[:, 0] > 0
        momentum = torch.where(seen, self.momentum, 0.0)[:, None]
        moved = momentum * centre + (1 - momentum) * total / count.clamp_min(1)
        return torch.where(present[:, None], moved, centre), seen | present, count, present

    def state(self) -> dict[str, Any]:
        """Plain tensors for a checkpoint; empty before the first batch."""
        if self.real is None:
            return {}
        return {
            "real": self.real,
            "generated": self.generated,
            "real_seen": self.real_seen,
            "generated_seen": self.generated_seen,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.real, self.generated = state.get("real"), state.get("generated")
        self.real_seen, self.generated_seen = state.get("real_seen"), state.get("generated_seen")


def _sums(member: Tensor, features: Tensor) -> Tensor:
    """Return the sum of the features of each value's rows, [V, F], in float32 under autocast too.

    The loss is a difference of centres that are close: the three digits of bf16 would leave little but noise.
    """
    with torch.autocast(features.device.type, enabled=False):
        return member.float().T @ features.float()


class Family(Protocol):
    """What an evaluation needs of a member of the family; `cvae_gan.CVAEGAN` tells what each is."""

    networks: dict[str, nn.Module]
    method: Method
    latent: int
    blocks: tuple[losses.Block, ...]
    fill_value: Tensor
    mutually_exclusive: Tensor
    binary: Tensor
    edited_share: float
    centres_d: Centres
    centres_c: Centres
    margin: float

    def condition(self, y: Tensor) -> Tensor:
        """What E and G see of y."""

    def membership(self, y: Tensor) -> Tensor:
        """Which attribute values a row has, [B, V]."""


class Forward:
    """Everything one step may need of one batch; each quantity is computed when first asked for, and once.

    x_r real, x_f = G(E(x_r, y), y) reconstruction, x_p = G(z_p, y_p) sample: the paper's names. D and C see x_r, x_f
    and x_p as separate batches: batch norm, where they have any, takes each batch's own statistics, and only those of
    x_r enter its running averages.
    """

    def __init__(self, algorithm: Family, images: Tensor, y: Tensor, generator: torch.Generator) -> None:
        self.algorithm, self.x_r, self.labels = algorithm, images, y
        # Drawn at once and in this order, so that a step is a function of (batch, generator) whichever terms are on.
        count, latent = len(images), algorithm.latent
        device = images.device
        self.noise = torch.randn(count, latent, generator=generator).to(device)
        self.z_prior = torch.randn(count, latent, generator=generator).to(device)
        self.order = torch.randperm(count, generator=generator).to(device)
        self.chance = torch.rand(count, 1, generator=generator).to(device)
        self.flips = torch.rand(count, max(y.shape[1], 1), generator=generator).to(device)

    @cached_property
    def y(self) -> Tensor:
        """The labels with missing values blanked, [B, W]."""
        return torch.where(torch.isnan(self.labels), self.algorithm.fill_value, self.labels)

    @cached_property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each [B, Z]."""
        mean, logvar = self.algorithm.networks["encoder"](self.x_r, self.algorithm.condition(self.y))
        return mean.float(), logvar.float()

    @cached_property
    def z(self) -> Tensor:
        """z ~ q(z | x_r, y) = mean + noise x exp(logvar / 2)."""
        mean, logvar = self.posterior
        return mean + self.noise * torch.exp(0.5 * logvar)

    @cached_property
    def edited(self) -> int:
        """Rows of x_p, the first ones, that are edits of the batch's own codes."""
        return round(self.algorithm.edited_share * len(self.x_r)) if self.algorithm.edited_share else 0

    @cached_property
    def y_p(self) -> Tensor:
        """Labels of x_p: those of other images of the batch; for edits, the image's own with a few flipped."""
        other = self.labels[self.order]
        edit = flip_some(self.y, self.flips, self.algorithm.mutually_exclusive, self.algorithm.binary)
        edit = torch.where(torch.isnan(self.labels) & (edit == self.y), torch.nan, edit)
        return torch.cat([edit[: self.edited], other[self.edited :]])

    @cached_property
    def z_p(self) -> Tensor:
        """N(0, I); for edits the code of the image, without its gradient."""
        if not self.edited:
            return self.z_prior
        return torch.cat([self.z.detach()[: self.edited], self.z_prior[self.edited :]])

    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y), [B, 3, S, S]."""
        filled = torch.where(torch.isnan(y), self.algorithm.fill_value, y)
        images: Tensor = self.algorithm.networks["generator"](z, self.algorithm.condition(filled))
        return images

    @cached_property
    def x_f(self) -> Tensor:
        return self.generate(self.z, self.y)

    @cached_property
    def x_p(self) -> Tensor:
        return self.generate(self.z_p, self.y_p)

    def judge(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits [B, 1] and features f_D."""
        filled = torch.where(torch.isnan(y), self.algorithm.fill_value, y)
        shown = filled if self.algorithm.method.judged_with_condition else filled[:, :0]
        return self.seen("discriminator", images, shown)

    def classify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """C's logits [B, W] and features f_C."""
        return self.seen("classifier", images)

    def seen(self, name: str, images: Tensor, *shown: Tensor) -> tuple[Tensor, Tensor]:
        """What a network makes of images; made ones do not enter its running averages."""
        network = self.algorithm.networks[name]
        with nullcontext() if images is self.x_r else keeping_averages(network):
            outputs, features = network(images, *shown)
        return outputs.float(), features.float()

    def read(self, features: Tensor) -> Tensor:
        """What D's class head reads off features f_D: logits [B, W] (AC-GAN)."""
        logits: Tensor = self.algorithm.networks["discriminator"].read(features)  # type: ignore[operator]
        return logits.float()

    @cached_property
    def d_r(self) -> tuple[Tensor, Tensor]:
        return self.judge(self.x_r, self.labels)

    @cached_property
    def d_f(self) -> tuple[Tensor, Tensor]:
        return self.judge(self.x_f, self.labels)

    @cached_property
    def d_p(self) -> tuple[Tensor, Tensor]:
        return self.judge(self.x_p, self.y_p)

    @cached_property
    def h_r(self) -> Tensor:
        return self.read(self.d_r[1])

    @cached_property
    def h_p(self) -> Tensor:
        return self.read(self.d_p[1])

    @cached_property
    def c_r(self) -> tuple[Tensor, Tensor]:
        return self.classify(self.x_r)

    @cached_property
    def c_f(self) -> tuple[Tensor, Tensor]:
        return self.classify(self.x_f)

    @cached_property
    def c_p(self) -> tuple[Tensor, Tensor]:
        return self.classify(self.x_p)

    @cached_property
    def penalty(self) -> Tensor:
        """The gradient penalty between real images and samples."""
        share = self.chance[:, :, None, None]
        between = (share * self.x_r + (1 - share) * self.x_p.detach()).requires_grad_()
        logits, _ = self.judge(between, self.labels)
        (gradient,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
        return losses.gradient_penalty(gradient)

    @cached_property
    def margin(self) -> Tensor:
        """By how much each x_r is to outscore the x_p beside it, [B, 1] (Loss-Sensitive GAN)."""
        return self.algorithm.margin * (self.x_r - self.x_p.detach()).abs().flatten(1).sum(1, keepdim=True)

    @cached_property
    def code_logits(self) -> tuple[Tensor, Tensor]:
        """S on codes from the prior and from the posterior (AAE)."""
        judge = self.algorithm.networks["code_discriminator"]
        return judge(self.z_prior).float(), judge(self.z).float()

    @cached_property
    def code_guess(self) -> Tensor:
        """What the classifier of codes makes of z, [B, W]."""
        logits: Tensor = self.algorithm.networks["code_classifier"](self.z)
        return logits.float()

    @cached_property
    def marginals(self) -> Tensor:
        """As of `marginals`."""
        return marginals(self.labels)
