"""Detail: edits that keep of an image what the model cannot reconstruct."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import avg_pool2d

from attrimorph.applications.inputs import editor
from attrimorph.models.codes import Encodes
from attrimorph.models.model import Model

FAINT, PLAIN = 0.06, 0.3  # of the scale of [-1, 1]


def with_detail(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Put what changed between two pictures of a model onto the images that they stand for: x + after - before.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        before, after: what the model makes of them, unedited and edited.

    Returns:
        [B, 3, S, S] in [-1, 1] on the CPU.
    """
    return (images.cpu() + after.cpu() - before.cpu()).clamp(-1, 1)


def blended(images: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """As `with_detail`, but where much changes the edited picture itself: (1 - w) (x + after - before) + w after.

    What is taken away (glasses, a beard) lies elsewhere by a pixel in a picture that an inversion found; its difference
    alone would leave a ghost. w rises from 0 to 1 with the mean change of the neighbourhood, from FAINT to PLAIN.

    Arguments and result as of `with_detail`.
    """
    images, before, after = images.cpu(), before.cpu(), after.cpu()
    size = (after - before).abs().mean(1, keepdim=True)
    for _ in range(2):
        size = avg_pool2d(size, 5, 1, 2, count_include_pad=False)
    w = ((size - FAINT) / (PLAIN - FAINT)).clamp(0, 1)
    return ((1 - w) * (images + after - before) + w * after).clamp(-1, 1)


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
