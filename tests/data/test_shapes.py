import math

import pytest
import torch

from attrimorph.data.drawn import shapes
from attrimorph.errors import AttrimorphError


@pytest.fixture
def factors() -> torch.Tensor:
    return shapes.sample_factors(240, torch.Generator().manual_seed(0))


def test_labels_are_balanced_and_read_back(factors):
    y = shapes.attributes(factors)
    assert y.shape == (240, shapes.SCHEMA.width)
    assert (y[:, :4].sum(dim=1) == 1).all()
    assert (y[:, 4:9].sum(dim=1) == 1).all()
    assert (y[:, :4].mean(dim=0) - 0.25).abs().max() < 0.1
    size = y[:, shapes.SCHEMA.columns("Size")]
    assert abs(float(size.mean())) < 0.2
    assert abs(float(size.std()) - 1) < 0.1
    row = shapes.SCHEMA.describe(y[0])
    assert row["Shape"] == shapes.SHAPES[int(factors[0, 0])]
    assert row["Size"] == pytest.approx(float(factors[0, 2]), abs=1e-5)


def test_areas_are_those_of_the_shapes(factors):
    """The mask measures each shape: pi r^2, (2 r)^2, the triangle of circumradius r, the star of ten triangles."""
    layers = shapes.render_layers(factors, 64)
    area = layers.mask.mean(dim=(1, 2, 3)) * 4
    radius = factors[:, 2]
    tip, notch = 1.0, 0.45
    unit = torch.tensor([math.pi * 0.85**2, 1.5**2, 3 * math.sqrt(3) * 0.25, 5 * tip * notch * math.sin(math.pi / 5)])
    expected = unit[factors[:, 0].long()] * radius**2
    assert torch.allclose(area, expected, rtol=0.06)
    composed = layers.mask * layers.foreground + (1 - layers.mask) * layers.background
    assert torch.equal(composed, layers.image)
    assert float(layers.image.min()) >= -1
    assert float(layers.image.max()) <= 1
    assert torch.equal(shapes.render(factors, 64), layers.image)


@pytest.mark.parametrize(
    ("name", "value"), [("Shape", "star"), ("Colour", "blue"), ("Size", 0.5), ("Striped_Background", True)]
)
def test_the_counterfactual_changes_one_thing(name, value, factors):
    changed = shapes.set_attribute(factors, name, value)
    before, after = shapes.attributes(factors), shapes.attributes(changed)
    columns = shapes.SCHEMA.columns(name)
    described = shapes.SCHEMA.describe(after[3])[name]
    assert described == (pytest.approx(value, abs=1e-5) if name == "Size" else value)
    before[:, columns] = after[:, columns]
    assert torch.equal(before, after)
    old, new = shapes.render_layers(factors, 32), shapes.render_layers(changed, 32)
    if name == "Striped_Background":
        assert torch.equal(old.mask, new.mask)
        assert torch.equal(old.foreground, new.foreground)
    else:
        assert torch.equal(old.background, new.background)
    assert (old.image - new.image).abs().amax(dim=(1, 2, 3)).max() > 0.1


def test_resolutions_agree(factors):
    fine = torch.nn.functional.avg_pool2d(shapes.render(factors[:50], 128), 2)
    assert float((fine - shapes.render(factors[:50], 64)).abs().mean()) < 0.01


def test_wrong_input_is_told_in_a_sentence(factors):
    with pytest.raises(AttrimorphError, match="did you mean 'star'"):
        shapes.set_attribute(factors, "Shape", "stars")
    with pytest.raises(AttrimorphError, match="there is no attribute"):
        shapes.set_attribute(factors, "Form", "star")
    with pytest.raises(AttrimorphError, match="factors must be"):
        shapes.render(factors[:, :3], 32)
    with pytest.raises(AttrimorphError, match="at least 8 pixels"):
        shapes.render(factors, 4)
