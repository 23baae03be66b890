"""Trained CVAEs and disCVAEs: the capabilities of every model, layers, backgrounds that stay, the lower bound."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attrimorph import losses
from attrimorph.data.drawn import faces
from attrimorph.methods.attribute2image.model import SMOOTH_L1_CONSTANT, CVAEModel, LayeredModel
from attrimorph.models.model import Code, Decodes, Edits, Encodes
from tests.tiny_models import tiny_layers

CVAE, DISCVAE = "attribute2image-cvae", "attribute2image-discvae"


@pytest.fixture(scope="module")
def cvae(tmp_path_factory: pytest.TempPathFactory) -> CVAEModel:
    made = tiny_layers(tmp_path_factory.mktemp("cvae"), method=CVAE)
    assert isinstance(made, CVAEModel)
    return made


@pytest.fixture(scope="module")
def discvae(tmp_path_factory: pytest.TempPathFactory) -> LayeredModel:
    made = tiny_layers(tmp_path_factory.mktemp("discvae"))
    assert isinstance(made, LayeredModel)
    return made


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor, Tensor]:
    factors = faces.sample_factors(4, torch.Generator().manual_seed(3))
    layers = faces.render_layers(factors, 16)
    return layers.image, faces.attributes(factors), layers.mask


def both(cvae: CVAEModel, discvae: LayeredModel) -> list[CVAEModel | LayeredModel]:
    return [cvae, discvae]


def test_they_can_do_what_every_editor_can(
    cvae: CVAEModel, discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, y, _ = drawn
    for model in both(cvae, discvae):
        assert isinstance(model, Encodes)
        assert isinstance(model, Decodes)
        assert isinstance(model, Edits)
        code = model.encode(images, y)
        assert code.z.shape == (4, model.latent)
        made = model.decode(code)
        assert made.shape == images.shape
        assert -1 <= made.min() <= made.max() <= 1
        torch.testing.assert_close(model.edit(images, {}, y), made, rtol=0, atol=0)
        assert (model.edit(images, {"Smiling": 1.0}, 0 * y) - model.decode(model.encode(images, 0 * y))).abs().max() > 0
        assert model.encode(images).attributes.unique().tolist() in ([0, 1], [0], [1])
        sample = model.sample_codes(3, torch.Generator().manual_seed(1))
        assert model.decode(sample).shape == (3, 3, 16, 16)


def test_one_image_alone_is_what_it_is_in_a_batch(
    cvae: CVAEModel, discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]
) -> None:
    images, y, _ = drawn
    for model in both(cvae, discvae):
        torch.testing.assert_close(
            model.edit(images, {"Male": 1.0}, y)[:1], model.edit(images[:1], {"Male": 1.0}, y[:1])
        )


def test_generating_is_decoding_with_gradients(
    cvae: CVAEModel, discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]
) -> None:
    for model in both(cvae, discvae):
        code = model.encode(*drawn[:2])
        z, y = code.z.clone().requires_grad_(), code.attributes.clone().requires_grad_()
        made = model.generate(z, y)
        # A gate is settled when pictures are made; that moves them a little.
        assert (made.detach() - model.decode(code)).abs().mean() < 0.03
        made.square().sum().backward()
        assert bool(z.grad.abs().sum(1).gt(0).all())
        assert bool(y.grad.abs().sum(1).gt(0).all())


def test_layers_make_the_composite(discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    images, y, _ = drawn
    layers = discvae.layers(images, y)
    foreground, background = (layers.foreground + 1) / 2, (layers.background + 1) / 2
    torch.testing.assert_close(
        layers.composite, (2 * (foreground + background * layers.gate) - 1).clamp(-1, 1), rtol=0, atol=1e-5
    )
    assert layers.gate.shape == (4, 1, 16, 16)
    torch.testing.assert_close(layers.composite, discvae.decode(discvae.encode(images, y)), rtol=0, atol=0)


def test_the_convex_composition_is_kept_in_the_file(tmp_path: Path, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    model = tiny_layers(tmp_path, losses__composition="convex")
    assert isinstance(model, LayeredModel)
    layers = model.layers(*drawn[:2])
    mixed = layers.foreground * (1 - layers.gate) + layers.background * layers.gate
    torch.testing.assert_close(layers.composite, mixed, rtol=0, atol=1e-5)


def test_an_edit_keeps_the_background_to_the_last_bit(tmp_path: Path, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    images, y, _ = drawn
    discvae = tiny_layers(tmp_path)
    assert isinstance(discvae, LayeredModel)
    # A trained gate is sure nearly everywhere; a fresh one must be made so.
    discvae.networks["foreground_decoder"].get_parameter("last.weight")[:, 3] *= 30
    code = discvae.encode(images, y)
    changed = Code(code.z, discvae.moved(code.attributes, {"Wearing_Hat": 1.0, "Smiling": -1.0}))
    before, after = discvae.layers_of(code), discvae.layers_of(changed)
    assert torch.equal(before.background, after.background)
    outside = ((before.gate == 1) & (after.gate == 1)).expand_as(images)
    assert 0.02 < outside.float().mean() < 0.98
    assert torch.equal(before.composite[outside], after.composite[outside])
    assert torch.equal(before.composite[outside], before.background[outside])
    assert not torch.equal(before.composite, after.composite)


def test_backgrounds_change_places(discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    code = discvae.encode(*drawn[:2])
    swapped = discvae.with_background(code, Code(code.z.flip(0), code.attributes.flip(0)))
    mine, other = discvae.layers_of(code), discvae.layers_of(swapped)
    assert torch.equal(mine.foreground, other.foreground)
    assert torch.equal(mine.gate, other.gate)
    torch.testing.assert_close(other.background, mine.background.flip(0))
    one = discvae.with_background(code, Code(code.z[:1], code.attributes[:1]))
    torch.testing.assert_close(discvae.layers_of(one).background, mine.background[:1].expand(4, -1, -1, -1))


def test_a_background_knows_no_attributes(discvae: LayeredModel) -> None:
    z = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    ones, noughts = (discvae.layers_of(Code(z, torch.full((2, 25), value))) for value in (1.0, 0.0))
    assert torch.equal(ones.background, noughts.background)
    assert not torch.equal(ones.foreground, noughts.foreground)


def test_the_bound_of_a_cvae_by_an_independent_route(cvae: CVAEModel, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    images, y, _ = drawn
    bound = cvae.lower_bound(images, y, torch.Generator().manual_seed(2))
    mean, logvar = cvae.posterior(images, y)
    posterior = torch.distributions.Normal(mean, (logvar / 2).exp())
    z = mean + torch.randn(4, 6, generator=torch.Generator().manual_seed(2)) * (logvar / 2).exp()
    likely = torch.distributions.Normal(cvae.generate(z, y), cvae.recipe.losses.deviation).log_prob(images)
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(bound.terms["image"], likely.flatten(1).sum(1))
    torch.testing.assert_close(bound.terms["kl"], -divergence.sum(1))
    torch.testing.assert_close(bound.total, likely.flatten(1).sum(1) - divergence.sum(1))
    assert bound.means()["bound"] == pytest.approx(float(bound.total.mean()))


def test_the_bound_is_below_the_true_likelihood(cvae: CVAEModel, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    # log p(x | y) by importance sampling from the prior is a (noisy) lower bound too, and grows with the samples; a
    # bound from the posterior must not exceed what many samples from the posterior, weighted, give.
    images, y, _ = drawn
    generator, mean, logvar = torch.Generator().manual_seed(0), *cvae.posterior(images, y)
    weights, bounds = [], []
    for _ in range(64):
        z = mean + torch.randn(4, 6, generator=generator) * (logvar / 2).exp()
        likely = cvae.log_likelihood(images, cvae.generate(z, y), None)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
        own = torch.distributions.Normal(mean, (logvar / 2).exp()).log_prob(z).sum(1)
        weights.append(likely + prior - own)
        bounds.append(cvae.lower_bound(images, y, generator).total)
    better = torch.stack(weights).logsumexp(0) - math.log(64)
    assert bool((torch.stack(bounds).mean(0) < better + 1e-3).all())


def test_the_bound_of_a_discvae_has_its_five_terms(discvae: LayeredModel, drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    images, y, masks = drawn
    masks = torch.cat([masks[:3], torch.ones_like(masks[:1])])
    bound = discvae.lower_bound(images, y, torch.Generator().manual_seed(2), masks)
    assert set(bound.terms) == {"kl foreground", "kl background", "image", "foreground", "gate"}
    for name in ("foreground", "gate"):
        assert bound.terms[name].isnan().tolist() == [False, False, False, True]
    assert bool((bound.terms["kl foreground"] <= 0).all())
    assert bool((bound.terms["gate"][:3] < 0).all())
    alone = discvae.lower_bound(images, y, torch.Generator().manual_seed(2))
    assert bool(alone.terms["gate"].isnan().all())
    torch.testing.assert_close(
        alone.total, alone.terms["image"] + alone.terms["kl foreground"] + alone.terms["kl background"]
    )
    # The image without a mask has the bound of log p(x | y), whatever the others have.
    torch.testing.assert_close(bound.total[3:], alone.total[3:], rtol=1e-4, atol=1e-2)


def test_a_published_one_looks_for_the_mask_itself(tmp_path: Path) -> None:
    model = tiny_layers(
        tmp_path,
        method="attribute2image-discvae-paper",
        size=64,
        networks__encoder_width=2,
        networks__decoder_width=2,
        networks__background_width=2,
    )
    assert isinstance(model, LayeredModel)
    factors = faces.sample_factors(2, torch.Generator().manual_seed(3))
    images, y = faces.render(factors, 64), faces.attributes(factors)
    layers = model.layers(images, y)
    assert layers.gate.shape == (2, 3, 64, 64)
    assert layers.composite.shape == (2, 3, 64, 64)


def test_smooth_l1_s_density_is_one() -> None:
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64)[:, None]
    density = torch.exp(-losses.smooth_l1_errors(x, torch.zeros_like(x)) - SMOOTH_L1_CONSTANT)
    assert torch.trapezoid(density, x[:, 0]).item() == pytest.approx(1, rel=1e-4)
