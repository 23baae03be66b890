"""The small set: shapes, parameter counts, and independence of an image from its batch."""

import math

import pytest
import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.methods.cvae_gan.networks import DcganDiscriminator
from attrimorph.networks.convolutional import (
    LOGVAR_RANGE,
    Classifier,
    CodeJudge,
    Discriminator,
    DiscriminatorHeads,
    Encoder,
    Generator,
    MeanCovariance,
    MinibatchDiscrimination,
)

CONDITION, LATENT, WIDTH = 5, 12, 8


def small(
    image_size: int, *, judged: bool = True, conditional: bool = True, width: int = WIDTH
) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "encoder": Encoder(image_size, CONDITION if conditional else 0, LATENT, width),
            "generator": Generator(image_size, CONDITION if conditional else 0, LATENT, width),
            "discriminator": Discriminator(image_size, CONDITION if judged else 0, width),
            "classifier": Classifier(image_size, CONDITION, width),
            "code_discriminator": CodeJudge(LATENT),
            "code_classifier": CodeJudge(LATENT, CONDITION),
        }


def inputs(image_size: int, count: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, image_size, image_size, generator=generator) * 2 - 1
    return images, torch.rand(count, CONDITION, generator=generator), torch.randn(count, LATENT, generator=generator)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("image_size", [16, 32, 64, 128])
def test_shapes(image_size: int) -> None:
    networks = small(image_size)
    images, y, z = inputs(image_size)
    mean, logvar = networks["encoder"](images, y)
    assert mean.shape == logvar.shape == (3, LATENT)
    made = networks["generator"](z, y)
    assert made.shape == images.shape
    assert made.abs().max() <= 1
    features = WIDTH * {16: 2, 32: 4, 64: 8, 128: 8}[image_size] * 16
    logits, f_d = networks["discriminator"](images, y)
    assert (logits.shape, f_d.shape) == ((3, 1), (3, features))
    outputs, f_c = networks["classifier"](images)
    assert (outputs.shape, f_c.shape) == ((3, CONDITION), (3, 256))
    assert networks["code_discriminator"](z).shape == (3, 1)


def counted(image_size: int) -> dict[str, int]:
    """The counts by layers written out: kernels x inputs x outputs + biases."""
    channels = {16: [8, 16], 32: [8, 16, 32], 64: [8, 16, 32, 64], 128: [8, 16, 32, 64, 64]}[image_size]
    pairs = list(zip([3, *channels], channels, strict=False))
    trunk = sum(16 * before * after + after for before, after in pairs)
    top = channels[-1] * 16
    up = list(zip(channels[::-1], channels[-2::-1], strict=False))
    stages = sum(16 * before * after + after + 256 * 2 * after + 2 * after for before, after in up)
    code = LATENT + CONDITION
    return {
        "encoder": trunk + (top + CONDITION) * 2 * LATENT + 2 * LATENT,
        "generator": code * 256 + 256 + (256 + code) * top + top + stages + 16 * 8 * 3 + 3,
        "discriminator": trunk + top + 1 + CONDITION * top,
        "classifier": trunk + top * 256 + 256 + 256 * CONDITION + CONDITION,
        "code_discriminator": LATENT * 256 + 256 + 256 * 256 + 256 + 256 + 1,
        "code_classifier": LATENT * 256 + 256 + 256 * 256 + 256 + (256 + 1) * CONDITION,
    }


COUNTS = {
    32: {
        "encoder": 23112,
        "generator": 167883,
        "discriminator": 13753,
        "classifier": 143293,
        "code_discriminator": 69377,
        "code_classifier": 70405,
    },
    64: {
        "encoder": 68232,
        "generator": 357419,
        "discriminator": 49657,
        "classifier": 307197,
        "code_discriminator": 69377,
        "code_classifier": 70405,
    },
    128: {
        "encoder": 133832,
        "generator": 455915,
        "discriminator": 115257,
        "classifier": 372797,
        "code_discriminator": 69377,
        "code_classifier": 70405,
    },
}


@pytest.mark.parametrize("image_size", [32, 64, 128])
def test_parameter_counts(image_size: int) -> None:
    found = {name: parameters(network) for name, network in small(image_size).items()}
    assert found == counted(image_size)
    assert found == COUNTS[image_size]


def test_an_unconditional_network_has_no_columns_for_y() -> None:
    networks = small(32, conditional=False, judged=False)
    images, y, z = inputs(32)
    networks["encoder"](images, y[:, :0])
    networks["generator"](z, y[:, :0])
    networks["discriminator"](images, y[:, :0])
    conditioned = small(32)
    for name, fewer in (
        ("encoder", CONDITION * 2 * LATENT),
        ("generator", CONDITION * (256 + 512)),
        ("discriminator", CONDITION * 512),
    ):
        assert parameters(conditioned[name]) - parameters(networks[name]) == fewer


def test_the_condition_is_seen() -> None:
    networks = small(32)
    images, y, z = inputs(32)
    assert not torch.allclose(networks["encoder"](images, y)[0], networks["encoder"](images, 1 - y)[0])
    assert not torch.allclose(networks["generator"](z, y), networks["generator"](z, 1 - y))
    assert not torch.allclose(networks["discriminator"](images, y)[0], networks["discriminator"](images, 1 - y)[0])


