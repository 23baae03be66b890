"""Sample sheets: the same codes and the same test images at every stage of a run, whatever the method."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attrimorph.data.loader import generator_for
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.loading import assemble, parse_header
from attrimorph.pictures import grid, write_png

COLUMNS, ROWS = 8, 3


class SampleSheet:
    """Writes `samples/000020000.png`: held-out images, over them reconstructed or edited, then samples.

    Args:
        folder: the run's.
        data: prepared; the held-out images are of "valid", "test" or "train", the first that has any.
        seed: of the samples.
    """

    def __init__(self, folder: Path, data: PreparedData, seed: int) -> None:
        self.folder, self.seed = folder / "samples", seed
        rows = next(r for r in (data.indices(split) for split in ("valid", "test", "train")) if len(r))[:COLUMNS]
        self.images, self.attributes = data.batch(rows)
        self.masks = None if data.masks is None else torch.from_numpy(data.masks[rows])[:, None].float() / 255

    @torch.inference_mode()
    def write(self, networks: Mapping[str, nn.Module], header: Mapping[str, Any], images_seen: int) -> None:
        """Write one sheet with the averaged networks, which stay as they are."""
        device = str(next(next(iter(networks.values())).parameters()).device)
        model = assemble(copy.deepcopy(dict(networks)), parse_header(header), device, "")
        rows = model.sheet_rows(self.images, self.attributes, self.masks)
        # Some models only change images that they are given.
        with suppress(AttrimorphError):
            codes = model.sample_codes(COLUMNS * ROWS, generator_for(self.seed, 2))
            rows.append(model.decode(codes).cpu())
        write_png(self.folder / f"{images_seen:09d}.png", grid(torch.cat(rows), columns=len(self.images)))
