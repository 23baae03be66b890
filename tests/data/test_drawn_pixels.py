"""What is drawn stays as it is, pixel for pixel: shipped models and their figures stand on it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attrimorph.data.drawn import faces, shapes

# The pixels of each picture, summed with random signs: one pixel one level off is 0.008.
FACES = [13.911, 30.2, 4.267, 31.76, 17.627, 43.831, -40.1, 34.396, 46.943, 32.486, -35.792, 80.707]
MASKS = [37.31, 46.388, 41.95, 46.612, 38.569, 48.837]
BACKGROUNDS = [47.007, 126.941, 67.488, 23.174, 89.701, 32.577]
FOREGROUNDS = [-11.446, 22.759, 4.159, 38.968, 28.807, 25.129]
SHAPES = [28.488, 3.622, -19.655, 15.266, 21.465, 13.272, 24.986, -0.546]


def signed_sums(images: Tensor) -> np.ndarray:
    signs = np.random.default_rng(0).choice([-1.0, 1.0], images[0].numel())
    return images.flatten(1).double().numpy() @ signs


def test_faces() -> None:
    factors = faces.sample_factors(12, torch.Generator().manual_seed(1))
    assert signed_sums(faces.render(factors, 64)) == pytest.approx(FACES, abs=2e-3)
    layers = faces.render_layers(factors[:6], 32)
    for layer, sums in ((layers.mask, MASKS), (layers.background, BACKGROUNDS), (layers.foreground, FOREGROUNDS)):
        assert signed_sums(layer) == pytest.approx(sums, abs=2e-3)


def test_shapes() -> None:
    factors = shapes.sample_factors(8, torch.Generator().manual_seed(1))
    assert signed_sums(shapes.render(factors, 40)) == pytest.approx(SHAPES, abs=2e-3)
