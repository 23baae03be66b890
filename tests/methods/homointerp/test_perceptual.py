"""Perceptual networks: the right layers of VGG-19, and the small one's maps."""

import torch
from torch import nn

from attrimorph.methods.homointerp.perceptual import AttributeMaps, VggMaps
from attrimorph.networks.pretrained import Vgg19


def test_vgg_maps_are_relu3_1_and_relu5_1_of_normalised_images() -> None:
    torch.manual_seed(0)
    vgg = Vgg19()
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    h = ((images + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    expected, convolutions = [], 0
    with torch.no_grad():
        for layer in vgg.features:
            convolutions += isinstance(layer, nn.Conv2d)
            h = torch.relu(h) if isinstance(layer, nn.ReLU) else layer(h)
            # conv3_1 is the fifth convolution, conv5_1 the thirteenth.
            if isinstance(layer, nn.ReLU) and convolutions in (5, 13):
                expected.append(h.clone())
        middle, deep = VggMaps(vgg)(images)
    torch.testing.assert_close(middle, expected[0])
    torch.testing.assert_close(deep, expected[1])
    assert middle.shape == (1, 256, 8, 8)
    assert deep.shape == (1, VggMaps.deep_channels, 2, 2)
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_the_small_network_s_maps_lie_at_a_quarter_and_an_eighth() -> None:
    logits, middle, deep = AttributeMaps(64, 7, 4)(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 7)
    assert middle.shape[2:] == (16, 16)
    assert deep.shape[2:] == (8, 8)
    assert deep.shape[1] == AttributeMaps(64, 7, 4).deep_channels
    assert AttributeMaps(16, 7, 4)(torch.rand(1, 3, 16, 16))[2].shape[2:] == (4, 4)
