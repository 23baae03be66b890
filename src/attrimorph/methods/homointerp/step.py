"""HomoInterpGAN (Chen, Xu, Tian, Jia, CVPR 2019): homomorphic interpolation of features, group by group.

F = E(x); F_int = F_a + sum over groups of v_i T_i(F_b - F_a), where b is another face of the batch;
z_int = y_a + v (y_b - y_a), group by group. A learned prototype stands for what T_i answers where there is no b. Every
step teaches Dec, the critic with its attribute head A', P and C; E and I learn in every fifth. All gradients of a step
belong to the same parameters; then every network steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.methods.base import Algorithm, flip_some, keeping_averages, marginals, mean_psnr, world
from attrimorph.methods.homointerp.groups import grouping, membership
from attrimorph.methods.homointerp.networks import (
    Critic,
    LearnedPrototypes,
    MeanPrototypes,
    Projection,
    VggEncoder,
    feature_side,
    kept_networks,
    unit,
)
from attrimorph.methods.homointerp.perceptual import AttributeMaps, VggMaps, perceptual_network, takes_vgg
from attrimorph.methods.homointerp.recipe import InterpolationRecipe
from attrimorph.networks.convolutional import CodeJudge

# --- what the images of a batch are to change into

SMALL = 1e-5  # mean square, of features of length 1: a change of less is none
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
        varies: bool [W]: the columns that may flip.
        reference_share: share of a batch that changes towards another face.
        full_share: share of prototype changes with v = 1; the others' is uniform in 0..1.
    """

    def __init__(
        self,
        members: Tensor,
        blocks: Sequence[losses.Block],
        mutually_exclusive: Tensor,
        varies: Tensor,
        *,
        reference_share: float = 1.0,
        full_share: float = 0.0,
    ) -> None:
        self.members, self.mutually_exclusive = members, mutually_exclusive
        self.reference_share, self.full_share = reference_share, full_share
        self.grouped = members.any(0)
        self.flippable = torch.zeros_like(self.grouped)
        for kind, start, stop in blocks:
            self.flippable[start:stop] = (kind == "binary") & (self.grouped & varies)[start:stop]

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

    def one_group(self, change: Tensor, drawn: Tensor) -> Tensor:
        """Choose one group of each row by numbers in 0..1 [B], among those of which a change [B, W] has something."""
        changed = change.nan_to_num().abs() @ self.members[:-1].to(change.dtype).T > 0
        chances = (changed + SMALL).cumsum(1)
        return (drawn[:, None] * chances[:, -1:] > chances).sum(1)

    def towards(self, y: Tensor, change: Tensor, group: Tensor) -> Tensor:
        """Return y [B, W] changed in one group [B] alone; what this excludes elsewhere (curls, under a hat) is NaN."""
        members = self.members[group]
        goal = y + torch.where(members, change, 0.0)
        excluded = (goal.nan_to_num() > 0.5).float() @ self.mutually_exclusive.float() > 0
        return torch.where(excluded & ~members, torch.nan, goal)


# --- the step

LEARNING = (
    "decoder", "classifier", "critic", "projection", "prototypes", "code_classifier", "encoder", "interpolator"
)  # fmt: skip
SLOW_TO_FORGET = ("decoder", "projection", "classifier", "prototypes", "code_classifier")
"""Their first decay is `decoder_beta1`: with that of the others identity is lost."""
VISIBLE = 0.6  # on the scale -1..1: of a picture that changes nowhere so much, less than half of this shows


