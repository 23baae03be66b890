"""Sample: new images from codes drawn at random."""

from attrimorph.data.schema import Changes
from attrimorph.models.model import Model, Sample


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
