"""CVAE and disCVAE: every term by hand, who learns from what, missing masks, resumed runs, images learned by heart."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from attrimorph import losses
from attrimorph.data.loader import Batch
from attrimorph.methods.attribute2image.networks import networks_of
from attrimorph.methods.attribute2image.recipe import RECIPES
from attrimorph.methods.attribute2image.step import CVAE, Attribute2Image, DisCVAE, sharpened
from attrimorph.training import FastPath
from attrimorph.training.trainer import build
from tests.methods.cvae_gan.small_family import MIXED

SIZE = 16
PLAIN = FastPath("float32", "contiguous", {})
FIELDS = {
    "data.image_size": SIZE,
    "networks.latent": 6,
    "networks.background_latent": 4,
    "networks.encoder_width": 4,
    "networks.decoder_width": 4,
    "networks.background_width": 4,
    "networks.classifier_width": 4,
    "losses.hide": 0.0,
}
BOTH = ["attribute2image-cvae", "attribute2image-discvae"]
PARTS = ("foreground_encoder", "background_encoder", "foreground_decoder", "background_decoder")


def make(name: str, **changes: object) -> Attribute2Image:
    fields = FIELDS | {key.replace("__", "."): value for key, value in changes.items()}
    algorithm = build(RECIPES[name]().with_changes(fields), MIXED, PLAIN)
    assert isinstance(algorithm, Attribute2Image)
    return algorithm


def batch(count: int = 4, seed: int = 0, *, unmasked: tuple[int, ...] = ()) -> Batch:
    """Smooth pictures, a square of foreground in each, one label missing."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    labels = torch.zeros(count, MIXED.width)
    labels[:, :2] = torch.rand(count, 2, generator=generator).round()
    labels[0, 0] = torch.nan
    masks = torch.zeros(count, 1, SIZE, SIZE)
    for row in range(count):
        masks[row, :, 4 + row % 3 :, 5:12] = 1
    for row in unmasked:
        masks[row] = 1
    return Batch(images, labels, masks)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(algorithm: Attribute2Image) -> dict[str, Tensor]:
    return {n: torch.cat([p.detach().flatten() for p in net.parameters()]) for n, net in algorithm.networks.items()}


def reached(algorithm: Attribute2Image, name: str, given: Batch) -> set[str]:
    """The networks that one loss alone would teach."""
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    for network in algorithm.networks.values():
        network.zero_grad()
    values[name].backward()
    return {
        n
        for n, net in algorithm.networks.items()
        if any(p.grad is not None and bool(p.grad.any()) for p in net.parameters())
    }


def test_cvae_terms_by_hand() -> None:
    algorithm, given = make("attribute2image-cvae", losses__deviation=0.5), batch()
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    y = algorithm.blanked(given.attributes)
    assert y[0, 0] == 0.5
    noise = torch.randn(4, 6, generator=chance())
    mean, logvar = algorithm.networks["encoder"](given.images, y)
    picture = 2 * algorithm.networks["generator"](mean + noise * (logvar / 2).exp(), y).colour - 1
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(values["kl"], expected.sum(1).mean())
    torch.testing.assert_close(values["image"], (picture - given.images).square().sum() / 4 / 2 / 0.25)


def test_learned_variance_is_the_gaussian_of_the_authors_code() -> None:
    algorithm, given = make("attribute2image-cvae", losses__variance="learned"), batch()
    y = algorithm.blanked(given.attributes)
    values, _ = algorithm.terms(given, y, chance())
    mean, logvar = algorithm.networks["encoder"](given.images, y)
    paint = algorithm.networks["generator"](mean + torch.randn(4, 6, generator=chance()) * (logvar / 2).exp(), y)
    likely = torch.distributions.Normal(2 * paint.colour - 1, (paint.logvar / 2).exp()).log_prob(given.images)
    constant = 0.5 * math.log(2 * math.pi) * 3 * SIZE**2
    torch.testing.assert_close(values["image"], -likely.sum() / 4 - constant, rtol=1e-4, atol=1e-2)


