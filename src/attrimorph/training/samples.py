"""Sample sheets: the same codes and the same test images at every stage of a run."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from attrimorph.algorithms.terms import METHODS
from attrimorph.data.loader import generator_for
from attrimorph.data.prepared import PreparedData
from attrimorph.pictures import grid, write_png
from attrimorph.recipes.options import Recipe

COLUMNS, ROWS = 8, 3


class SampleSheet:
    """Writes `samples/000020000.png`: held-out images over their reconstructions, then samples from the prior.

    Args:
        folder: the run's.
        data: prepared; the held-out images are of "valid", "test" or "train", the first that has any.
        recipe: the run.
    """

    def __init__(self, folder: Path, data: PreparedData, recipe: Recipe) -> None:
        self.folder = folder / "samples"
        rows = next(r for r in (data.indices(split) for split in ("valid", "test", "train")) if len(r))[:COLUMNS]
        self.images, labels = data.batch(rows)
        self.attributes = torch.where(torch.isnan(labels), data.schema.blank, labels)
        generator = generator_for(recipe.training.seed, 2)
        self.z = torch.randn(COLUMNS * ROWS, recipe.networks.latent, generator=generator)
        many = data.attributes[data.indices("train")[: COLUMNS * ROWS]]
        many = torch.where(torch.isnan(many), data.schema.blank, many)
        self.sample_attributes = many[torch.arange(COLUMNS * ROWS) % len(many)]
        if not METHODS[recipe.method].conditional:
            self.attributes, self.sample_attributes = self.attributes[:, :0], self.sample_attributes[:, :0]

    @torch.inference_mode()
    def write(self, networks: Mapping[str, nn.Module], images_seen: int) -> None:
        """Write one sheet with the averaged networks."""
        device = next(networks["generator"].parameters()).device
        rows = []
        if "encoder" in networks:
            y = self.attributes.to(device)
            mean, _ = networks["encoder"](self.images.to(device), y)
            rows += [self.images, networks["generator"](mean, y).float().cpu()]
        rows.append(networks["generator"](self.z.to(device), self.sample_attributes.to(device)).float().cpu())
        write_png(self.folder / f"{images_seen:09d}.png", grid(torch.cat(rows), columns=COLUMNS))
