"""VGG-19 up to its last convolution, as an observer: its feature maps (Simonyan and Zisserman 2015)."""

import torch
from torch import Tensor, nn

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)  # 0: pool
SEEN = (3, 8, 17, 26, 35)  # relu1_2, relu2_2, relu3_4, relu4_4, relu5_4


class Vgg19(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] -> feature maps relu1_2, relu2_2, relu3_4, relu4_4, relu5_4.

    Parameters have the names of the usual ImageNet weights, "features.0.weight" to "features.34.bias".
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)] if width else [nn.MaxPool2d(2, 2)]
            before = width or before
        self.features = nn.Sequential(*layers)
        # The training images' colours, on the scale 0..1.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        h = ((images + 1) / 2 - self.mean) / self.deviation  # [B, 3, H, W]
        found = []
        for number, layer in enumerate(self.features):
            h = layer(h)  # [B, 64, H, W] ... [B, 512, H/16, W/16]
            if number in SEEN:
                found.append(h)
        return found
