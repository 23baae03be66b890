"""The published networks: shapes, layers, parameter counts from the papers' tables, what batch norm does."""

import copy

import pytest
import torch
from torch import Tensor, nn

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.networks import PAPER, networks_of
from attrimorph.methods.cvae_gan.recipe import RECIPES, NetworkOptions, Recipe
from attrimorph.methods.cvae_gan.step import CVAEGAN
from attrimorph.networks.convolutional import LOGVAR_RANGE
from attrimorph.recipe import DataOptions

CONDITION, LATENT = 40, 256
WIDTHS = {f"{name}_width" for name in ("encoder", "generator", "discriminator", "classifier")}
PAPER_WIDTHS = RECIPES["cvae-gan-paper"]().networks.model_dump(include=WIDTHS)
SCHEMA = Schema(tuple(Attribute(f"attribute {number}") for number in range(CONDITION)))


def published(
    *, image_size: int = 128, judged: bool = False, widths: dict[str, int] | None = None
) -> dict[str, nn.Module]:
    recipe = Recipe(
        name="paper",
        method="cgan" if judged else "cvae-gan",
        data=DataOptions(image_size=image_size),
        networks=NetworkOptions(kind="paper", latent=LATENT, **(widths or PAPER_WIDTHS)),
    )
    return networks_of(recipe, SCHEMA, PAPER)