def test_discvae_terms_by_hand() -> None:
    algorithm, given = make("attribute2image-discvae", losses__deviation=1.0, losses__masks_hidden=0.0), batch()
    assert isinstance(algorithm, DisCVAE)
    values, gauges = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    y, nets, masks = algorithm.blanked(given.attributes), algorithm.networks, given.masks
    assert masks is not None
    draw = chance()
    noise_f, noise_b = torch.randn(4, 6, generator=draw), torch.randn(4, 4, generator=draw)
    mean_f, logvar_f = nets["foreground_encoder"](torch.cat([given.images, 1 - masks], 1), y)
    z_f = mean_f + noise_f * (logvar_f / 2).exp()
    front = nets["foreground_decoder"](z_f, y)
    behind = torch.cat([torch.where(masks > 0, -1.0, given.images), 1 - masks], 1)
    mean_b, logvar_b = nets["background_encoder"](behind, torch.cat([y, z_f], 1))
    back = nets["background_decoder"](mean_b + noise_b * (logvar_b / 2).exp(), y[:, :0])
    gate = front.gate.sigmoid()
    picture = 2 * (front.colour + back.colour * gate) - 1
    observed = torch.where(masks > 0, given.images, -1.0)
    for name, expected in {
        "kl_foreground": losses.kl_divergence(mean_f, logvar_f),
        "kl_background": losses.kl_divergence(mean_b, logvar_b),
        "image": (picture - given.images).square().sum() / 8,
        "foreground": (2 * front.colour - 1 - observed).square().sum() / 8,
        "gate": binary_cross_entropy_with_logits(front.gate, 1 - masks, reduction="sum") / 4,
    }.items():
        torch.testing.assert_close(values[name], expected, msg=name)
    rough = 0.0
    x = (2 * back.colour - 1).detach()
    for row in range(SIZE):
        for column in range(SIZE):
            for down, right in ((1, 0), (0, 1)):
                if row + down < SIZE and column + right < SIZE:
                    hidden = torch.maximum(masks[:, 0, row, column], masks[:, 0, row + down, column + right])
                    step = (x[:, :, row + down, column + right] - x[:, :, row, column]).square().sum(1)
                    rough += float((step * hidden).sum()) / 8
    assert float(values["roughness"].detach()) == pytest.approx(rough, rel=1e-4)
    found, true = gate < 0.5, masks > 0.5
    overlap = (found & true).flatten(1).sum(1) / (found | true).flatten(1).sum(1)
    assert float(gauges["gate_iou"]) == pytest.approx(float(overlap.mean()))


MATRIX = {
    # loss -> the networks that learn from it: what the equations say
    "kl_foreground": {"foreground_encoder"},
    "foreground": {"foreground_encoder", "foreground_decoder"},
    "gate": {"foreground_encoder", "foreground_decoder"},
    # z_F is drawn before z_B's posterior is asked: its encoder learns from what follows from it.
    "kl_background": {"foreground_encoder", "background_encoder"},
    "image": set(PARTS),
    "roughness": {"foreground_encoder", "background_encoder", "background_decoder"},
}


@pytest.mark.parametrize("loss", MATRIX)
def test_who_learns_from_what(loss: str) -> None:
    assert reached(make("attribute2image-discvae"), loss, batch()) == MATRIX[loss]


def test_who_learns_from_what_in_cvae() -> None:
    algorithm = make("attribute2image-cvae")
    assert reached(algorithm, "kl", batch()) == {"encoder"}
    assert reached(algorithm, "image", batch()) == {"encoder", "generator"}


