"""CycleGAN's and pix2pix's networks: the published sizes, what they see, what they leave alone."""

import pytest
import torch
from torch import nn

from attrimorph.errors import AttrimorphError
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.translation.networks import PatchDiscriminator, ResnetGenerator, UnetGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_published_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        assert count(ResnetGenerator(9)) == 11_378_179
        assert count(ResnetGenerator(6)) == 7_837_699
        assert count(PatchDiscriminator()) == 2_764_737


@pytest.mark.parametrize("size", [32, 64])
def test_generators_return_images_of_the_size_they_are_given(size: int) -> None:
    images = torch.rand(2, 3, size, size) * 2 - 1
    for generator in (ResnetGenerator(1, 4), UnetGenerator(size, 4)):
        made = generator(images)
        assert made.shape == images.shape
        assert made.abs().max() <= 1


def test_a_discriminator_s_output_sees_seventy_pixels() -> None:
    images = torch.rand(1, 3, 128, 128, requires_grad=True)
    # The norm sees the whole image: without it, what remains is the window of the convolutions.
    network = PatchDiscriminator(width=4)
    for number, layer in enumerate(network.layers):
        if isinstance(layer, nn.InstanceNorm2d):
            network.layers[number] = nn.Identity()
    out = network(images)
    assert out.shape == (1, 1, 14, 14)
    out[0, 0, 7, 7].backward()
    assert images.grad is not None
    seen = images.grad[0].abs().amax(0)
    assert int((seen.amax(0) > 0).sum()) == int((seen.amax(1) > 0).sum()) == 70


@pytest.mark.parametrize("network", [ResnetGenerator(1, 4), UnetGenerator(32, 4), PatchDiscriminator(width=4)])
def test_an_image_s_result_does_not_depend_on_its_neighbours(network: nn.Module) -> None:
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-5, rtol=1e-4)


def test_weights_are_small_and_normal_and_norms_have_none() -> None:
    network = ResnetGenerator(2, 32)
    weights = torch.cat([p.flatten() for name, p in network.named_parameters() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))
    assert not [m for m in network.modules() if isinstance(m, nn.InstanceNorm2d) and m.affine]


def test_a_mirrored_border_is_part_of_the_image() -> None:
    """A constant image stays constant up to its borders: with zeros around it, it would not."""
    network = ResnetGenerator(2, 4)
    made = network.layers[:2](torch.full((1, 3, 32, 32), 0.7))
    assert made.flatten(2).std(2).max() < 1e-6


def test_the_u_net_has_skips_and_dropout_in_training_and_where_it_is_the_noise() -> None:
    network = UnetGenerator(32, 8, dropout=0.5)
    images = torch.rand(1, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
    noisy = UnetGenerator(32, 8, dropout=0.5, noisy=True).eval()
    assert not torch.equal(noisy(images), noisy(images))
    # Cut at the smallest size, what the image holds still comes through.
    nn.init.zeros_(network.down[-1].weight)
    assert not torch.allclose(network(images), network(1 - images), atol=1e-4)


def test_images_too_small_are_refused() -> None:
    with pytest.raises(AttrimorphError, match="at least 32"):
        recipe_named("cyclegan-64").with_changes({"data.image_size": 16})