def narrow(judged: bool = False) -> dict[str, nn.Module]:
    """The same layers with an eighth of the channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return published(judged=judged, widths={name: width // 8 for name, width in PAPER_WIDTHS.items()})


def inputs(count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 128, 128, generator=generator) * 2 - 1
    return images, torch.rand(count, CONDITION, generator=generator), torch.randn(count, LATENT, generator=generator)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def test_shapes_of_the_published_size() -> None:
    networks = published(judged=True)
    images, y, z = inputs()
    mean, logvar = networks["encoder"](images, y)
    assert mean.shape == logvar.shape == (2, LATENT)
    low, high = LOGVAR_RANGE
    assert low <= logvar.min() <= logvar.max() <= high
    made = networks["generator"](z, y)
    assert made.shape == (2, 3, 128, 128)
    assert made.abs().max() <= 1
    logits, f_d = networks["discriminator"](images, y)
    assert (logits.shape, f_d.shape) == ((2, 1), (2, 8192))
    outputs, f_c = networks["classifier"](images)
    assert (outputs.shape, f_c.shape) == ((2, CONDITION), (2, 4096))


def normed(kernel: int, before: int, after: int) -> int:
    """A convolution without bias and its batch norm."""
    return kernel * kernel * before * after + 2 * after


def inception(before: int, one: int, r3: int, three: int, r5: int, five: int, pool: int) -> int:
    return (
        normed(1, before, one)
        + normed(1, before, r3)
        + normed(3, r3, three)
        + normed(1, before, r5)
        + normed(5, r5, five)
        + normed(1, before, pool)
    )


def test_parameter_counts_from_the_published_tables() -> None:
    with torch.device("meta"):
        found = {name: parameters(network) for name, network in published().items()}
    # Going deeper with convolutions, table 1, whose input channels are the sums of the row before.
    encoder = (
        normed(7, 3, 64)
        + normed(1, 64, 64)
        + normed(3, 64, 192)
        + inception(192, 64, 96, 128, 16, 32, 32)
        + inception(256, 128, 128, 192, 32, 96, 64)
        + inception(480, 192, 96, 208, 16, 48, 64)
        + inception(512, 160, 112, 224, 24, 64, 64)
        + inception(512, 128, 128, 256, 24, 64, 64)
        + inception(512, 112, 144, 288, 32, 64, 64)
        + inception(528, 256, 160, 320, 32, 128, 128)
        + inception(832, 256, 160, 320, 32, 128, 128)
        + inception(832, 384, 192, 384, 48, 128, 128)
    )
    assert encoder == 5_980_832
    assert found["encoder"] == encoder + (1024 + CONDITION + 1) * 2 * LATENT == 6_526_112
    generator = (
        (LATENT + CONDITION + 1) * 1024
        + 1025 * 256 * 4
        + normed(3, 256, 256) * 2
        + normed(5, 256, 128)
        + normed(5, 128, 92)
        + normed(5, 92, 64)
        + 25 * 64 * 3
        + 3
    )
    assert found["generator"] == generator == 3_497_467 + (LATENT + CONDITION) * 1024 == 3_800_571
    discriminator = (
        16 * 3 * 64
        + 64
        + normed(4, 64, 128)
        + normed(4, 128, 256)
        + normed(4, 256, 512)
        + normed(4, 512, 512)
        + 512 * 16
        + 1
    )
    assert found["discriminator"] == discriminator == 6_960_961
    classifier = (
        normed(11, 3, 96)
        + normed(5, 96, 256)
        + normed(3, 256, 384)
        + normed(3, 384, 384)
        + normed(3, 384, 256)
        + (256 * 9 + 1) * 4096
        + 4097 * 4096
    )
    assert found["classifier"] == classifier + 4097 * CONDITION == 29_971_168 + 4097 * CONDITION == 30_135_048


def test_a_judge_with_condition_has_its_projection_besides() -> None:
    with torch.device("meta"):
        assert parameters(published(judged=True)["discriminator"]) == 6_960_961 + CONDITION * 8192


def test_batch_norm_follows_every_convolution_but_the_excepted() -> None:
    with torch.device("meta"):
        networks = published()
    convolutions = {
        name: sum(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in network.modules())
        for name, network in networks.items()
    }
    norms = {
        name: sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) for name, network in networks.items()
    }
    # GoogLeNet: 3 + 9 x 6. G lacks the last norm, D the first.
    assert (convolutions["encoder"], norms["encoder"]) == (57, 57)
    assert (convolutions["generator"], norms["generator"]) == (6, 5)
    assert (convolutions["discriminator"], norms["discriminator"]) == (5, 4)
    assert (convolutions["classifier"], norms["classifier"]) == (5, 5)


def test_the_generator_has_the_published_kernels_and_channels() -> None:
    with torch.device("meta"):
        generator = published()["generator"]
    layers = [part for part in generator.modules() if isinstance(part, nn.ConvTranspose2d)]
    assert [layer.kernel_size[0] for layer in layers] == [3, 3, 5, 5, 5, 5]
    assert [layer.out_channels for layer in layers] == [256, 256, 128, 92, 64, 3]


@torch.no_grad()
def test_in_evaluation_an_image_alone_gives_what_it_gives_in_a_batch() -> None:
    networks = narrow(judged=True)
    images, y, z = inputs(count=3)
    for network, arguments in (
        (networks["encoder"], (images, y)),
        (networks["generator"], (z, y)),
        (networks["discriminator"], (images, y)),
        (networks["classifier"], (images,)),
    ):
        network.eval()
        together, alone = network(*arguments), network(*(argument[:1] for argument in arguments))
        if isinstance(together, Tensor):
            together, alone = (together,), (alone,)
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[:1], b, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_condition_is_seen() -> None:
    networks = narrow(judged=True)
    images, y, z = inputs()
    assert not torch.allclose(networks["encoder"](images, y)[0], networks["encoder"](images, 1 - y)[0])
    assert not torch.allclose(networks["generator"](z, y), networks["generator"](z, 1 - y))
    assert not torch.allclose(networks["discriminator"](images, y)[0], networks["discriminator"](images, 1 - y)[0])


@torch.no_grad()
def test_initial_weights_are_as_documented() -> None:
    networks = published()
    generator, encoder = networks["generator"], networks["encoder"]
    for part in generator.modules():
        if isinstance(part, nn.ConvTranspose2d) and part.weight.numel() > 10_000:
            assert part.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for part in encoder.modules():
        if isinstance(part, nn.Conv2d) and part.weight.numel() > 10_000:
            fan_in = part.in_channels * part.kernel_size[0] ** 2
            assert part.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


def test_other_sizes_are_refused() -> None:
    for image_size in (64, 256):
        with pytest.raises(AttrimorphError, match=f"image_size must be 128 for the paper's networks; got {image_size}"):
            published(image_size=image_size)


@pytest.mark.parametrize("method", ["cvae-gan", "ac-gan", "wgan-gp", "fm-cgan", "vae-gan"])
def test_running_averages_are_those_of_real_images_alone(method: str) -> None:
    """At test time they stand in for a batch: one of made images in three would spoil them."""
    widths = {name: width // 8 for name, width in PAPER_WIDTHS.items()}
    networks = NetworkOptions(kind="paper", latent=8, **widths)
    recipe = Recipe(name="paper", method=method, data=DataOptions(image_size=128), networks=networks)
    algorithm = CVAEGAN.build(recipe, SCHEMA)
    before = copy.deepcopy(algorithm.networks)
    images, y, _ = inputs(count=4)
    algorithm.step(Batch(images, y.round()), torch.Generator().manual_seed(0))
    shown = y.round() if algorithm.method.conditional else y[:, :0]
    for name in set(algorithm.networks) & {"encoder", "discriminator", "classifier"}:
        other = before[name]
        with torch.no_grad():
            other(images, *{"encoder": (shown,), "discriminator": (y[:, :0],), "classifier": ()}[name])
        found, expected = dict(algorithm.networks[name].named_buffers()), dict(other.named_buffers())
        assert found
        for key, value in expected.items():
            assert torch.equal(found[key], value), (name, key)
        # Later, in training and in evaluation, they are what they were.
        assert all(part.track_running_stats for part in algorithm.networks[name].modules() if hasattr(part, "momentum"))