@pytest.mark.parametrize("name", BOTH)
def test_the_reader_of_codes_learns_to_read_and_the_encoder_to_hide(name: str) -> None:
    algorithm, given = make(name, losses__hide=2.0), batch()
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    algorithm.backward(values)
    read = torch.cat([p.grad.flatten().clone() for p in algorithm.networks["code_classifier"].parameters()])
    for network in algorithm.networks.values():
        network.zero_grad()
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    values["classify_code"].backward()
    alone = torch.cat([p.grad.flatten() for p in algorithm.networks["code_classifier"].parameters()])
    torch.testing.assert_close(read, alone, rtol=0, atol=0)
    encoder = "encoder" if name.endswith("-cvae") else "foreground_encoder"
    assert reached(algorithm, "classify_code", given) == {"code_classifier"}
    assert reached(algorithm, "hide", given) == {"code_classifier", encoder}
    assert "code_classifier" not in algorithm.kept


def test_codes_are_hidden_behind_the_means_of_the_known_labels() -> None:
    """A label that is missing counts neither in the mean nor as its blank; one that nobody has is left out."""
    algorithm = make("attribute2image-cvae", losses__hide=1.0)
    labels = batch().attributes[:4].clone()
    labels[:, 0] = torch.tensor([1.0, 1.0, 0.0, torch.nan])
    labels[:, 1] = torch.nan
    z = torch.randn(4, algorithm.latent, generator=chance())
    logits = algorithm.networks["code_classifier"](z).float()
    means = labels.clone()
    means[:, 0] = 2 / 3
    for column in range(2, labels.shape[1]):
        means[:, column] = labels[:, column].nanmean()
    expected = losses.attribute_loss(logits, means, algorithm.blocks)
    torch.testing.assert_close(algorithm.hiding(z, labels)["hide"], expected)


def test_the_classifier_learns_alone() -> None:
    algorithm, given = make("attribute2image-discvae"), batch()
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    algorithm.backward(values)
    assert all(p.grad is None for p in algorithm.networks["classifier"].parameters())


def test_an_image_without_a_mask_leaves_out_what_needs_it() -> None:
    algorithm = make("attribute2image-discvae", losses__masks_hidden=0.0)
    given, none = batch(unmasked=(1, 3)), batch(unmasked=(0, 1, 2, 3))
    values, _ = algorithm.terms(given, algorithm.blanked(given.attributes), chance())
    without, _ = algorithm.terms(none, algorithm.blanked(none.attributes), chance())
    assert without["foreground"].item() == without["gate"].item() == 0
    assert without["image"].item() > 0
    # Rows 0 and 2 alone count, and are divided by all four.
    known = batch()
    full, _ = algorithm.terms(known, algorithm.blanked(known.attributes), chance())
    assert 0 < values["gate"].item() < full["gate"].item()
    assert reached(algorithm, "image", none) == set(PARTS)


def test_a_hidden_mask_is_not_shown_but_learned_from() -> None:
    algorithm, given = make("attribute2image-discvae", losses__masks_hidden=1.0), batch()
    y = algorithm.blanked(given.attributes)
    values, _ = algorithm.terms(given, y, chance())
    assert given.masks is not None
    other = Batch(given.images, given.attributes, given.masks.flip(3))
    others, _ = algorithm.terms(other, y, chance())
    torch.testing.assert_close(values["kl_foreground"], others["kl_foreground"], rtol=0, atol=0)
    torch.testing.assert_close(values["image"], others["image"], rtol=0, atol=0)
    assert values["gate"].item() != others["gate"].item()


@pytest.mark.parametrize("name", BOTH)
def test_a_resumed_run_has_the_same_bits(name: str) -> None:
    options = {"losses__hide": 2.0, "networks__dropout": 0.5}
    first, second = make(name, **options), make(name, **options, training__seed=7)
    first.step(batch(), chance(1))
    second.load_state(copy.deepcopy(first.state()))
    for step in (2, 3):
        first.step(batch(seed=step), chance(step))
        second.step(batch(seed=step), chance(step))
    for name_, value in parameters(first).items():
        assert torch.equal(value, parameters(second)[name_]), name_


