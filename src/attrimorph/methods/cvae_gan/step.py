"""CVAE-GAN and its family (Bao, Chen, Wen, Li, Hua, ICCV 2017; METHODS section 1 names the others' papers).

One step = one lazy evaluation of the networks, then one backward pass for each set of networks that can share one. All
gradients belong to the same parameters, as in the paper's Algorithm 1; then every network steps, in its order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.base import Algorithm, mean_psnr, spread, world
from attrimorph.methods.cvae_gan.forward import Centres, Forward
from attrimorph.methods.cvae_gan.networks import networks_of
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.cvae_gan.terms import METHODS, C, D, E, G, K, Method, Network, S, Term
from attrimorph.networks.convolutional import FittedPrior


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

    critics = (D, S)
    remembers = ("centres_d", "centres_c", "steps", "images_seen")

    def __init__(self, recipe: Recipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.method: Method = METHODS[recipe.method]
        self.mutually_exclusive, self.latent = schema.mutually_exclusive.to(self.device), recipe.networks.latent
        self.edited_share = recipe.losses.edited_share if "encoder" in self.networks else 0.0
        self.binary = torch.zeros(schema.width, dtype=torch.bool, device=self.device)
        for kind, start, stop in self.blocks:
            self.binary[start:stop] = kind == "binary"
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
