"""Detail: edits that keep of an image what the model cannot reconstruct."""

from collections.abc import Mapping

from torch import Tensor

from attrimorph.applications.inputs import editor
from attrimorph.models import Encodes, Model


def with_detail(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Put what changed between two pictures of a model onto the images that they stand for: x + after - before.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.

    Returns:
        [B, 3, S, S] in [-1, 1] on the CPU.
    """
    return (images.cpu() + after.cpu() - before.cpu()).clamp(-1, 1)


def edited_with_detail(model: Model, images: Tensor, changes: Mapping[str, float], attributes: Tensor) -> Tensor:
    """Put what an edit changes onto the image itself: x + G(z, y') - G(z, y).

    What the model cannot reconstruct (grain, background, fine detail) stays. A model that does not encode gives its
    edits as they are.

    Args:
        model: one that edits.
        images: [B, 3, S, S] in [-1, 1].
        changes: see `Schema.edit`.
        attributes: [B, W] of the images.

    Returns:
        [B, 3, S, S] in [-1, 1].
    """
    edits = editor(model, "edit")
    if not isinstance(model, Encodes):
        return edits.edit(images, changes, attributes).cpu()
    after, before = edits.edit(images, changes, attributes), edits.edit(images, dict.fromkeys(changes, 0.0), attributes)
    return with_detail(images, before, after)
