"""Edits looked at closely: how far from the true counterfactual, from the person before, from the background before."""

import torch
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import SeesMaps
from attrimorph.metrics.similarity import maps_distance, psnr

TARGET = 0.04  # a pixel is in the target area where the truth differs from the input by more than this
BACKGROUND = 0.1  # of the mask: its soft edge is the person's
BATCH = 128

# The keys of what is looked at closely.
PSNR, PSNR_TARGET, PSNR_REST = "edit.psnr", "edit.psnr_inside", "edit.psnr_outside"
DISTANCE = "edit.perceptual_distance"
DISTANCE_TARGET, DISTANCE_REST = f"{DISTANCE}_inside", f"{DISTANCE}_outside"
JUDGE_ERROR = "truth.judge_error"
IDENTITY, TRUE_IDENTITY = "edit.identity_drift", "truth.identity_drift"
BACKGROUND_DRIFT = "edit.background_drift"


def close_figures(
    unseen: EvaluationSet,
    rows: Tensor,
    edited: Tensor,
    true_factors: Tensor | None,
    identity_encoder: IdentityEncoder | None,
    extractor: SeesMaps | None,
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Measure edits one by one.

    Args:
        unseen: the images, and their reconstructions, which drifts are counted from, where a model encodes.
        rows: which of them were edited, [m].
        edited: [m, 3, S, S].
        true_factors: of the true counterfactuals of drawn faces, [m, F], else None.
        identity_encoder: who tells people, or None.
        extractor: whose feature maps two images are compared in, or None.

    Returns:
        Figures by name, each [m], NaN where there is no such area, and the pictures of the truth.
    """
    figures: dict[str, Tensor] = {}
    images, true = unseen.images[rows], None
    before = images if unseen.reconstructions is None else unseen.reconstructions[rows]
    masks = None if unseen.masks is None else unseen.masks[rows]
    if true_factors is not None:
        layers = faces.render_layers(true_factors, edited.shape[-1])
        true = layers.image
        masks = None if masks is None else torch.maximum(masks, layers.mask)
        figures |= zip((PSNR, PSNR_TARGET, PSNR_REST), counterfactual_psnr(images, edited, true), strict=True)
        if extractor is not None:
            distances = counterfactual_distance(extractor, images, edited, true)
            figures |= zip((DISTANCE, DISTANCE_TARGET, DISTANCE_REST), distances, strict=True)
    if identity_encoder is not None:
        figures[IDENTITY] = identity_drift(identity_encoder, before, edited)
        if true is not None:
            figures[TRUE_IDENTITY] = identity_drift(identity_encoder, images, true)
    if masks is not None:
        figures[BACKGROUND_DRIFT] = background_drift(before, edited, masks)
    return figures, true


def target_area(images: Tensor, true: Tensor) -> Tensor:
    """Return where the truth differs from the input, float [m, 1, S, S] in {0, 1}."""
    return ((true - images).abs().amax(1, keepdim=True) > TARGET).float()


def counterfactual_psnr(images: Tensor, edited: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PSNR of edits against the truth: everywhere, where the truth differs from the input, and elsewhere.

    Args:
        images, edited, true: [B, 3, S, S] in [-1, 1].

    Returns:
        Three of [B] in dB; NaN where there is no such area.
    """
    inside = target_area(images, true)
    return psnr(edited, true), psnr(edited, true, inside), psnr(edited, true, 1 - inside)


@torch.no_grad()
def counterfactual_distance(
    extractor: SeesMaps, images: Tensor, edited: Tensor, true: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Perceptual distance of edits from the truth: everywhere, where the truth differs from the input, and elsewhere.

    Arguments and result as of `counterfactual_psnr`.
    """
    found = []
    for parts in zip(*(torch.split(each, BATCH) for each in (images, edited, true)), strict=True):
        inside = target_area(parts[0], parts[2])
        maps, others = extractor.maps(parts[1]), extractor.maps(parts[2])
        areas = (None, inside, 1 - inside)
        found.append(torch.stack([maps_distance(maps, others, area).cpu() for area in areas]))
    everywhere, target, rest = torch.cat(found, 1)
    return everywhere, target, rest


def identity_drift(identity_encoder: IdentityEncoder, before: Tensor, after: Tensor) -> Tensor:
    """Return 1 - the cosine of an identity encoder's features, [B], 0..2; 0 = the same person.

    Args:
        identity_encoder: who tells people.
        before, after: [B, 3, S, S] in [-1, 1].
    """
    return 1 - (identity_encoder.features(before) * identity_encoder.features(after)).sum(1).cpu()


def background_drift(before: Tensor, after: Tensor, masks: Tensor) -> Tensor:
    """Return the mean absolute change of the background in 1/255, [B]; NaN where there is none.

    Args:
        before, after: [B, 3, S, S] in [-1, 1].
        masks: [B, 1, S, S] in 0..1, 1 = foreground, before or after.
    """
    background = (masks < BACKGROUND).double()
    change = (after - before).abs().double().mean(1, keepdim=True) * 127.5
    return (change * background).sum((1, 2, 3)) / background.sum((1, 2, 3))