@torch.no_grad()
def test_an_image_alone_gives_what_it_gives_in_a_batch() -> None:
    networks = small(32)
    images, y, z = inputs(32, count=5)
    for network, arguments in (
        (networks["encoder"], (images, y)),
        (networks["generator"], (z, y)),
        (networks["discriminator"], (images, y)),
        (networks["classifier"], (images,)),
        (networks["code_discriminator"], (z,)),
    ):
        together, alone = network(*arguments), network(*(argument[2:3] for argument in arguments))
        if isinstance(together, Tensor):
            together, alone = (together,), (alone,)
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[2:3], b, rtol=1e-5, atol=1e-5)


def test_the_log_variance_is_clamped() -> None:
    encoder = Encoder(16, 0, LATENT, WIDTH)
    images = inputs(16)[0]
    low, high = LOGVAR_RANGE
    for bias, bound in ((-1e3, low), (1e3, high)):
        torch.nn.init.constant_(encoder.joined.bias, bias)
        mean, logvar = encoder(images, torch.zeros(3, 0))
        assert torch.equal(logvar, torch.full((3, LATENT), bound))
        assert mean.mean().item() == pytest.approx(bias, rel=0.1)


@torch.no_grad()
@pytest.mark.parametrize("image_size", [32, 128])
def test_signals_keep_their_size_through_a_fresh_network(image_size: int) -> None:
    networks = small(image_size, width=16)
    images, y, z = inputs(image_size, count=8)
    mean, _ = networks["encoder"](images, y)
    assert 0.1 < mean.std() < 3
    assert 0.1 < networks["discriminator"](images, y)[1].std() < 3
    assert 0.1 < networks["classifier"](images)[1].std() < 3
    assert 0.02 < networks["generator"](z, y).std() < 0.8


@pytest.mark.parametrize("image_size", [0, -32, 8, 48, 100])
def test_other_sizes_are_refused(image_size: int) -> None:
    with pytest.raises(AttrimorphError, match=f"image_size must be a power of two of at least 16; got {image_size}"):
        small(image_size)


def test_a_conditional_discriminator_soon_tells_right_labels_from_wrong_ones() -> None:
    """Nothing but the label tells the two apart: each of eight labels is a colour."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    judge = Discriminator(32, 8, 16)
    colours = torch.rand(8, 3, 1, 1, generator=random) * 2 - 1
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.999))

    def margins() -> Tensor:
        label = torch.randint(8, (32,), generator=random)
        wrong = (label + torch.randint(1, 8, (32,), generator=random)) % 8
        images = colours[label] + 0.1 * torch.randn(32, 3, 32, 32, generator=random)
        right, fooled = (judge(images, torch.eye(8)[y])[0] for y in (label, wrong))
        return torch.cat([right, -fooled])

    for _ in range(30):
        optimiser.zero_grad()
        torch.nn.functional.softplus(-margins()).mean().backward()
        optimiser.step()
    assert (margins() > 0).float().mean() > 0.9


@torch.no_grad()
def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(2, kernels=2, columns=1)
    layer.tensor.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    # M = f(x) T has the rows (0, 0), (1, 2) and (1, 0): distances in each of both columns.
    found = layer(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]))
    near, far = math.exp(-1), math.exp(-2)
    expected = torch.tensor([[1 + 2 * near, 2 + far], [2 + near, 1 + 2 * far], [2 + near, 2 + far]])
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_a_mean_and_covariance_critic_at_its_best_measures_the_distance_of_both() -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = torch.randn(50, 6, generator=random), torch.randn(50, 6, generator=random) * 0.5 + 1
    critic = MeanCovariance(6, components=2)
    moments = [features.T @ features / 50 for features in (real, fake)]
    left, values, right = torch.linalg.svd(moments[0] - moments[1])
    distance = real.mean(0) - fake.mean(0)
    best = distance.norm() + values[:2].sum()
    assert (critic(real).mean() - critic(fake).mean()).abs() < best
    # Of any length: v is divided by it, and U and V are made orthonormal.
    critic.mean.copy_(3 * distance)
    critic.left.copy_(5 * left[:, :2])
    critic.right.copy_(0.1 * right[:2].T)
    assert (critic(real).mean() - critic(fake).mean()).item() == pytest.approx(best.item(), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("build", [Discriminator, DcganDiscriminator])
def test_a_discriminator_s_options(build: type[DiscriminatorHeads]) -> None:
    size, width = 128, 4
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = torch.zeros(3, 0)
    plain = build(size, 0, width)
    flat = plain(images, y)[1].shape[1]
    # More layers: the last one's features stand last.
    deep = build(size, 0, width, layers=2)
    deep.load_state_dict(plain.state_dict())
    logits, features = deep(images, y)
    assert torch.equal(logits, plain(images, y)[0])
    assert torch.equal(features[:, -flat:], plain(images, y)[1])
    assert features.shape[1] > flat
    with pytest.raises(AttrimorphError, match="feature_layers must be at most the 5 layers"):
        build(size, 0, width, layers=6)
    # A class head reads the trunk's last stage, however many f_D holds.
    reader = build(size, 0, width, outputs=5, layers=2)
    assert reader.head is not None
    features = reader(images, y)[1]
    assert torch.equal(reader.read(features), reader.head(features[:, -flat:]))
    # Minibatch discrimination looks at the neighbours, the plain verdict does not (in evaluation).
    social = build(size, 0, width, kernels=4)
    assert social.minibatch is not None
    social.minibatch.tensor.mul_(1e4)
    for network, alike in ((plain.eval(), True), (social.eval(), False)):
        one, other = network(images, y)[0][:1], network(images[[0, 0, 0]], y)[0][:1]
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6) == alike
