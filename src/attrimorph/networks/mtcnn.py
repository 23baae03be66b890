"""MTCNN (Zhang, Zhang, Li, Qiao 2016, arXiv:1604.02878): three small networks, each surer than the last, find faces.

All take [B, 3, H, W] in [-1, 1] and return a face's offsets to its window [.., 4] (left, top, right, bottom, in parts
of the window's side) and logits [.., 2] (no face, face); the last one also five points [.., 10] (x of all, then y).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OUTPUTS = {"boxes": 4, "points": 10, "logits": 2}
Pool = tuple[int, bool] | None
"""Side of the window, which moves by 2; whether one that reaches beyond the border counts."""


class Stage(nn.Module):
    """One of the three: convolutions, in the later two a hidden layer, and a linear head for each output.

    Args:
        widths: channels of the convolutions.
        kernels: their sides.
        pools: what follows each.
        hidden: features before and in the hidden layer; None = the first stage, which slides over pictures of any size.
        outputs: names of `OUTPUTS`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        kernels: Sequence[int],
        pools: Sequence[Pool],
        hidden: tuple[int, int] | None,
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, kernel, pool in zip((3, *widths), widths, kernels, pools, strict=False):
            layers += [nn.Conv2d(before, width, kernel), nn.PReLU(width)]
            layers += [nn.MaxPool2d(pool[0], 2, ceil_mode=pool[1])] if pool else []
        if hidden is not None:
            layers += [nn.Flatten(), nn.Linear(*hidden), nn.PReLU(hidden[1])]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(hidden[1], OUTPUTS[name]) if hidden else nn.Conv2d(widths[-1], OUTPUTS[name], 1)
                for name in outputs
            }
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.trunk(images)
        return {name: head(features) for name, head in self.heads.items()}

    def fill(self, arrays: Sequence[NDArray[Any]]) -> "Stage":
        """Take over weights as Keras has them: kernels [h, w, in, out], flat features ordered x, y, channel."""
        left: Iterator[Tensor] = (torch.from_numpy(array) for array in arrays)
        channels = 3
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, nn.Conv2d):
                    channels = part.out_channels
                    part.weight.copy_(next(left).permute(3, 2, 0, 1))
                    assert part.bias is not None
                    part.bias.copy_(next(left))
                elif isinstance(part, nn.PReLU):
                    part.weight.copy_(next(left).flatten())
                elif isinstance(part, nn.Linear):
                    weight = next(left)
                    if len(weight) == 9 * channels:  # after convolutions: 3 x 3 places
                        weight = weight.view(3, 3, channels, -1).permute(2, 1, 0, 3).flatten(0, 2)
                    part.weight.copy_(weight.T)
                    part.bias.copy_(next(left))
        return self.eval().requires_grad_(False)


def proposal() -> Stage:
    """The first: a face in every window of 12 pixels, at a stride of 2."""
    return Stage((10, 16, 32), (3, 3, 3), ((2, True), None, None), None, ("boxes", "logits"))


def refinement() -> Stage:
    """The second: windows of 24 pixels."""
    return Stage((28, 48, 64), (3, 3, 2), ((3, True), (3, False), None), (576, 128), ("boxes", "logits"))


def output() -> Stage:
    """The third: windows of 48 pixels, and the points."""
    pools: tuple[Pool, ...] = ((3, True), (3, False), (2, True), None)
    return Stage((32, 64, 64, 128), (3, 3, 3, 2), pools, (1152, 256), ("boxes", "points", "logits"))