@pytest.mark.parametrize("composition", ["sum", "convex"])
def test_four_images_are_learned_by_heart(composition: str) -> None:
    algorithm = make(
        "attribute2image-discvae",
        losses__composition=composition,
        losses__deviation=0.1,
        losses__gate=30.0,
        networks__decoder_width=8,
        networks__encoder_width=8,
        networks__latent=16,
        optimiser__learning_rate=3e-3,
    )
    given, draw = batch(), chance()
    values = [algorithm.step(given, draw) for _ in range(80)]
    assert float(values[-1]["psnr"]) > float(values[0]["psnr"]) + 6
    assert float(values[-1]["gate_iou"]) > 0.9


@pytest.mark.parametrize("name", ["attribute2image-cvae-paper", "attribute2image-discvae-paper"])
def test_the_published_networks_step(name: str) -> None:
    algorithm = make(
        name, data__image_size=64, networks__encoder_width=2, networks__decoder_width=2, networks__background_width=2
    )
    before, given = parameters(algorithm), batch(2)
    big = [torch.nn.functional.interpolate(part, size=64) for part in (given.images, given.masks)]
    values = algorithm.step(Batch(big[0], given.attributes, big[1]), chance())
    assert all(bool(torch.isfinite(value)) for value in values.values())
    after = parameters(algorithm)
    assert all(not torch.equal(before[name_], after[name_]) for name_ in before)


def test_extras_are_the_gaussian_of_the_codes() -> None:
    for name, latent in zip(BOTH, (6, 10), strict=True):
        algorithm = make(name)
        assert isinstance(algorithm, CVAE | DisCVAE)
        given = batch()
        prior = algorithm.extras(algorithm.networks, [Batch(given.images, given.attributes)])["prior"]
        mean, _ = algorithm.posterior(algorithm.networks, given.images, algorithm.blanked(given.attributes))
        torch.testing.assert_close(prior.mean, mean.mean(0).detach(), rtol=1e-4, atol=1e-5)
        assert prior.mean.shape == (latent,)


def test_every_network_has_an_optimiser() -> None:
    recipe = RECIPES["attribute2image-discvae"]().with_changes(FIELDS)
    assert set(make("attribute2image-discvae").optimisers) == set(networks_of(recipe, MIXED))


def test_sharpening_adds_what_a_mean_takes_away() -> None:
    x = torch.rand(2, 3, 6, 6, generator=chance())
    amount = torch.tensor([0.0, 1.5])[:, None, None, None]
    found = (sharpened(2 * x - 1, amount) + 1) / 2
    torch.testing.assert_close(found[0], x[0])
    # Outside of the image there are zeros.
    for row, column in ((0, 0), (3, 3), (5, 2)):
        mean = x[1, :, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].sum((1, 2)) / 25
        at = x[1, :, row, column]
        torch.testing.assert_close(found[1, :, row, column], at + 1.5 * (at - mean))


@pytest.mark.parametrize("name", BOTH)
def test_a_step_on_sharpened_images_is_one_on_others(name: str) -> None:
    plain, sharp = (make(name, losses__sharpness=value).step(batch(), chance())["image"] for value in (0.0, 1.5))
    assert plain != sharp
    assert sharp == make(name, losses__sharpness=1.5).step(batch(), chance())["image"]


def test_smooth_l1_takes_the_place_of_both_pictures_errors() -> None:
    algorithm = make("attribute2image-discvae", losses__error="smooth_l1", losses__deviation=0.3)
    assert isinstance(algorithm, DisCVAE)
    data = batch(unmasked=(1,))
    values, _ = algorithm.terms(data, algorithm.blanked(data.attributes), chance())
    x, known = data.images, torch.tensor([True, False, True, True])
    mean = torch.zeros_like(x)
    each = torch.where(x.abs() < 1, 0.5 * x.square(), x.abs() - 0.5).flatten(1).sum(1)
    assert algorithm.error(x, mean, None).item() == pytest.approx(each.mean().item())
    assert algorithm.error(x, mean, None, known).item() == pytest.approx(each[known].sum().item() / 4)
    gaussian = make("attribute2image-discvae", losses__deviation=0.3)
    others, _ = gaussian.terms(data, gaussian.blanked(data.attributes), chance())
    assert {name for name, value in values.items() if value != others[name]} == {"image", "foreground"}
