"""CVAE-GAN and its family (Bao, Chen, Wen, Li, Hua, ICCV 2017; METHODS section 1 names the others' papers).

One step = one lazy evaluation of the networks, then one backward pass for each set of networks that can share one. All
gradients belong to the same parameters, as in the paper's Algorithm 1; then every network steps, in its order.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import attrimorph.losses as losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.base import (
    Algorithm,
    drawn,
    flip_some,
    keeping_averages,
    marginals,
    mean_psnr,
    shuffled,
    spread,
    world,
)
from attrimorph.methods.cvae_gan.networks import networks_of
from attrimorph.methods.cvae_gan.recipe import METHODS, C, D, E, G, K, Method, Network, Recipe, S, Term
from attrimorph.networks.convolutional import FittedPrior

# --- one evaluation of the networks, and the moving centres


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
            The real and the generated centres, [V, F], of the values this batch generated and that have a real
            centre, zeros for the others; gradient flows into `generated` alone.
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
        use = (present & self.real_seen)[:, None]
        # The value of the moving average with the gradient of the batch mean; the mean of the processes' gradients
        # is then the gradient of the joint batch.
        through = self.generated + (own - own.detach())
        return torch.where(use, self.real, 0.0), torch.where(use, through, 0.0)

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


class Forward:
    """Everything one step may need of one batch; each quantity is computed when first asked for, and once.

    x_r real, x_f = G(E(x_r, y), y) reconstruction, x_p = G(z_p, y_p) sample: the paper's names. D and C see x_r, x_f
    and x_p as separate batches: batch norm, where they have any, takes each batch's own statistics, and only those of
    x_r enter its running averages.
    """

    def __init__(self, algorithm: "CVAEGAN", images: Tensor, y: Tensor, generator: torch.Generator) -> None:
        self.algorithm, self.x_r, self.labels = algorithm, images, y
        # Drawn at once and in this order, so that a step is a function of (batch, generator) whichever terms are on.
        count, latent = len(images), algorithm.latent
        device = images.device
        self.noise = drawn(torch.randn, count, latent, generator=generator).to(device)
        self.z_prior = drawn(torch.randn, count, latent, generator=generator).to(device)
        self.others = shuffled(y, generator)
        self.chance = drawn(torch.rand, count, 1, generator=generator).to(device)
        self.flips = drawn(torch.rand, count, max(y.shape[1], 1), generator=generator).to(device)

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
        other = self.others
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


# --- one step


def _mean_d(p: Forward) -> Tensor:
    ones = torch.ones(len(p.x_r), 1, device=p.x_r.device)
    return losses.centre_distance(*p.algorithm.centres_d.update(p.d_r[1], ones, p.d_p[1], ones))


def _mean_c(p: Forward) -> Tensor:
    member = p.algorithm.membership
    return losses.centre_distance(*p.algorithm.centres_c.update(p.c_r[1], member(p.labels), p.c_p[1], member(p.y_p)))


LOSSES: dict[str, tuple[Callable[[Forward], Tensor], tuple[Network, ...]]] = {
    # loss -> its value, and the networks that its gradient could reach. Equations: Bao et al. 2017, where no other.
    # eq. 4: L_KL
    "kl": (lambda p: losses.kl_divergence(*p.posterior), (E,)),
    # eq. 5: L_G = L_img + L_featD + L_featC
    "image": (lambda p: losses.half_squared_error(p.x_r, p.x_f), (E, G)),
    "feature_d": (lambda p: losses.half_squared_error(p.d_r[1].detach(), p.d_f[1]), (E, G, D)),
    "feature_c": (lambda p: losses.half_squared_error(p.c_r[1].detach(), p.c_f[1]), (E, G, C)),
    # Algorithm 1: L_D of three terms; eq. 1: of two
    "real_or_fake_3": (lambda p: losses.real_or_fake(p.d_r[0], [p.d_f[0], p.d_p[0]]), (E, G, D)),
    "real_or_fake": (lambda p: losses.real_or_fake(p.d_r[0], [p.d_p[0]]), (G, D)),
    # Goodfellow et al. 2014, section 3: G maximises log D(G(z)); Larsen et al. 2016, Algorithm 1: on x_f as well
    "non_saturating": (lambda p: losses.non_saturating(p.d_p[0]), (G, D)),
    "non_saturating_2": (
        lambda p: losses.non_saturating(p.d_p[0]) + losses.non_saturating(p.d_f[0]), (E, G, D)
    ),
    # Mao et al. 2017, eq. 9: a = 0, b = c = 1
    "least_squares": (lambda p: losses.least_squares_real_or_fake(p.d_r[0], p.d_p[0]), (G, D)),
    "least_squares_fool": (lambda p: losses.least_squares_fool(p.d_p[0]), (G, D)),
    # Lim and Ye 2017
    "hinge": (lambda p: losses.hinge_real_or_fake(p.d_r[0], p.d_p[0]), (G, D)),
    # Arjovsky et al. 2017, Algorithm 1; Gulrajani et al. 2017, eq. 3
    "wasserstein": (lambda p: losses.wasserstein(p.d_r[0], p.d_p[0]), (G, D)),
    "wasserstein_fool": (lambda p: losses.wasserstein_fool(p.d_p[0]), (G, D)),
    "gradient_penalty": (lambda p: p.penalty, (D,)),
    # Qi 2017, eq. 6
    "loss_sensitive": (lambda p: losses.loss_sensitive(p.d_r[0], p.d_p[0], p.margin), (G, D)),
    # Odena et al. 2017, eq. 3: L_C of D's class head on x_r and x_p, which both D and G learn from
    "classify_both": (
        lambda p: losses.attribute_loss(p.h_r, p.labels, p.algorithm.blocks)
        + losses.attribute_loss(p.h_p, p.y_p, p.algorithm.blocks),
        (G, D),
    ),
    # L_C; for G on samples as well
    "classify_real": (lambda p: losses.attribute_loss(p.c_r[0], p.labels, p.algorithm.blocks), (C,)),
    "classify_sample": (lambda p: losses.attribute_loss(p.c_p[0], p.y_p, p.algorithm.blocks), (G, C)),
    # eq. 2: L_GD; eq. 3: L_GC
    "mean_d": (_mean_d, (G, D)),
    "mean_c": (_mean_c, (G, C)),
    # Makhzani et al. 2016, section 2: S tells draws of the prior from codes, and E fools it, each in a phase of its own
    "code_real_or_fake": (lambda p: losses.real_or_fake(p.code_logits[0], [p.code_logits[1]]), (E, S)),
    "code_fool": (lambda p: losses.non_saturating(p.code_logits[1]), (E, S)),
    # Ours: K reads the attributes off codes, and E hides them
    "classify_code": (lambda p: losses.attribute_loss(p.code_guess, p.labels, p.algorithm.blocks), (E, K)),
    "hide": (lambda p: losses.attribute_loss(p.code_guess, p.marginals, p.algorithm.blocks), (E, K)),
}  # fmt: skip

WARMUP = ("image", "kl", "classify_real", "classify_code", "hide")
"""The terms that need neither samples nor D: with them alone a step costs a third, and E and G learn to reconstruct."""


@dataclass(frozen=True)
class Backward:
    """One backward pass: its networks, and every term that any of them learns from.

    It is exact if each term reaches, of these networks, only those that learn from it.
    """

    networks: frozenset[Network]
    terms: tuple[Term, ...]

    @property
    def exact(self) -> bool:
        """Whether the pass gives each network its own terms alone."""
        return all(self.networks & set(LOSSES[term.loss][1]) <= set(term.learns) for term in self.terms)


def grouped(terms: Iterable[Term]) -> list[Backward]:
    """One backward pass for each network, or for several where that is exact.

    Those that learn from the most terms in common are put together first: what two passes have in common is computed
    twice.
    """
    terms = tuple(terms)

    def group(networks: frozenset[Network]) -> Backward:
        return Backward(networks, tuple(term for term in terms if networks & set(term.learns)))

    groups = [group(frozenset({name})) for name in dict.fromkeys(name for term in terms for name in term.learns)]
    while pairs := [(a, b) for a, b in combinations(groups, 2) if group(a.networks | b.networks).exact]:
        first, second = max(pairs, key=lambda pair: len(set(pair[0].terms) & set(pair[1].terms)))
        groups[groups.index(first)] = group(first.networks | second.networks)
        groups.remove(second)
    return groups


class CVAEGAN(Algorithm):
    """Any member of the family, by the row of its method.

    A step of several phases evaluates the networks anew for each, as the one before left them. A critic's extra step
    teaches D alone; before `losses.warmup_images` only the terms in `WARMUP` are on (where the method has any).
    """

    critics, joint = (D, S), True
    remembers = ("centres_d", "centres_c", "steps", "images_seen")

    def __init__(self, recipe: Recipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.method: Method = METHODS[recipe.method]
        self.mutually_exclusive, self.latent = schema.mutually_exclusive.to(self.device), recipe.networks.latent
        self.edited_share = recipe.losses.edited_share if "encoder" in self.networks else 0.0
        self.binary = torch.zeros(schema.width, dtype=torch.bool, device=self.device)
        for kind, start, stop in self.blocks:
            self.binary[start:stop] = (kind == "binary") & self.varies[start:stop]
        momentum = recipe.losses.centre_momentum
        self.centres_d, self.centres_c = Centres(momentum), Centres(momentum)
        self.warmup_images, self.kl_images = recipe.losses.warmup_images, recipe.losses.kl_images
        self.steps = self.images_seen = 0
        self.margin = recipe.losses.margin
        terms = [term for term in self.method.terms if self.weights.get(term.weight) != 0]
        adversary = [term for term in terms if set(term.learns) <= {"discriminator", "classifier"}]
        self._critic_groups = grouped(adversary)
        phases = self.method.phases or (tuple(LOSSES),)
        self._phases = [grouped(term for term in terms if term.loss in phase) for phase in phases]
        self._warm_groups = grouped(term for term in terms if term.loss in WARMUP)

    @staticmethod
    def fresh(recipe: Recipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`: the networks that a term of the method needs."""
        return networks_of(recipe, schema, METHODS[recipe.method].networks)

    @classmethod
    def optimisers_of(cls, recipe: Recipe, networks: Mapping[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
        """As of `Algorithm`, by the method's own optimiser; for every phase after the first one of its own."""
        if METHODS[recipe.method].optimiser == "rmsprop":
            rates = {name: cls.rate(recipe, name) for name in networks}
            return {name: torch.optim.RMSprop(networks[name].parameters(), lr=rate) for name, rate in rates.items()}
        method = METHODS[recipe.method]
        return {
            method.optimiser_of(name, phase): cls.adam(recipe, networks, name)
            for name in networks
            for phase in method.phases_of(name)
        }

    def _weight(self, term: Term) -> float:
        if term.weight == "kl" and self.images_seen < self.kl_images:
            return float(self.weights["kl"] * self.images_seen / self.kl_images)
        return 1.0 if term.weight == "one" else float(self.weights[term.weight])

    def condition(self, y: Tensor) -> Tensor:
        """What E and G see of y: all of it, or nothing in an unconditional method."""
        return y if self.method.conditional else y[:, :0]

    def membership(self, y: Tensor) -> Tensor:
        """[B, V]: which attribute values a row has: each binary attribute has two (0 and 1), each category one."""
        parts = [y.new_zeros(len(y), 0)]
        for kind, start, stop in self.blocks:
            known = y[:, start:stop].nan_to_num(0.5)
            if kind == "binary":
                parts += [(known > 0.5).float(), (known < 0.5).float()]
            elif kind == "categorical":
                parts.append((known > 0.5).float())
        return torch.cat(parts, dim=1)

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step of every network (of D alone in a critic's extra step); see `Algorithm`."""
        self.steps += 1
        phases = self._phases if self.steps % self.method.critic_steps == 0 else [self._critic_groups]
        if self.images_seen < self.warmup_images and self._warm_groups:
            phases = [self._warm_groups]
        self.images_seen += len(batch.images) * world()
        values: dict[str, Tensor] = {}
        gauges: dict[str, Tensor] = {}
        for number, groups in enumerate(phases):
            with self.arithmetic():
                evaluation = Forward(self, batch.images, batch.attributes, generator)
                values |= self.backward(groups, evaluation)
            learning = sorted({name for group in groups for name in group.networks}, key=self.method.networks.index)
            self.update(*learning, by=partial(self.method.optimiser_of, phase=number))
            gauges |= self._gauges(evaluation)
        if self.method.clip:
            with torch.no_grad():
                for parameter in self.parameters(D):
                    parameter.clamp_(-self.method.clip, self.method.clip)
        return {name: value.detach() for name, value in values.items()} | gauges

    def backward(self, groups: list[Backward], evaluation: Forward) -> dict[str, Tensor]:
        """Put the gradient of every term into just the networks that learn from it; return the losses' values."""
        terms = dict.fromkeys(term for group in groups for term in group.terms)
        # Once each, for a value moves the centres that it is measured from.
        values = {term.loss: LOSSES[term.loss][0](evaluation) for term in terms}
        totals = [torch.stack([self._weight(t) * values[t.loss] for t in group.terms]).sum() for group in groups]
        for name in {name for group in groups for name in group.networks}:
            self.optimisers[name].zero_grad()
        for place, (group, total) in enumerate(zip(groups, totals, strict=True)):
            # One order for every run: the order in which gradients meet decides the last bit.
            names = [name for name in self.method.networks if name in group.networks]
            parameters = [p for p in self.parameters(*names) if p.requires_grad]
            more = place < len(groups) - 1
            total.backward(inputs=parameters, retain_graph=more)  # type: ignore[no-untyped-call]
        return values

    def _gauges(self, evaluation: Forward) -> dict[str, Tensor]:
        """What the log and the guard watch, read from what the step computed anyway."""
        done = evaluation.__dict__
        gauges: dict[str, Tensor] = {}
        with torch.no_grad():
            if "x_f" in done:
                gauges["psnr"] = mean_psnr(evaluation.x_r, evaluation.x_f.float())
            if "x_p" in done:
                gauges["sample_spread"] = spread(evaluation.x_p.float()) / spread(evaluation.x_r).clamp_min(1e-6)
            if "d_r" in done:
                gauges["d_real_right"] = (evaluation.d_r[0] > 0).float().mean()
            if "d_p" in done:
                gauges["d_sample_right"] = (evaluation.d_p[0] < 0).float().mean()
            if "c_r" in done or "h_r" in done:
                read = evaluation.c_r[0] if "c_r" in done else evaluation.h_r
                gauges["c_accuracy"] = losses.attribute_accuracy(read, evaluation.labels, self.blocks)
            if "c_p" in done or "h_p" in done:
                read = evaluation.c_p[0] if "c_p" in done else evaluation.h_p
                gauges["c_sample_accuracy"] = losses.attribute_accuracy(read, evaluation.y_p, self.blocks)
        return gauges

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model: D and the judges of codes only serve training."""
        return tuple(name for name in ("encoder", "generator", "classifier") if name in self.networks)

    @torch.no_grad()
    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """The Gaussian that the model draws samples from, where there is an encoder to fit it to."""
        if "encoder" not in averaged:
            return {}
        seen = ((batch.images, self.condition(self.blanked(batch.attributes))) for batch in batches)
        return {"prior": FittedPrior.of(averaged["encoder"](images, y) for images, y in seen)}
