"""Retouch's networks: the editor, a U-Net from a picture and an asked change to fields; discriminators; a teacher."""

import math
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from attrimorph.data import Schema, few
from attrimorph.errors import AttrimorphError
from attrimorph.files import words_of
from attrimorph.methods.retouch.recipe import RetouchRecipe
from attrimorph.models.model import answers
from attrimorph.networks.convolutional import SLOPE, Classifier, StridedTrunk, initialise, modulate
from attrimorph.photographs.fields import CHANNELS, Fields

REACH = 0.25  # of the frame: the farthest that a pixel comes from
FLAT, CALM = 2.0, 4.0  # what outputs of flow and of colours are divided by: colours move easiest, and drown the rest
HIDDEN = -2.0  # logit of the mask at the start: 12 % of a paint that is the picture itself
LEVELS = 4  # halvings at most, down to 4x4 at least
GROWTH = (1, 2, 4, 6)  # channels at each, in widths
# Verdicts, of places and by attribute, are multiplied: spectral norm keeps them far below the hinge's corner at 1.
LOUD, BRANCHES_LOUD = 30.0, 10.0
CONDITION = 128  # numbers that d and y become


class EditorNetwork(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1], the asked change d and the present attributes y [B, W] -> Fields at S.

    A U-Net; d and y scale and shift its features at every size but the largest. It enlarges by resizing and convolving:
    a transposed convolution's pattern would show as false grain. Fresh, it changes nothing: paint is told as a
    difference from the picture. Of pictures larger than `core` it sees a shrunk one; what it says of that is enlarged,
    and two more convolutions, which see the picture itself, add to it.

    Args:
        core: side of the pictures that the U-Net sees, in pixels.
        size: S, of the largest pictures; those of `core` are taken, too.
        condition: W.
        width: channels at half of `core`.
        blocks: residual blocks at the smallest size.
    """

    def __init__(self, core: int, size: int, condition: int, width: int, blocks: int) -> None:
        super().__init__()
        self.core = core
        levels = min(LEVELS, int(math.log2(core)) - 2)
        channels = [width * growth for growth in GROWTH[:levels]]
        self.embedding = nn.Linear(2 * condition, CONDITION)
        self.first = nn.Conv2d(3, width, 4, 2, 1)
        self.down = nn.ModuleList(Conditioned(a, b, 4, 2) for a, b in pairwise(channels))
        self.blocks = nn.ModuleList(Residual(channels[-1]) for _ in range(blocks))
        self.up = nn.ModuleList(Conditioned(a + b, b, 3, 1) for a, b in pairwise(channels[::-1]))
        self.full = nn.Conv2d(width + 3, max(width // 2, 4), 3, 1, 1)
        self.last = nn.Conv2d(self.full.out_channels, sum(CHANNELS.values()), 3, 1, 1)
        finer = self.full.out_channels if size > core else 0
        self.finer = nn.Conv2d(finer + 3, finer, 3, 1, 1) if finer else None
        self.finest = nn.Conv2d(finer, self.last.out_channels, 3, 1, 1) if finer else None
        initialise(self)
        for each in (self.last, self.finest):
            if each is not None:
                nn.init.zeros_(each.weight)
        for part in self.modules():
            if isinstance(part, Conditioned):
                nn.init.normal_(part.modulation.weight, std=0.5 / math.sqrt(CONDITION))

    def forward(self, images: Tensor, d: Tensor, y: Tensor) -> Fields:
        condition = F.leaky_relu(self.embedding(torch.cat([d, y], 1)), SLOPE)  # [B, 128]
        seen: list[Tensor] = []
        small = F.avg_pool2d(images, images.shape[-1] // self.core)  # [B, 3, s, s], s = core
        h = F.leaky_relu(self.first(small), SLOPE)  # [B, C, s/2, s/2]
        for stage in self.down:
            seen.append(h)
            h = stage(h, condition)  # [B, 2C, s/4, s/4] ... [B, 6C, s/16, s/16]
        for block in self.blocks:
            h = block(h, condition)  # [B, 6C, s/16, s/16]
        for stage in self.up:
            # [B, 4C, s/8, s/8] ... [B, C, s/2, s/2]
            h = stage(torch.cat([F.interpolate(h, scale_factor=2.0), seen.pop()], 1), condition)
        h = torch.cat([F.interpolate(h, scale_factor=2.0), small.to(h.dtype)], 1)  # [B, C + 3, s, s]
        h = F.leaky_relu(self.full(h), SLOPE)  # [B, C/2, s, s]
        told = self.last(h)  # [B, 12, s, s]
        if self.finer is not None and self.finest is not None and images.shape[-1] > self.core:
            told, h = (F.interpolate(each, images.shape[2:], mode="bilinear") for each in (told, h))
            h = F.leaky_relu(self.finer(torch.cat([h, images.to(h.dtype)], 1)), SLOPE)  # [B, C/2, S, S]
            told = told + self.finest(h)  # [B, 12, S, S]
        told = told.float()
        flow, gain, shift, mask, paint = told.split(list(CHANNELS.values()), 1)
        return Fields(
            REACH * torch.tanh(flow / FLAT),
            torch.tanh(gain / CALM),
            torch.tanh(shift / CALM),
            torch.sigmoid(mask + HIDDEN),
            (images + 2 * torch.tanh(paint)).clamp(-1, 1),
        )


class Conditioned(nn.Module):
    """A convolution, pixel norm, scale and shift by the condition, a leaky rectifier.

    [B, before, S, S], [B, CONDITION] -> [B, after, S / stride, S / stride].
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, kernel, stride, 1)
        self.modulation = nn.Linear(CONDITION, 2 * after)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)  # [B, after, 1, 1] each
        return modulate(self.convolution(h), scale, shift)


