"""Retouch (ours): a network E predicts from a picture x and an asked change d how its pixels change.

    x' = (1 - m) ((1 + g) W(x, f) + h) + m p

with the fields f, g, h, m, p = E(x, d, y). Of every picture, real or made, D is shown two views: the whole at the
fields' size, shifted, turned and noised (else a classifier is fooled, not the eye), and, where the data are twice as
large, a part of the larger picture, to which the enlarged fields are applied.
    L_D = max(0, 1 - D(x)) + max(0, 1 + D(x')), for each D; the first also tells the attributes of real pictures,
        and has branches D_av for each value v of each attribute a, with max(0, 1 - D_av(x)) + 1/4 max(0, 1 + D_aw(x))
        for real pictures of v, w the other value, and max(0, 1 + D_av(x')) for edited ones that v was asked of
    L_E = -D(x') - D_detail(x') + match (-D_av(x') of what was asked) + match_kept (max(0, 1 - D_av(x')) of the others)
        + asked (BCE of the asked attributes, by D's head and by C) + kept (the others)
        + unchanged |x' - x| where d = 0 + change |x' - x| + mask |m| + shift |h| + stretch, fringe (steps between
        neighbours) + variation (those of x' - x where x has none) + skin
    L_C = BCE of the attributes of x + BCE of what teachers see in x'
All gradients of a step belong to the same parameters; then every network steps.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.methods.base import Algorithm, marginals
from attrimorph.methods.retouch.networks import FieldDiscriminator, Teacher, kept_networks
from attrimorph.methods.retouch.recipe import RetouchRecipe
from attrimorph.methods.retouch.skin import LIGHTENING, background, ellipse, skin
from attrimorph.photographs.fields import Fields, changed
from attrimorph.recipe import files_of

SHIFTED, TURNED, NOISED = 1 / 16, 0.15, 0.05  # of the frame; radians; of the scale -1..1: how views differ
COMMON = 0.2  # share from which an attribute's value is no longer rare
HEAD = ((0.50, 0.50), (0.38, 0.52))  # with its hair: centre and radii in an aligned picture, in sides: x, y
BESIDE = 0.1  # of the weight of what is behind the head: of what else lies outside
EDGE = 0.1  # on the scale -1..1: a step between neighbours that counts as an edge
RAREST, MISMATCH = 0.03, 0.25  # shares below weigh as this one; weight of real pictures at the other value's branch
MARGIN = 2  # pixels beyond a part of the fields that enlarging reads
TERMS = (
    *("fool", "detail", "match", "match_kept", "kept"),
    *("unchanged", "change", "mask", "shift", "stretch", "variation", "fringe", "skin"),
)


class Asked(NamedTuple):
    """What is asked of pictures.

    Attributes:
        target: y', [B, W]; NaN where unknown.
        changed: bool [B, W]: what was asked to change, and what that excludes.
        some: bool [B]: whether anything is.
    """

    target: Tensor
    changed: Tensor
    some: Tensor


def ask(y: Tensor, schema_parts: tuple[Tensor, Tensor, Tensor], chance: Tensor, most: int, nothing: float) -> Asked:
    """Ask for one to `most` changes of attributes that are known.

    Binary ones are reversed, another value of a categorical one is set, real ones become another picture's; what is
    set takes its rivals away, and of rivals at most one is set.

    Args:
        y: [B, W], NaN where unknown.
        schema_parts: bool [W, W], which columns exclude which; float [W]: 0 binary, 1 categorical, 2 real; bool [W],
            which vary: the others are not asked for.
        chance: uniform [B, W + 2].
        most: attributes at once.
        nothing: share of pictures of which nothing is asked.
    """
    exclusive, kinds, varies = schema_parts
    target = torch.where(kinds == 2, y.roll(1, 0), 1 - y)
    able = varies & ~target.isnan() & ~y.isnan() & ((kinds != 1) | (y < 0.5))
    score = torch.where(able, chance[:, :-2], -1.0)
    count = 1 + (chance[:, -2:-1] * most).long().clamp(max=most - 1)
    rank = score.argsort(1, descending=True).argsort(1)
    some = chance[:, -1] >= nothing
    chosen = able & (rank < count) & some[:, None]
    raised = chosen & (kinds < 2) & (target > 0.5)
    rival = (torch.where(raised, score, -1.0)[:, None, :] * exclusive).amax(2)
    chosen, raised = chosen & ~(raised & (rival > score)), raised & ~(rival > score)
    lowered = (raised.float() @ exclusive.float()) > 0
    target = torch.where(lowered, 0.0, torch.where(chosen, target, y))
    return Asked(target, chosen | lowered, (chosen | lowered).any(1))


class Retouch(Algorithm):
    """Retouch: "editor", "classifier", "discriminator", and where the data are larger than the fields
    "detail_discriminator".

    Attributes:
        teachers: frozen.
        enlarged: how many times as large as the fields the pictures are.
        grown: how many times as large as what the U-Net sees the fields are.
    """

    kept = ("editor", "classifier")
    critics = ("discriminator", "detail_discriminator")

    def __init__(self, recipe: RetouchRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.asking, self.enlarged = recipe.asking, recipe.networks.enlarged
        self.grown = recipe.field_size // recipe.core_size
        del self.weights["teacher"]
        paths = files_of(recipe)["losses.teacher"]
        self.teachers = [Teacher(Path(path), schema).to(self.device) for path in paths]
        kinds = torch.zeros(schema.width)
        for kind, start, stop in schema.blocks:
            kinds[start:stop] = ("binary", "categorical", "real").index(kind)
        self.discrete = (kinds < 2).to(self.device)
        self.schema_parts = schema.mutually_exclusive.to(self.device), kinds.to(self.device), self.varies
        self.pale = schema.columns(LIGHTENING) if LIGHTENING in schema.names else slice(0, 0)

    @staticmethod
    def fresh(recipe: RetouchRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        options, size = recipe.networks, recipe.core_size
        networks = kept_networks(recipe, schema)
        networks["discriminator"] = FieldDiscriminator(size, schema.width, options.discriminator_width)
        if options.enlarged == 2 and recipe.losses.detail:
            networks["detail_discriminator"] = FieldDiscriminator(size, 0, options.detail_width)
        return networks

    @staticmethod
    def rows(recipe: RetouchRecipe, data: PreparedData) -> NDArray[np.int64]:
        """As of `Algorithm`: a picture is repeated by the root of how rare its rarest attribute is."""
        rows = data.indices("train")
        y = data.attributes.numpy()[rows].copy()
        for kind, start, stop in data.schema.blocks:
            if kind == "real":
                y[:, start:stop] = np.nan
        share = np.nanmean(np.where(np.isnan(y).all(0), 0.5, y), 0)
        own = np.where(np.isnan(y), 1.0, np.where(y > 0.5, share, 1 - share)).min(1, initial=1.0)
        times = np.sqrt(COMMON / own.clip(1e-6)).clip(1, recipe.asking.repeats).round().astype(np.int64)
        return rows.repeat(times)

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step; see `Algorithm`."""
        y, count = batch.attributes, len(batch.images)
        large = batch.images
        if batch.images_seen < self.weights["small_images"]:
            large = F.avg_pool2d(large, self.grown)
        x = F.avg_pool2d(large, self.enlarged) if self.enlarged > 1 else large
        chance = torch.rand(count, y.shape[1] + 2, generator=generator).to(x.device)
        asked = ask(y, self.schema_parts, chance, self.asking.most, self.asking.nothing)
        present = self.blanked(y)
        d = torch.where(asked.changed, asked.target - present, 0.0)
        look = [Jitter.drawn(count, x, generator) for _ in range(2)]
        place = torch.randint(x.shape[-1] // 2 + 1, (2,), generator=generator).tolist()
        self.forget_gradients()
        with self.arithmetic(), parametrize.cached():
            shown = look[0](x)
            fields = self.networks["editor"](x, d, present)
            made = changed(x, fields)
            seen = look[1](made)
            logits = self.networks["classifier"](torch.cat([shown, seen]))[0].float()
            before, after = self._taught(x, y), self._taught(made.detach(), torch.full_like(y, torch.nan))
            values = self._classify(logits, torch.cat([y, after]))
            verdict, told, branches = self.networks["discriminator"](seen)
            values |= {"fool": losses.wasserstein_fool(verdict)}
            values |= self._match(branches, asked)
            values |= self._attributes(told, logits[count:], before, after, asked)
            values |= self._fields(x, made, fields, asked)
            if "detail_discriminator" in self.networks:
                detail = self.networks["detail_discriminator"](retouched_part(large, fields, place))[0]
                values["detail"] = losses.wasserstein_fool(detail)
            share = self.weights["teacher_share"]
            total = torch.stack([self.weights[name] * values[name] for name in TERMS if name in values]).sum()
            total = total + self.weights["asked"] * (
                share * values["asked_classifier"] + (1 - share) * values["asked_head"]
            )
            learns = batch.images_seen >= self.weights["warmup_images"]
            if learns:
                total.backward(inputs=self.parameters("editor"), retain_graph=True)
            real, right, of_real = self.networks["discriminator"](shown)
            values["hinge"] = losses.hinge_real_or_fake(real, verdict)
            values["head_real"] = losses.attribute_loss(right, y, self.blocks)
            values["match_hinge"] = self._match_hinge(of_real, branches, y, asked)
            judged = values["hinge"] + values["match_hinge"] + self.weights["head_real"] * values["head_real"]
            if "detail" in values:
                half = x.shape[-1]
                top, left = (2 * each for each in place)
                real = self.networks["detail_discriminator"](large[..., top : top + half, left : left + half])[0]
                values["detail_hinge"] = losses.hinge_real_or_fake(real, detail)
                judged = judged + values["detail_hinge"]
            critics = [name for name in self.critics if name in self.networks]
            judged.backward(inputs=self.parameters(*critics))
        self.update(*(name for name in self.networks if learns or name != "editor"))
        return {name: value.detach() for name, value in values.items()}

    def _taught(self, images: Tensor, otherwise: Tensor) -> Tensor:
        """Return what teachers see in pictures, [B, W], on the mean; `otherwise` where none knows."""
        if not self.teachers:
            return otherwise
        with torch.no_grad():
            found = torch.stack([teacher(images) for teacher in self.teachers]).nanmean(0)
        return found.where(~found.isnan(), otherwise)

    def _classify(self, logits: Tensor, known: Tensor) -> dict[str, Tensor]:
        """Let C learn from what is known of real pictures and of edited ones, [2B, W] both."""
        value = 2 * losses.attribute_loss(logits, known, self.blocks)
        value.backward(inputs=self.parameters("classifier"), retain_graph=True)  # type: ignore[no-untyped-call]
        real, y = (each.detach().chunk(2)[0] for each in (logits, known))
        return {"classify": value, "c_accuracy": losses.attribute_accuracy(real, y, self.blocks)}

    def _attributes(
        self, head: Tensor, classifier: Tensor, before: Tensor, after: Tensor, asked: Asked
    ) -> dict[str, Tensor]:
        """Cross-entropies of asked and other attributes of edited pictures.

        Args:
            head, classifier: logits of D's head, which knows labels, and of C, which knows teachers, [B, W].
            before, after: what teachers see in real pictures and in edited ones, [B, W]; without, y and NaN.
            asked: of them.
        """
        wanted = asked.target.where(asked.changed, torch.nan)
        labels, rest = (known.where(~asked.changed, torch.nan) for known in (asked.target, before))
        share, blocks = self.weights["teacher_share"], self.blocks
        seen = after - 0.5 if self.teachers else classifier.detach()
        right = {
            name: losses.attribute_accuracy(seen, goal.where(~seen.isnan(), torch.nan), blocks).nan_to_num(0)
            for name, goal in (("asked_reached", wanted), ("others_kept", rest))
        }
        return {
            "asked_head": losses.attribute_loss(head, wanted, blocks),
            "asked_classifier": losses.attribute_loss(classifier, wanted, blocks),
            "kept": (1 - share) * losses.attribute_loss(head, labels, blocks)
            + share * losses.attribute_loss(classifier, rest, blocks),
        } | right

    def _match(self, branches: Tensor, asked: Asked) -> dict[str, Tensor]:
        """What D's branches say of edited pictures: do they look like real ones that have what was asked, or kept?

        Args:
            branches: [B, W, 2].
            asked: of the same pictures.
        """
        own = branch(branches, asked.target)
        told = self.discrete & ~asked.target.isnan()
        wanted, rest = told & asked.changed, told & ~asked.changed
        return {"match": -mean_of(own, wanted), "match_kept": mean_of(F.relu(1 - own), rest)}

    def _match_hinge(self, real: Tensor, made: Tensor, y: Tensor, asked: Asked) -> Tensor:
        """Hinge of D's branches, every branch weighing as much as another.

        Real pictures belong to the branch of their value and not to the other's, edited ones not to that which was
        asked.

        Args:
            real, made: [B, W, 2]; y: [B, W], NaN where unknown; asked: of the same pictures.
        """
        shares = self.networks["discriminator"].get_buffer("shares")
        now = marginals(y)[0]
        shares.lerp_(torch.where(now.isnan(), shares, now), 0.005)
        share = torch.stack([1 - shares, shares], 1).expand_as(real).clamp(RAREST)
        known = self.discrete & ~y.isnan()
        wanted = self.discrete & asked.changed & ~asked.target.isnan()
        own = F.relu(1 - branch(real, y)) / branch(share, y)
        other = F.relu(1 + branch(real, 1 - y)) / branch(share, y)
        false = F.relu(1 + branch(made, asked.target)) / branch(share, 1 - asked.target)
        return 0.5 * (mean_of(own + MISMATCH * other, known) + mean_of(false, wanted))

    def _fields(self, x: Tensor, made: Tensor, fields: Fields, asked: Asked) -> dict[str, Tensor]:
        """What keeps a change small, smooth, and off the skin."""
        flow, gain, shift, mask = fields.flow, fields.gain, fields.shift, fields.mask
        assert flow is not None
        assert gain is not None
        assert shift is not None
        assert mask is not None
        assert fields.paint is not None
        size = x.shape[-1]
        each, still = (made - x).abs(), (~asked.some).float()
        dear = 1 + self.weights["behind"] * background(x).maximum(BESIDE * (1 - ellipse(HEAD, size, x.device)))
        values = {
            "unchanged": (each.mean((1, 2, 3)) * still).mean(),
            "change": (each * dear).mean(),
            "mask": mask.mean(),
            "shift": shift.abs().mean(),
            "stretch": size * steps(flow),
            "variation": new_edges(x, made),
            "fringe": steps(mask * (fields.paint - fields.paint.mean(1, keepdim=True))),
        }
        if self.weights["skin"]:
            free = asked.changed[:, self.pale].any(1)
            own = skin(x) * (1 - mask.detach()) * (~free).float()[:, None, None, None]
            values["skin"] = held(made - x, own)
        return values


def branch(branches: Tensor, value: Tensor) -> Tensor:
    """Return what stands for a value, [B, W], of [B, W, 2]: the second for 1, the first for 0 and what is unknown."""
    return branches.gather(2, (value > 0.5).long()[..., None])[..., 0]


def mean_of(values: Tensor, which: Tensor) -> Tensor:
    """Return the mean of each picture's chosen values, [B, W] both, 0 where none is, averaged over B."""
    return ((values * which).sum(1) / which.sum(1).clamp(min=1)).mean()


def held(change: Tensor, weight: Tensor) -> Tensor:
    """Return the absolute change of mean colour in each of 8x8 parts, mean over parts by their weight.

    Args:
        change: [B, 3, S, S]; weight: [B, 1, S, S] in 0..1.
    """
    window = max(1, change.shape[-1] // 8)
    area = F.avg_pool2d(weight, window)
    mean = F.avg_pool2d(change * weight, window) / (area + 1e-3)
    return (mean.abs() * area).mean((1, 2, 3)).div(area.mean((1, 2, 3)) + 1e-3).mean()


def new_edges(x: Tensor, made: Tensor) -> Tensor:
    """Return the mean absolute step between neighbours of a change where the picture has none (Godard et al. 2017).

    Args:
        x, made: [B, 3, S, S] in [-1, 1], before and after.
    """
    each = ((x.diff(dim=axis).abs().mean(1, keepdim=True), (made - x).diff(dim=axis).abs()) for axis in (2, 3))
    return torch.stack([((-there / EDGE).exp() * step).mean() for there, step in each]).sum()


def steps(field: Tensor) -> Tensor:
    """Return the mean absolute step between neighbours of [B, C, S, S]."""
    return field.diff(dim=2).abs().mean() + field.diff(dim=3).abs().mean()


def retouched_part(large: Tensor, fields: Fields, place: list[int]) -> Tensor:
    """Return a part of pictures twice as large as the fields, as these, enlarged (bicubic), change it: [B, 3, S, S].

    Args:
        large: [B, 3, 2S, 2S] in [-1, 1].
        fields: at S.
        place: the part's upper and left corner in pixels of the fields, 0..S/2.
    """
    assert fields.flow is not None
    size = large.shape[-1] // 2
    top, left = place
    together = F.pad(torch.cat([*fields.affine(), fields.flow], 1), (MARGIN,) * 4, mode="replicate")
    rows, columns = (slice(start, start + size // 2 + 2 * MARGIN) for start in (top, left))
    wide = F.interpolate(together[..., rows, columns], scale_factor=2.0, mode="bicubic")
    wide = wide[..., 2 * MARGIN : -2 * MARGIN, 2 * MARGIN : -2 * MARGIN]
    a, b, flow = wide[:, :3], wide[:, 3:6], wide[:, 6:]
    y, x = ((torch.arange(size, device=large.device) + 2 * start + 0.5) / size - 1 for start in (top, left))
    grid = torch.stack([x.expand(size, size), y[:, None].expand(size, size)], 2) + 2 * flow.movedim(1, 3)
    moved = F.grid_sample(large, grid, "bilinear", "border", align_corners=False)
    part: Tensor = (moved + a * moved + b).clamp(-1, 1)
    return part


class Jitter(NamedTuple):
    """How a batch is shown: shifted, turned, noised.

    Attributes:
        grid: [B, S, S, 2], where each pixel comes from.
        noise: [B, 3, S, S].
    """

    grid: Tensor
    noise: Tensor

    @classmethod
    def drawn(cls, count: int, like: Tensor, generator: torch.Generator) -> "Jitter":
        """Draw one for `count` pictures of the size of `like`."""
        u = torch.rand(count, 3, generator=generator) * 2 - 1
        angle, shift = TURNED * u[:, 0], 2 * SHIFTED * u[:, 1:]
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        grid = F.affine_grid(torch.cat([turn, shift[:, :, None]], 2), [count, 3, *like.shape[2:]], align_corners=False)
        noise = NOISED * torch.randn(like.shape, generator=generator)
        layout = torch.channels_last if like.is_contiguous(memory_format=torch.channels_last) else torch.preserve_format
        return cls(grid.to(like.device), noise.to(like.device).contiguous(memory_format=layout))

    def __call__(self, images: Tensor) -> Tensor:
        """Return pictures [B, 3, S, S] as shown."""
        return F.grid_sample(images, self.grid, "bilinear", "reflection", align_corners=False) + self.noise