class HomoInterp(Algorithm):
    """HomoInterpGAN: "encoder", "interpolator", "decoder", "critic", "projection", "classifier", and with learned
    prototypes "prototypes" and "code_classifier" as well.

    Attributes:
        vgg: the frozen perceptual network; None where the classifier's own maps serve.
        generator_every: E and I learn in every so manieth step.
        encoder_share: what E's gradient of the interpolation's losses is multiplied by.
        warmup_images: before so many images E and Dec learn to reconstruct by pixels, C, A' and P what is real.
    """

    critics, remembers = ("critic",), ("steps", "images_seen")

    def __init__(self, recipe: InterpolationRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        options = recipe.losses
        # The last branch, the residual one, has no columns of y.
        members = membership(grouping(recipe, schema), schema).to(self.device)
        share = options.reference_share if "prototypes" in self.networks else 1.0
        self.edit_targets = TargetDraw(
            members,
            self.blocks,
            schema.mutually_exclusive.to(self.device),
            self.varies,
            reference_share=share,
            full_share=options.full_share,
        )
        self.grouped, self.penalty_of = members.any(0), options.penalty_of
        self.generator_every, self.encoder_share = options.generator_every, options.encoder_share
        self.vgg = perceptual_network(options.perceptual_network)
        # VGG-19 knows what it sees from the first step on.
        self.warmup_images = options.warmup_images if self.vgg is None else 0
        self.steps, self.images_seen = 0, 0
        if self.vgg is not None:
            self.vgg.to(self.device)
            if isinstance(encoder := self.networks["encoder"], VggEncoder):
                # A published E begins with ImageNet's weights, and trains on from there.
                there = self.vgg.vgg.state_dict()
                encoder.load_state_dict({name: there.get(name, own) for name, own in encoder.state_dict().items()})

    @classmethod
    def build(cls, recipe: InterpolationRecipe, schema: Schema, **options: Any) -> Self:
        """As of `Algorithm`."""
        algorithm = super().build(recipe, schema, **options)
        if algorithm.vgg is not None and "layout" in options:
            algorithm.vgg.to(memory_format=options["layout"])  # type: ignore[call-overload]
        return algorithm

    @staticmethod
    def fresh(recipe: InterpolationRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options = recipe.networks
        networks = kept_networks(recipe, schema)
        sizes = options.channels, feature_side(recipe), schema.width, options.critic_width
        networks["critic"] = Critic(*sizes, normed=options.critic_norm == "instance")
        if options.prototypes == "learned":
            networks["code_classifier"] = CodeJudge(options.code, schema.width)
        else:
            # They are found from the finished features, when a model is written.
            del networks["prototypes"]
        classifier = networks["classifier"]
        assert isinstance(classifier, AttributeMaps)
        deep = VggMaps.deep_channels if takes_vgg(recipe.losses.perceptual_network) else classifier.deep_channels
        networks["projection"] = Projection(options.channels, deep)
        return networks

    @classmethod
    def optimisers_of(
        cls, recipe: InterpolationRecipe, networks: Mapping[str, nn.Module]
    ) -> dict[str, torch.optim.Optimizer]:
        """As of `Algorithm`."""
        slow = {"betas": (recipe.optimiser.decoder_beta1, recipe.optimiser.beta2)}
        return {name: cls.adam(recipe, networks, name, **(slow if name in SLOW_TO_FORGET else {})) for name in networks}

    @property
    def perceptual_name(self) -> str:
        """Which network images are compared in: for results to bear."""
        return "the data's own attributes" if self.vgg is None else "VGG-19"

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""
        names = ("encoder", "interpolator", "decoder", "classifier")
        return (*names, "prototypes") if "prototypes" in self.networks else names

    def asked(self, face: Tensor, y: Tensor, targets: EditTargets) -> tuple[Tensor, Tensor]:
        """What branches are asked, each [rows, C, h, w]: d towards other faces, and what learned prototypes say.

        R learns what faces look like: towards E its answers are constant.
        """
        count, prototypes = targets.references, self.networks.get("prototypes")
        differences = face[targets.order[:count]] - face[:count]
        if not isinstance(prototypes, LearnedPrototypes):
            return differences, face[count:]
        change = targets.change[count:].nan_to_num()
        return differences, prototypes(face.detach()[count:], self.blanked(y)[count:], change).to(face.dtype)

    def where(self, face: Tensor, y: Tensor, targets: EditTargets) -> Tensor | None:
        """What the masks of branches start from, of references, [references, branches, 1, h, w]."""
        prototypes, count = self.networks.get("prototypes"), targets.references
        if not isinstance(prototypes, LearnedPrototypes):
            return None
        order, face, y = targets.order[:count], face.detach(), self.blanked(y)
        return prototypes.where(self.edit_targets.members, (face[:count], y[:count]), (face[order], y[order]))

    def move(self, face: Tensor, d: tuple[Tensor, Tensor], targets: EditTargets, where: Tensor | None) -> Tensor:
        """F_int [B, C, h, w] of features F_a: towards other faces of the batch, then by prototypes."""
        count, interpolator = targets.references, self.networks["interpolator"]
        moved: Tensor = interpolator(face[:count], d[0], targets.v[:count], where)
        if count == len(face):
            return moved
        members, far = self.edit_targets.members, targets.v[count:, :1]
        v = far * (targets.change[count:].nan_to_num().abs() @ members.to(far.dtype).T > 0)
        answers = interpolator(face[count:], d[1], v, asked=far[:, :, None, None].to(face.dtype) * d[1])
        return torch.cat([moved, answers])

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; see `Algorithm`."""
        self.steps += 1
        warm = self.images_seen < self.warmup_images
        turn = warm or self.steps % self.generator_every == 0
        self.images_seen += len(batch.images) * world()
        self.forget_gradients()
        targets = self.edit_targets.draw(batch.attributes, generator)
        with self.arithmetic():
            values = self._backward(batch, targets, generator, warm=warm, turn=turn)
        idle = {"encoder": not turn, "interpolator": warm or not turn}
        self.update(*(name for name in LEARNING if name in self.networks and not idle.get(name)))
        return {name: value.detach() for name, value in values.items()}

    def _backward(
        self, batch: Batch, targets: EditTargets, generator: torch.Generator, *, warm: bool, turn: bool
    ) -> dict[str, Tensor]:
        """Put every loss's gradient into the networks that learn from it; return the losses' values."""
        x, y = batch.images, batch.attributes
        with torch.set_grad_enabled(turn):
            features = self.networks["encoder"](x)
        # E's gradients are gathered at its output: it is gone through once, whatever learns from it.
        leaf = features.detach().requires_grad_(turn)
        values, middle, deep = self._classify(x, y)
        image = self.networks["decoder"](leaf)
        values |= self._reconstruct(x, image, middle, warm=warm)
        # |P(F) - Phi5(x)|^2, for P, and for E in its turn
        projected = self.networks["projection"](leaf, deep.shape[-1])
        values["guidance"] = losses.mean_squared_error(projected.float(), deep.float())
        learners = self.parameters("decoder", "projection")
        total = self._sum(values, "perceptual", "pixel", "guidance")
        total.backward(inputs=[*learners, leaf] if turn else learners)  # type: ignore[no-untyped-call]
        if "prototypes" in self.networks:
            values |= self._teach_prototypes(features.detach(), y, generator)
        if warm:
            values |= self._teach_head(features.detach(), y)
        else:
            # E's part in the interpolation comes in by a second leaf: it may count for less.
            face = leaf.detach().requires_grad_(turn and self.encoder_share > 0)
            with torch.set_grad_enabled(turn):
                towards, answers = self.asked(face, y, targets)
                where = self.where(face, y, targets)
                # R is taught by itself: through the branches it would learn what pleases the critic of them.
                moved = self.move(face, (towards, answers.detach()), targets, where)
            values |= self._teach_critic(features.detach(), moved.detach(), y, targets)
            if turn:
                if where is not None:
                    values |= self._teach_answers(features.detach(), answers, targets)
                values |= self._interpolate(moved, targets.z_int)
                values |= self._teach_branches(face.detach(), moved, y, targets, answers.detach(), where, generator)
                inputs = self.parameters("interpolator") + ([face] if face.requires_grad else [])
                parts = ("adversarial", "homomorphism", "full", "answer", "region", "judged_image")
                self._sum(values, *parts).backward(inputs=inputs)  # type: ignore[no-untyped-call]
                if face.grad is not None:
                    leaf.grad = leaf.grad + self.encoder_share * face.grad
        if turn:
            features.backward(leaf.grad, inputs=self.parameters("encoder"))
        values["psnr"] = mean_psnr(x, image.float().clamp(-1, 1))
        return values

    def _sum(self, values: Mapping[str, Tensor], *names: str) -> Tensor:
        return torch.stack([self.weights[name] * values[name] for name in names if name in values]).sum()

    def _classify(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """C's own loss, its backward pass, and the perceptual network's maps of x."""
        logits, middle, deep = self.networks["classifier"](x)
        value = losses.attribute_loss(logits.float(), y, self.blocks)
        value.backward(inputs=self.parameters("classifier"))  # type: ignore[no-untyped-call]
        if self.vgg is not None:
            with torch.no_grad():
                middle, deep = self.vgg(x)
        accuracy = losses.attribute_accuracy(logits.detach().float(), y, self.blocks)
        return {"classify": value, "c_accuracy": accuracy}, middle.detach(), deep.detach()

    def _reconstruct(self, x: Tensor, image: Tensor, middle: Tensor, *, warm: bool) -> dict[str, Tensor]:
        """|Phi3(Dec(F)) - Phi3(x)|^2 and |Dec(F) - x|^2, for Dec, and for E in its turn."""
        values = {"pixel": losses.mean_squared_error(image.float(), x)}
        if not warm and self.weights["perceptual"]:
            seen = self.networks["classifier"](image)[1] if self.vgg is None else self.vgg(image)[0]
            values["perceptual"] = losses.mean_squared_error(seen.float(), middle.float())
        return values

    def _teach_head(self, real: Tensor, y: Tensor) -> dict[str, Tensor]:
        """BCE(A'(F), y_a) alone, so that A' knows the attributes when E and I begin to learn from it."""
        logits = self.networks["critic"](real)[1].float()
        known = torch.where(self.grouped, y, torch.nan)
        values = {"head_real": losses.attribute_loss(logits, known, self.blocks)}
        values["head_real"].backward(inputs=self.parameters("critic"))  # type: ignore[no-untyped-call]
        values["head_accuracy"] = losses.attribute_accuracy(logits.detach(), known, self.blocks)
        return values

    def _teach_critic(self, real: Tensor, moved: Tensor, y: Tensor, targets: EditTargets) -> dict[str, Tensor]:
        """E Dis(F_int) - E Dis(F) + gradient penalty; BCE(A'(F_int), y_a): as published, its target is y_a."""
        critic, values = self.networks["critic"], {}
        assert isinstance(critic, Critic)
        scores, logits = (found.float() for found in critic(torch.cat([real, moved])))
        (of_real, of_moved), (real_logits, moved_logits) = scores.chunk(2), logits.chunk(2)
        values["critic"] = losses.wasserstein(of_real, of_moved)
        known = torch.where(self.grouped, y, torch.nan)
        values["head_interpolated"] = losses.attribute_loss(moved_logits, known, self.blocks)
        values["head_real"] = losses.attribute_loss(real_logits, known, self.blocks)
        between = (targets.share * real + (1 - targets.share) * moved).float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between)[0].float().sum(), between, create_graph=True)
        # The critic's answer is a mean of its outputs.
        outputs = critic.averaged if self.penalty_of == "sum" else 1
        values["gradient_penalty"] = losses.gradient_penalty(outputs * gradient)
        total = values["critic"] + self._sum(values, "head_interpolated", "head_real", "gradient_penalty")
        total.backward(inputs=self.parameters("critic"))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            values["head_accuracy"] = losses.attribute_accuracy(real_logits, known, self.blocks)
        return values

    def _teach_prototypes(self, real: Tensor, y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """1/2 |R(F, y) - F|^2 + KL of the code + hide, for R; BCE(K(code), y), for the classifier of codes K."""
        prototypes, known = self.networks["prototypes"], self.blanked(y)
        assert isinstance(prototypes, LearnedPrototypes)
        mean, logvar = prototypes.encode(real, known)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        code = mean.float() + noise * torch.exp(0.5 * logvar.float())
        again = prototypes.decode(code, known)
        guess = self.networks["code_classifier"](code).float()
        values = {
            "prototype": losses.half_squared_error(again.float(), real.float()),
            "code": losses.kl_divergence(mean.float(), logvar.float()),
            "hide": losses.attribute_loss(guess, marginals(y), self.blocks),
            "classify_code": losses.attribute_loss(guess, y, self.blocks),
        }
        reader = self.parameters("code_classifier")
        values["classify_code"].backward(inputs=reader, retain_graph=True)  # type: ignore[no-untyped-call]
        total = self._sum(values, "prototype", "code", "hide")
        total.backward(inputs=self.parameters("prototypes"))  # type: ignore[no-untyped-call]
        return values

    def _interpolate(self, moved: Tensor, z_int: Tensor) -> dict[str, Tensor]:
        """-E Dis(F_int) + BCE(A'(F_int), z_int), for E and I."""
        scores, logits = self.networks["critic"](moved)
        return {
            "adversarial": losses.wasserstein_fool(scores.float()),
            "homomorphism": losses.attribute_loss(logits.float(), z_int, self.blocks),
        }

    def _judge(self, images: Tensor, z_int: Tensor) -> dict[str, Tensor]:
        """BCE(C(x), z_int)."""
        judged = self.networks["classifier"](images)[0]
        return {"judged_image": losses.attribute_loss(judged.float(), z_int, self.blocks)}

    def _teach_answers(self, face: Tensor, answers: Tensor, targets: EditTargets) -> dict[str, Tensor]:
        """The losses of F_int and of its image, of F_a + v d, for R: what it answers must show."""
        count = targets.references
        moved = unit(face[count:] + targets.v[count:, :1, None, None].to(face.dtype) * answers)
        with keeping_averages(self.networks["decoder"]):
            values = self._judge(self.networks["decoder"](moved), targets.z_int[count:])
        values |= self._interpolate(moved, targets.z_int[count:])
        self._sum(values, *values).backward(inputs=self.parameters("prototypes"))  # type: ignore[no-untyped-call]
        return {"answered": values["judged_image"]}

    def _teach_branches(
        self,
        face: Tensor,
        moved: Tensor,
        y: Tensor,
        targets: EditTargets,
        answers: Tensor,
        where: Tensor | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """|F_int(v = 1) - F_b|^2, what branches are to do with what they are asked, and what C sees, for I.

        C sees what prototypes moved, and of a reference one group, wholly: a picture halfway between two faces shows
        an attribute or does not, and teaches nothing.
        """
        count, interpolator, values = targets.references, self.networks["interpolator"], {}
        other = face[targets.order[:count]]
        if self.weights["full"] and count:
            # As in the authors' code its ends are constants.
            whole = interpolator(face[:count], other - face[:count], torch.ones_like(targets.v[:count]), where)
            values["full"] = losses.mean_squared_error(whole.float(), other.float())
        images: list[Tensor] = []
        goals: list[Tensor] = []
        with keeping_averages(self.networks["decoder"]):
            if where is not None and count < len(face):
                # |F_int - F_r|^2 / |F_r - F_a|^2, F_r = F_a + v d: the quotient lets a smile count as much as a hat.
                whole = unit(face[count:] + targets.v[count:, :1, None, None].to(face.dtype) * answers)
                apart, far = ((each - whole).float().square().mean((1, 2, 3)) for each in (moved[count:], face[count:]))
                values["answer"] = (apart / (far + SMALL)).mean()
                images, goals = [self.networks["decoder"](moved[count:])], [targets.z_int[count:]]
            if where is not None and count:
                drawn = torch.rand(len(face), generator=generator).to(face.device)
                group = self.edit_targets.one_group(targets.change[:count], drawn[:count])
                values["region"], edited = self._region(face, self.blanked(y), targets.order[:count], group, where)
                images.append(edited)
                goals.append(self.edit_targets.towards(y[:count], targets.change[:count], group))
        return values | (self._judge(torch.cat(images), torch.cat(goals)) if images else {})

    def _region(self, face: Tensor, y: Tensor, order: Tensor, group: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """|Dec(F_a + T_i(F_b - F_a)) - Dec(F_b)|^2 where b shows its group i, and Dec(F_a) where neither face shows it.

        Means over either part of the picture, so that glasses count as much as a hat. Where a face shows a group is
        where its picture changes when prototypes give it the other's attributes.
        """
        members, decoder = self.edit_targets.members, self.networks["decoder"]
        a, b = face[: len(group)], face[order]
        with torch.no_grad():
            change = (y[order] - y[: len(group)]) * members[group]
            both, labels = torch.cat([a, b]), torch.cat([y[: len(group)], y[order]])
            without = unit(
                both + self.networks["prototypes"](both, labels, torch.cat([change, -change])).to(both.dtype)
            )
            of_both, others = decoder(torch.cat([both, without])).float().chunk(2)
            (of_a, of_b), (in_a, in_b) = of_both.chunk(2), shown(of_both, others).chunk(2)
        v = F.one_hot(group, len(members)).to(a.dtype)
        edited: Tensor = decoder(self.networks["interpolator"](a, b - a, v, where)).float()
        parts = []
        for part, of in ((in_b, of_b), (1 - torch.maximum(in_a, in_b), of_a)):
            errors = (edited - of).square().mean(1, keepdim=True) * part
            parts.append(errors.sum((1, 2, 3)) / (part.sum((1, 2, 3)) + 1))
        # Faces differ in shape: where a shows the group, it has b's colour.
        seen = [(x * part).sum((2, 3)) / (part.sum((2, 3)) + 1) for x, part in ((edited, in_a), (of_b, in_b))]
        parts.append((seen[0] - seen[1]).square().mean(1))
        return torch.stack(parts).sum(0).mean(), edited

    @torch.no_grad()
    def extras(self, averaged: Mapping[str, nn.Module], batches: Iterable[Batch]) -> dict[str, nn.Module]:
        """Mean prototypes: mean features of images with an attribute value, less the mean of those without."""
        if "prototypes" in self.kept:
            return {}
        sums: list[Tensor] | None = None
        for batch in batches:
            features = averaged["encoder"](batch.images).float()
            y = batch.attributes.nan_to_num(0.5)
            sides = torch.stack([(y > 0.5).float(), (y < 0.5).float()])
            found = [torch.einsum("sbk,bchw->skchw", sides, features), sides.sum(1)]
            sums = found if sums is None else [a + b for a, b in zip(sums, found, strict=True)]
        assert sums is not None
        means = sums[0] / sums[1].clamp_min(1)[:, :, None, None, None]
        # Without an image on one side nothing is known of the difference.
        both = (sums[1] > 0).all(0)[:, None, None, None]
        differences = torch.where(both, means[0] - means[1], 0.0)
        prototypes = MeanPrototypes(*differences.shape[:3])
        prototypes.differences.data.copy_(differences)
        return {"prototypes": prototypes}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors and plain values."""
        return super().state() | {"perceptual": self.perceptual_name}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        if state["perceptual"] != self.perceptual_name:
            raise ValueError(f"it compared images in {state['perceptual']}, not in {self.perceptual_name}")
        super().load_state(state)


def shown(images: Tensor, without: Tensor) -> Tensor:
    """Return where two pictures [B, 3, S, S] in [-1, 1] differ by half of their most, 0..1, [B, 1, S, S], widened."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 3, 1, 1, count_include_pad=False)

    apart = mean((images - without).abs().amax(1, keepdim=True))
    share = (2 * apart / apart.amax((2, 3), keepdim=True).clamp_min(VISIBLE)).clamp(max=1)
    return mean(F.max_pool2d(share**3, 3, 1, 1))
