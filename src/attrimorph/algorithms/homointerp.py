"""HomoInterpGAN (Chen, Xu, Tian, Jia, CVPR 2019): homomorphic interpolation of features, group by group.

F = E(x); F_int = F_a + sum over groups of v_i T_i(F_b - F_a), where b is another face of the batch;
z_int = y_a + v (y_b - y_a), group by group. A learned prototype stands for what T_i answers where there is no b. Every
step teaches Dec, the critic with its attribute head A', P and C; E and I learn in every fifth. All gradients of a step
belong to the same parameters; then every network steps.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.algorithms.aims import Aim, Aims
from attrimorph.algorithms.passes import marginals
from attrimorph.data.loader import Batch
from attrimorph.networks.interpolation import Critic, LearnedPrototypes, MeanPrototypes
from attrimorph.networks.perceptual import VggMaps

WEIGHTS = (
    "perceptual",
    "pixel",
    "adversarial",
    "homomorphism",
    "full",
    "guidance",
    "gradient_penalty",
    "head_interpolated",
    "head_real",
    "judged_image",
    "prototype",
    "code",
    "hide",
)


class HomoInterp:
    """HomoInterpGAN: its networks, their optimisers, and `step`.

    Args:
        networks: "encoder", "interpolator", "decoder", "critic", "projection", "classifier"; with learned prototypes
            "prototypes" and "code_classifier" as well.
        optimisers: one for each network.
        weights: of the losses, by the names in `WEIGHTS`.
        members: bool [branches, W]: the columns of y in each branch's group; the last branch, the residual one, has
            none.
        blocks, blank, rivals: of the schema.
        vgg: the frozen perceptual network; None where the classifier's own maps serve.
        penalty_of: "sum" or "mean" of the critic's outputs: whose slope the penalty pulls to 1.
        generator_every: E and I learn in every so manieth step.
        reference_share, full_share: of `Aims`.
        encoder_share: what E's gradient of the interpolation's losses is multiplied by.
        warmup_images: before so many images E and Dec learn to reconstruct by pixels, C, A' and P what is real.
        autocast, reduce_gradients: as of `CVAEGAN`.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, torch.optim.Optimizer],
        weights: Mapping[str, float],
        *,
        members: Tensor,
        blocks: tuple[losses.Block, ...],
        blank: Tensor,
        rivals: Tensor,
        vgg: VggMaps | None = None,
        penalty_of: Literal["sum", "mean"] = "mean",
        generator_every: int = 5,
        reference_share: float = 1.0,
        full_share: float = 0.0,
        encoder_share: float = 1.0,
        warmup_images: int = 0,
        autocast: torch.dtype | None = None,
        reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    ) -> None:
        self.networks, self.optimisers, self.weights = dict(networks), dict(optimisers), dict(weights)
        self.aims = Aims(members, blocks, rivals, reference_share=reference_share, full_share=full_share)
        self.grouped, self.blocks, self.blank, self.vgg = members.any(0), blocks, blank, vgg
        self.penalty_of = penalty_of
        self.generator_every, self.warmup_images = generator_every, warmup_images
        self.encoder_share = encoder_share
        self.autocast, self.reduce_gradients = autocast, reduce_gradients
        self.steps, self.images_seen = 0, 0

    @property
    def perceptual_name(self) -> str:
        """Which network images are compared in: for results to bear."""
        return "the data's own attributes" if self.vgg is None else "VGG-19"

    @property
    def kept(self) -> tuple[str, ...]:
        """The networks whose averages make up the model."""
        names = ("encoder", "interpolator", "decoder", "classifier")
        return (*names, "prototypes") if "prototypes" in self.networks else names

    def move(self, face: Tensor, y: Tensor, aim: Aim) -> Tensor:
        """F_int [B, C, h, w] of features F_a: towards other faces of the batch, then by prototypes."""
        count, parts = aim.references, []
        if count:
            differences = face[aim.order[:count]] - face[:count]
            parts.append(self.networks["interpolator"](face[:count], differences, aim.v[:count]))
        if count < len(face):
            known, change = torch.where(torch.isnan(y), self.blank, y)[count:], aim.change[count:].nan_to_num()
            moves = self.networks["prototypes"](face[count:], known, change)
            parts.append(face[count:] + (aim.v[count:, :1, None, None] * moves).to(face.dtype))
        return torch.cat(parts)

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step.

        Args:
            batch: its images [B, 3, S, S] in [-1, 1] and attributes [B, W], NaN where unknown.
            generator: a CPU generator, the only source of chance.

        Returns:
            Values of the losses, unweighted, and a few gauges, without gradient.
        """
        self.steps += 1
        warm = self.images_seen < self.warmup_images
        turn = warm or self.steps % self.generator_every == 0
        self.images_seen += len(batch.images) * (dist.get_world_size() if dist.is_initialized() else 1)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        aim = self.aims.draw(batch.attributes, generator)
        enabled = self.autocast is not None
        with torch.autocast(batch.images.device.type, self.autocast or torch.bfloat16, enabled=enabled):
            values = self._backward(batch, aim, generator, warm=warm, turn=turn)
        learning = ["decoder", "classifier", "critic", "projection"]
        learning += [name for name in ("prototypes", "code_classifier") if name in self.networks]
        learning += ["encoder"] if turn else []
        learning += ["interpolator"] if turn and not warm else []
        if self.reduce_gradients:
            self.reduce_gradients([p for name in learning for p in self.networks[name].parameters()])
        for name in learning:
            self.optimisers[name].step()
        return {name: value.detach() for name, value in values.items()}

    def _backward(
        self, batch: Batch, aim: Aim, generator: torch.Generator, *, warm: bool, turn: bool
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
        values["guidance"] = self._guidance(leaf, deep)
        learners = self._parameters("decoder", "projection")
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
                moved = self.move(face, y, aim)
            values |= self._teach_critic(features.detach(), moved.detach(), y, aim)
            if turn:
                values |= self._interpolate(face, moved, aim)
                inputs = self._parameters("interpolator") + ([face] if face.requires_grad else [])
                inputs += self._parameters("prototypes") if "prototypes" in self.networks else []
                parts = ("adversarial", "homomorphism", "full", "judged_image")
                self._sum(values, *parts).backward(inputs=inputs)  # type: ignore[no-untyped-call]
                if face.grad is not None:
                    leaf.grad = leaf.grad + self.encoder_share * face.grad
        if turn:
            features.backward(leaf.grad, inputs=self._parameters("encoder"))
        with torch.no_grad():
            error = (x - image.float().clamp(-1, 1)).square().mean((1, 2, 3)) / 4
            values["psnr"] = -10 * torch.log10(error.clamp_min(1e-10)).mean()
        return values

    def _parameters(self, *names: str) -> list[nn.Parameter]:
        return [p for name in names for p in self.networks[name].parameters()]

    def _sum(self, values: Mapping[str, Tensor], *names: str) -> Tensor:
        return torch.stack([self.weights[name] * values[name] for name in names if name in values]).sum()

    def _classify(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """C's own loss, its backward pass, and the perceptual network's maps of x."""
        logits, middle, deep = self.networks["classifier"](x)
        value = losses.attribute_loss(logits.float(), y, self.blocks)
        value.backward(inputs=self._parameters("classifier"))  # type: ignore[no-untyped-call]
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

    def _guidance(self, features: Tensor, deep: Tensor) -> Tensor:
        """|P(F) - Phi5(x)|^2, for P, and for E in its turn."""
        seen = self.networks["projection"](features, deep.shape[-1])
        return losses.mean_squared_error(seen.float(), deep.float())

    def _teach_head(self, real: Tensor, y: Tensor) -> dict[str, Tensor]:
        """BCE(A'(F), y_a) alone, so that A' knows the attributes when E and I begin to learn from it."""
        told = self.networks["critic"](real)[1].float()
        known = torch.where(self.grouped, y, torch.nan)
        values = {"head_real": losses.attribute_loss(told, known, self.blocks)}
        values["head_real"].backward(inputs=self._parameters("critic"))  # type: ignore[no-untyped-call]
        values["head_accuracy"] = losses.attribute_accuracy(told.detach(), known, self.blocks)
        return values

    def _teach_critic(self, real: Tensor, moved: Tensor, y: Tensor, aim: Aim) -> dict[str, Tensor]:
        """E Dis(F_int) - E Dis(F) + gradient penalty; BCE(A'(F_int), y_a): as published, its target is y_a."""
        critic, values = self.networks["critic"], {}
        assert isinstance(critic, Critic)
        said, told = critic(torch.cat([real, moved]))
        (of_real, of_moved), (real_told, moved_told) = said.float().chunk(2), told.float().chunk(2)
        values["critic"] = losses.wasserstein(of_real, of_moved)
        known = torch.where(self.grouped, y, torch.nan)
        values["head_interpolated"] = losses.attribute_loss(moved_told, known, self.blocks)
        values["head_real"] = losses.attribute_loss(real_told, known, self.blocks)
        between = (aim.share * real + (1 - aim.share) * moved).float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between)[0].float().sum(), between, create_graph=True)
        # The critic's answer is a mean of its outputs.
        outputs = critic.averaged if self.penalty_of == "sum" else 1
        values["gradient_penalty"] = losses.gradient_penalty(outputs * gradient)
        total = values["critic"] + self._sum(values, "head_interpolated", "head_real", "gradient_penalty")
        total.backward(inputs=self._parameters("critic"))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            values["head_accuracy"] = losses.attribute_accuracy(real_told, known, self.blocks)
        return values

    def _teach_prototypes(self, real: Tensor, y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """1/2 |R(F, y) - F|^2 + KL of the code + hide, for R; BCE(K(code), y), for the classifier of codes K."""
        prototypes, known = self.networks["prototypes"], torch.where(torch.isnan(y), self.blank, y)
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
        values["classify_code"].backward(  # type: ignore[no-untyped-call]
            inputs=self._parameters("code_classifier"), retain_graph=True
        )
        total = self._sum(values, "prototype", "code", "hide")
        total.backward(inputs=self._parameters("prototypes"))  # type: ignore[no-untyped-call]
        return values

    def _interpolate(self, leaf: Tensor, moved: Tensor, aim: Aim) -> dict[str, Tensor]:
        """-E Dis(F_int) + BCE(A'(F_int), z_int) + |F_int(v = 1) - F_b|^2, for E and I, and what mends them."""
        said, told = self.networks["critic"](moved)
        values = {
            "adversarial": losses.wasserstein_fool(said.float()),
            "homomorphism": losses.attribute_loss(told.float(), aim.z_int, self.blocks),
        }
        if self.weights["full"] and aim.references:
            values["full"] = self._full(leaf.detach(), aim)
        if self.weights["judged_image"]:
            judged = self.networks["classifier"](self.networks["decoder"](moved))[0]
            values["judged_image"] = losses.attribute_loss(judged.float(), aim.z_int, self.blocks)
        return values

    def _full(self, face: Tensor, aim: Aim) -> Tensor:
        """|F_int(v = 1) - F_b|^2; as in the authors' code the ends are constants: I alone learns from it."""
        count = aim.references
        other = face[aim.order[:count]]
        whole = self.networks["interpolator"](face[:count], other - face[:count], torch.ones_like(aim.v[:count]))
        return losses.mean_squared_error(whole.float(), other.float())

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
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "perceptual": self.perceptual_name,
            "steps": self.steps,
            "images_seen": self.images_seen,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        if state["perceptual"] != self.perceptual_name:
            raise ValueError(f"it compared images in {state['perceptual']}, not in {self.perceptual_name}")
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.steps, self.images_seen = int(state["steps"]), int(state["images_seen"])
