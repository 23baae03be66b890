"""Sample: new images from codes drawn at random."""

from collections.abc import Mapping
from pathlib import Path

from attrimorph.applications.receipt import Written, write_result
from attrimorph.data.schema import Changes
from attrimorph.models.codes import Sample
from attrimorph.models.model import Model
from attrimorph.pictures import grid


def sample(model: Model, count: int = 16, *, seed: int = 0, changes: Changes | None = None) -> Sample:
    """Draw codes and decode them.

    Args:
        model: any.
        count: how many images.
        seed: the same seed gives the same images.
        changes: attribute -> strength, put on every drawn code; 1 sets it, -1 takes it away.
    """
    code = model.draw(count, changes, seed=seed)
    return Sample(model.decode(code), code)


def write_sample(
    model: Model,
    out: Path,
    *,
    named: str | Path,
    count: int = 16,
    seed: int = 0,
    changes: Mapping[str, float] | None = None,
) -> Written:
    """Sample and write a grid and its receipt; `named` is the model as the user named it."""
    result = sample(model, count, seed=seed, changes=changes)
    return write_result(
        out,
        "sample",
        model,
        {"": grid(result.images, cell=max(96, model.image_size))},
        named=named,
        arguments={"count": count, "seed": seed, "changes": dict(changes or {})},
    )
