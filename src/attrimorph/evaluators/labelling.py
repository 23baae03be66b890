"""Labels of pictures that have none, as a judge tells them; what it is not sure of is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attrimorph.data import attributes_csv, raw_table
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import decisions
from attrimorph.evaluators.evaluator import BATCH
from attrimorph.evaluators.judge import Judge
from attrimorph.files import write_bytes
from attrimorph.pictures import png_bytes, sheet

SHOWN = 4  # pictures of each kind and attribute on a sheet
KINDS = ("surely with", "hardly with", "hardly without", "surely without")


@dataclass(frozen=True)
class Labels:
    """What a judge tells of data.

    Attributes:
        data: the pictures.
        judge: who tells.
        probabilities: [N, W]; of a real attribute its value.
        y: [N, W] in the judge's schema; NaN where it is not sure.
    """

    data: PreparedData
    judge: Judge
    probabilities: Tensor
    y: Tensor

    def table(self) -> bytes:
        """Return a CSV file that `data prepare --table` reads: file, split, identity, and every attribute."""
        identity = [None if number < 0 else number for number in self.data.identity.tolist()]
        values = raw_table(self.judge.schema, self.y).values()
        return attributes_csv(self.judge.schema, [self.data.files, self.data.split.tolist(), identity, *values])

    def sheet(self) -> Image.Image:
        """Return one row for each binary attribute or value: the surest and the least sure pictures, with and without.

        Looked at by a person, it says which labels to trust.
        """
        rows, names = [], []
        for kind, start, stop in self.judge.schema.blocks:
            for column in range(start, stop) if kind != "real" else ():
                order = self.probabilities[:, column].argsort(descending=True)
                held = int((self.probabilities[:, column] > 0.5).sum())
                with_it, without = order[:held], order[held:]
                chosen = [with_it[:SHOWN], with_it[-SHOWN:], without[:SHOWN], without[-SHOWN:]]
                places = torch.cat([part.new_full((SHOWN,), -1).scatter(0, torch.arange(len(part)), part)
                                    for part in chosen])  # fmt: skip
                pictures = self.data.batch(places.clamp(min=0).numpy())[0]
                rows.append(torch.where(places[:, None, None, None] < 0, 1.0, pictures))
                names.append(self.judge.schema.column_names[column])
        words = [kind if place == 0 else "" for kind in KINDS for place in range(SHOWN)]
        return sheet(rows, columns=words, labels=names, cell=64)

    def save(self, out: Path) -> tuple[Path, ...]:
        """Write the table, and the sheet beside it where there is something to see; return what was written."""
        write_bytes(out, self.table())
        if all(kind == "real" for kind, _, _ in self.judge.schema.blocks):
            return (out,)
        picture = out.with_suffix(".png")
        write_bytes(picture, png_bytes(self.sheet()))
        return out, picture

    def counts(self) -> list[tuple[str, int, int, int]]:
        """Return for each column that is not real how many have it, have it not, and are left out."""
        real = {
            column for kind, start, stop in self.judge.schema.blocks if kind == "real" for column in range(start, stop)
        }
        found = []
        for column, name in enumerate(self.judge.schema.column_names):
            if column not in real:
                y = self.y[:, column]
                found.append((name, int((y == 1).sum()), int((y == 0).sum()), int(y.isnan().sum())))
        return found


def label(
    judge: Judge, data: PreparedData, threshold: float, progress: Callable[[int, int], None] | None = None
) -> Labels:
    """Let a judge label data.

    Args:
        judge: of the data's image size.
        data: to label; labels of its own stay out of it.
        threshold: probability, 0.5..1, that a value must have to be written; a real value is always.
        progress: called with (done, total).

    Raises:
        AttrimorphError: a threshold out of range, or pictures of another size.
    """
    if not 0.5 <= threshold <= 1:
        raise AttrimorphError(f"threshold must lie in 0.5..1; got {threshold:g}; 0.5 keeps every label, try 0.9")
    if data.image_size != judge.image_size:
        raise AttrimorphError(
            f"{judge.name} looks at pictures of {judge.image_size} pixels; these have {data.image_size}; prepare them "
            f"with --image-size {judge.image_size}, or name the folder that they come from"
        )
    told = []
    for start in range(0, len(data), BATCH):
        told.append(judge(data.batch(np.arange(start, min(start + BATCH, len(data))))[0]))
        if progress:
            progress(min(start + BATCH, len(data)), len(data))
    probabilities = torch.cat(told)
    y = decisions(probabilities, judge.schema)
    for attribute in judge.schema.attributes:
        columns = judge.schema.columns(attribute.name)
        part = probabilities[:, columns]
        if attribute.kind == "binary":
            y[:, columns] = torch.where(torch.maximum(part, 1 - part) < threshold, torch.nan, y[:, columns])
        elif attribute.kind == "categorical":
            y[:, columns] = torch.where(part.amax(1, keepdim=True) < threshold, torch.nan, y[:, columns])
    return Labels(data, judge, probabilities, y)
