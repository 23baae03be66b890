"""Sets of networks that fit one another, by name: "small" for CPUs, "paper" as published."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from torch import nn

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.networks import convolutional, paper, prior

Kind = Literal["small", "paper"]
Build = Callable[..., nn.Module]

SMALL: dict[str, Build] = {
    "encoder": convolutional.Encoder,
    "generator": convolutional.Generator,
    "discriminator": convolutional.Discriminator,
    "classifier": convolutional.Classifier,
    "code_discriminator": convolutional.CodeJudge,
    "code_classifier": convolutional.CodeJudge,
    "prior": prior.FittedPrior,
}

PAPER: dict[str, Build] = {
    "encoder": paper.Encoder,
    "generator": paper.Generator,
    "discriminator": paper.Discriminator,
    "classifier": paper.Classifier,
    "code_discriminator": convolutional.CodeJudge,
    "code_classifier": convolutional.CodeJudge,
    "prior": prior.FittedPrior,
}

KINDS: dict[str, dict[str, Build]] = {"small": SMALL, "paper": PAPER}

PAPER_WIDTHS: dict[str, int] = {
    "encoder_width": 64,
    "generator_width": 64,
    "discriminator_width": 64,
    "classifier_width": 96,
}
"""The widths at which the "paper" set is the published one."""


def build_networks(
    names: Iterable[str],
    *,
    kind: Kind,
    image_size: int,
    attributes: int,
    conditional: bool,
    judged_with_condition: bool,
    latent: int,
    encoder_width: int,
    generator_width: int,
    discriminator_width: int,
    classifier_width: int,
) -> dict[str, nn.Module]:
    """Build the named networks, in the order of the names, with fresh weights from torch's default generator.

    Args:
        names: of "encoder", "generator", "discriminator", "classifier", "code_discriminator",
            "code_classifier", "prior".
        kind: "small" or "paper".
        image_size: S of the images [B, 3, S, S]; a power of two of at least 16, for "paper" 128.
        attributes: columns of y.
        conditional: E and G are given y.
        judged_with_condition: D is given y.
        latent: columns of z.
        encoder_width, generator_width, discriminator_width, classifier_width: channels of the layer next to the
            images; the published networks have `PAPER_WIDTHS`.

    Raises:
        AttrimorphError: the kind, a name or the size is not one of these.
    """
    if kind not in KINDS:
        raise AttrimorphError(f"there are no {kind!r} networks; {suggestion(kind, KINDS)}")
    condition = attributes if conditional else 0
    arguments: Mapping[str, tuple[int, ...]] = {
        "encoder": (image_size, condition, latent, encoder_width),
        "generator": (image_size, condition, latent, generator_width),
        "discriminator": (image_size, attributes if judged_with_condition else 0, discriminator_width),
        "classifier": (image_size, attributes, classifier_width),
        "code_discriminator": (latent,),
        "code_classifier": (latent, attributes),
        "prior": (latent,),
    }
    networks: dict[str, nn.Module] = {}
    for name in names:
        if name not in arguments:
            raise AttrimorphError(f"there is no network {name!r}; {suggestion(name, arguments)}")
        networks[name] = KINDS[kind][name](*arguments[name])
    return networks