class Residual(nn.Module):
    """h + conv3(conditioned(h)), [B, C, S, S]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conditioned(channels, channels, 3, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        moved: Tensor = self.second(self.first(h, condition))
        return h + moved


class FieldDiscriminator(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1] -> verdicts [B, 1, s, s], raw, the head's logits [B, W] (W may be 0), and
    verdicts by attribute [B, W, 2], raw: does the picture look like the real ones without it, with it?

    Spectral norm (Miyato et al. 2018) on all but the head, which learns from real pictures alone. With a head, larger
    pictures are shrunk first; without, verdicts are of parts, and any size is taken.

    Args:
        size: S; s is 4, or S/16 of a larger one.
        outputs: W.
        width: channels of the first convolution; they double up to eight times this.
    """

    def __init__(self, size: int, outputs: int, width: int) -> None:
        super().__init__()
        self.size = size
        count = int(math.log2(size)) - 2 if outputs else min(LEVELS, int(math.log2(size)) - 2)
        channels = [3, *(width * min(2**level, 8) for level in range(count))]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(channels))
        self.verdict = nn.Conv2d(channels[-1], 1, 3, 1, 1)
        features = channels[-1] * (size >> count) ** 2
        self.head = nn.Linear(features, outputs) if outputs else None
        self.branches = nn.Linear(features, 2 * outputs) if outputs else None
        self.register_buffer("shares", torch.full((outputs,), 0.5))  # of real pictures, by attribute
        initialise(self)
        for layer in (*self.layers, self.verdict, *([self.branches] if self.branches else [])):
            spectral_norm(layer)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = images if self.head is None else F.avg_pool2d(images, images.shape[-1] // self.size)
        for layer in self.layers:
            h = F.leaky_relu(layer(h), SLOPE)  # [B, C, S/2, S/2] ... [B, 8C, s, s]
        logits, branches = h.new_zeros(len(h), 0), h.new_zeros(len(h), 0)
        if self.head is not None and self.branches is not None:
            logits, branches = self.head(h.flatten(1)), self.branches(h.flatten(1))
        by_attribute = branches.float().view(*logits.shape, 2)
        # [B, 1, s, s], [B, W], [B, W, 2]
        return LOUD * self.verdict(h).float(), logits.float(), BRANCHES_LOUD * by_attribute


class ShrinkingClassifier(Classifier):
    """A classifier of pictures of its size S, or of whole multiples of it, which are shrunk first."""

    def __init__(self, image_size: int, outputs: int, width: int) -> None:
        super().__init__(image_size, outputs, width)
        self.image_size = image_size

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(F.avg_pool2d(images, images.shape[-1] // self.image_size))  # [B, W], [B, 256]


class Teacher(nn.Module):
    """A trained attribute classifier (judge), frozen: pictures [B, 3, S, S] in [-1, 1] -> attributes [B, W].

    Probabilities, and of real attributes the values.

    Attributes:
        knows: bool [W]; the other columns are NaN.

    Args:
        path: of its file.
        schema: of the data, W columns.

    Raises:
        AttrimorphError: there is no such file, or it tells none of the attributes.
    """

    knows: Tensor
    places: Tensor

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__()
        try:
            with safe_open(str(path), framework="pt") as file:
                header = words_of(file.metadata() or {})
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            self.size, known = int(header["image_size"]), Schema.from_json(header["schema"])
            self.schema, self.temperature = known, float(header.get("temperature", 1))
            self.trunk = StridedTrunk(self.size, header["stages"])
            self.last = nn.Linear(self.trunk.features, len(tensors["last.bias"]))
            missing = self.load_state_dict(tensors, strict=False).missing_keys
            if lost := [name for name in missing if "batches" not in name]:
                raise KeyError(lost[0])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise AttrimorphError(
                f"losses.teacher must be files of attribute classifiers; {path} is none that can be read "
                f"({str(error)[:120]}); make one with `attrimorph judge DATA --out FILE`"
            ) from error
        places = [-1] * schema.width
        for attribute in schema.attributes:
            same = [each for each in known.attributes if each.key == attribute.key]
            if same and (same[0].mean, same[0].scale) == (attribute.mean, attribute.scale):
                for place in range(*schema.columns(attribute.name).indices(schema.width)):
                    places[place] = known.column_names.index(schema.column_names[place])
        if max(places, default=-1) < 0:
            raise AttrimorphError(
                f"losses.teacher must know attributes of the data, by name, kind and values; the data have "
                f"{few(schema.attributes)}; {path} knows {few(known.attributes)}; train one on such data"
            )
        self.register_buffer("places", torch.tensor(places).clamp(min=0))
        self.register_buffer("knows", torch.tensor(places) >= 0)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.size:
            shrunk = images.shape[-1] > self.size
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=shrunk)
        found = answers(self.last(self.trunk(images)).float(), self.schema, self.temperature)[:, self.places]
        return torch.where(self.knows, found, torch.nan)  # [B, W]


def kept_networks(recipe: RetouchRecipe, schema: Schema, found: Collection[str] = ()) -> dict[str, nn.Module]:
    """Build the networks that a model file must hold, with fresh weights; `found` are those that it holds."""
    options, core = recipe.networks, recipe.core_size
    return {
        "editor": EditorNetwork(core, recipe.field_size, schema.width, options.editor_width, options.blocks),
        "classifier": ShrinkingClassifier(core, schema.width, options.classifier_width),
    }
