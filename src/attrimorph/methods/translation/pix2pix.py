"""pix2pix (Isola, Zhu, Zhou, Efros, CVPR 2017): a generator from a source image to the image that belongs to it.

    L_G = -log D(s, G(s)) + 100 |G(s) - x|,  L_D = 1/2 (-log D(s, x) - log(1 - D(s, G(s))))
D is a PatchGAN that is shown the source s as well. G's only noise is dropout.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph import losses
from attrimorph.data import Schema
from attrimorph.data.loader import Batch
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.methods.base import Algorithm, seeded
from attrimorph.methods.translation.domains import edited_attribute, paired_rows, pairs, source_of
from attrimorph.methods.translation.networks import PatchDiscriminator, kept_networks
from attrimorph.methods.translation.recipe import TranslationRecipe


class Pix2Pix(Algorithm):
    """pix2pix: "generator" and "discriminator".

    Attributes:
        source: where sources come from: "pairs" (rows 2k and 2k + 1 of a batch belong together; the one without the
            attribute is the source), or made of the image itself: its "mask", "grey" or "edges".
        column: of y that tells the source (0) from the image (1) in pairs.
    """

    kept = ("generator",)

    def __init__(self, recipe: TranslationRecipe, schema: Schema, *parts: Any, **arithmetic: Any) -> None:
        super().__init__(recipe, schema, *parts, **arithmetic)
        self.source, self.l1 = recipe.domains.source, recipe.losses.l1
        paired = self.source == "pairs"
        self.column = schema.columns(edited_attribute(recipe, schema)).start if paired else 0

    @staticmethod
    def fresh(recipe: TranslationRecipe, schema: Schema) -> dict[str, nn.Module]:
        """As of `Algorithm`."""
        width = recipe.networks.discriminator_width
        return kept_networks(recipe, schema) | {"discriminator": PatchDiscriminator(6, width)}

    @staticmethod
    def rows(recipe: TranslationRecipe, data: PreparedData) -> NDArray[np.int64]:
        """As of `Algorithm`: pairs, or any images that a source can be made of."""
        if recipe.domains.source == "pairs":
            return paired_rows(recipe, data)
        if recipe.domains.source == "mask" and data.masks is None:
            raise AttrimorphError(
                "domains.source mask needs data with masks; these have none; "
                "take grey or edges, or find masks with attrimorph data mask"
            )
        return data.indices("train")

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step on images and what their sources are made of; see `Algorithm`."""
        source, x = (
            pairs(batch, self.column) if self.source == "pairs" else (source_of(batch, self.source), batch.images)
        )
        self.forget_gradients()
        g, d = self.networks["generator"], self.networks["discriminator"]
        # Isola et al. 2017, eq. 4: eq. 1, the conditional GAN's, and 100 times eq. 3, L1; D's is halved (section 3.3)
        with self.arithmetic(), seeded(generator, x.device):
            made = g(source).float()
            verdict = d(torch.cat([source, made], dim=1)).float()
            values = {"fool": losses.non_saturating(verdict), "l1": losses.mean_absolute_error(made, x)}
            total = values["fool"] + self.l1 * values["l1"]
            total.backward(inputs=list(g.parameters()))  # type: ignore[no-untyped-call]
            shown = torch.cat([torch.cat([source, x], dim=1), torch.cat([source, made.detach()], dim=1)])
            of_real, of_made = d(shown).float().chunk(2)
            values["discriminator"] = 0.5 * losses.real_or_fake(of_real, [of_made])
            values["discriminator"].backward(inputs=list(d.parameters()))  # type: ignore[no-untyped-call]
        self.update()
        return {name: value.detach() for name, value in values.items()}
