"""HomoInterpGAN's networks: the published sizes, and the interpolator against a loop over its branches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.methods.homointerp.networks import (
    Critic,
    Decoder,
    FeatureDecoder,
    FeatureEncoder,
    Interpolator,
    LearnedPrototypes,
    MeanPrototypes,
    Projection,
    VggEncoder,
    unit,
)


def branch_by_branch(network: Interpolator, face: Tensor, difference: Tensor, v: Tensor) -> Tensor:
    """The paper's equation, one branch after another."""
    total, width = face, network.width
    d = torch.cat([difference, face], 1) if network.sees_face else difference
    for i in range(network.branches):
        part = slice(i * width, (i + 1) * width)
        h = F.relu(F.conv2d(d, network.first.weight[part], network.first.bias[part], padding=1))
        h = F.relu(F.conv2d(h, network.second.weight[part], network.second.bias[part], padding=1))
        moved = F.conv2d(h, network.third.weight[:, part], network.bias[i], padding=1)
        total = total + v[:, i, None, None, None] * moved
    return total


@pytest.mark.parametrize("sees_face", [False, True])
def test_all_branches_at_once_are_the_sum_of_the_branches(sees_face: bool) -> None:
    network = Interpolator(5, 3, 4, sees_face=sees_face)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    face, difference, v = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 4, 4), torch.rand(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(
            network(face, difference, v), branch_by_branch(network, face, difference, v), atol=1e-5, rtol=1e-4
        )
        assert torch.equal(network(face, difference, torch.zeros(2, 3)), face)


def test_of_a_reference_each_group_brings_what_its_mask_holds_and_all_bring_it_all() -> None:
    network = Interpolator(5, 3, 4, sees_face=True, gated=True)
    for name in ("third.weight", "bias", "masks.weight", "masks.bias"):
        network.get_parameter(name).data.zero_()
    face, other = (unit(torch.randn(2, 5, 4, 4)) for _ in range(2))
    where = torch.randn(2, 3, 5, 4, 4)
    first, second = where[:, 0].sigmoid(), where[:, 1].sigmoid()
    for v, share in {
        (0.0, 0.0, 0.0): 0 * first,
        (1.0, 0.0, 0.0): first,
        (0.5, 1.0, 0.0): 1 - (1 - 0.5 * first) * (1 - second),
        (0.3, 0.6, 1.0): 1 + 0 * first,
    }.items():
        found = network(face, other - face, torch.tensor([v, v]), where)
        torch.testing.assert_close(found, unit(face + share * (other - face)), atol=1e-5, rtol=1e-5)


def test_where_a_group_shows_is_where_flipping_it_changes_most() -> None:
    prototypes = LearnedPrototypes(3, 5, 4, 6)
    face, y = torch.randn(2, 5, 4, 4), torch.randint(2, (2, 3)).float()
    members = torch.tensor([[1, 1, 0], [0, 0, 0]]).bool()
    found = prototypes.where(members, (face, y))
    change = (1 - 2 * y) * members[0]
    energy = prototypes(face, y, change).square().mean(1, keepdim=True)
    expected = (energy + 1e-8).log() - (energy.amax((2, 3), keepdim=True) / 4 + 1e-4).log()
    torch.testing.assert_close(found[:, 0], expected, atol=1e-3, rtol=1e-3)
    assert (found[:, 1] < -9).all()


def test_a_branch_is_the_published_one() -> None:
    with torch.device("meta"):
        ten = sum(p.numel() for p in Interpolator(512, 10, 512).parameters())
    assert ten == 10 * 3 * (512 * 512 * 9 + 512)


def test_the_published_networks_fit_together() -> None:
    with torch.device("meta"):
        features = VggEncoder()(torch.empty(1, 3, 128, 128))
        assert features.shape == (1, 512, 8, 8)
        assert Decoder()(features).shape == (1, 3, 128, 128)
        said, told = Critic(512, 8, 40)(features)
        assert said.shape == (1, 1)
        assert told.shape == (1, 40)
        # VGG-19 to relu5_1: 12.9 of its 20 million convolution weights.
        assert sum(p.numel() for p in VggEncoder().parameters()) == 12_944_960


@pytest.mark.parametrize("side", [4, 8, 16])
def test_the_critic_takes_features_of_any_size(side: int) -> None:
    said, told = Critic(6, side, 3, 8)(torch.randn(2, 6, side, side))
    assert said.shape == (2, 1)
    assert told.shape == (2, 3)


@pytest.mark.parametrize("side", [2, 6])
def test_features_that_cannot_be_halved_to_two_are_refused(side: int) -> None:
    with pytest.raises(AttrimorphError, match="at least 4x4"):
        Critic(6, side, 3, 8)


def test_the_small_networks_mirror_each_other() -> None:
    images = torch.rand(2, 3, 32, 32)
    features = FeatureEncoder(12, 4)(images)
    assert features.shape == (2, 12, 4, 4)
    assert FeatureDecoder(12, 4)(features).shape == images.shape
    # No norm over the batch.
    torch.testing.assert_close(FeatureEncoder(12, 4).train()(images).shape, features.shape)


def test_fresh_features_are_about_as_large_as_images() -> None:
    """With torch's own initial weights VGG's are a thousandth, and the gradient penalty explodes."""
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert 0.1 < VggEncoder()(images).std() < 30
        assert 0.1 < FeatureEncoder(16, 8)(images).std() < 30


def test_a_projection_meets_maps_of_another_size() -> None:
    assert Projection(6, 9)(torch.randn(2, 6, 8, 8), 4).shape == (2, 9, 4, 4)
    assert Projection(6, 9)(torch.randn(2, 6, 8, 8), 8).shape == (2, 9, 8, 8)


def test_mean_prototypes_are_linear_in_the_change() -> None:
    prototypes = MeanPrototypes(3, 5, 4)
    torch.nn.init.normal_(prototypes.differences)
    change = torch.tensor([[1.0, 0, -1], [0, 0, 0]])
    found = prototypes(torch.empty(2, 5, 4, 4), torch.empty(2, 3), change)
    torch.testing.assert_close(found[0], prototypes.differences[0] - prototypes.differences[2])
    assert not found[1].any()


def test_learned_prototypes_change_nothing_for_no_change() -> None:
    prototypes = LearnedPrototypes(3, 5, 4, 6)
    face, y = torch.randn(2, 5, 4, 4), torch.zeros(2, 3)
    assert not prototypes(face, y, torch.zeros(2, 3)).any()
    assert prototypes(face, y, torch.ones(2, 3)).shape == face.shape
    mean, logvar = prototypes.encode(face, y)
    assert mean.shape == logvar.shape == (2, 6)
