"""Skin: where it is, how light, and which fifth of people it makes."""

import pytest
import torch

from attrimorph.metrics.evaluate.edits import fifths_of_skin
from attrimorph.metrics.skin import lightness, skin, skin_lightness


def people(tones: list[float]) -> torch.Tensor:
    """Faces on a blue ground, [B, 3, 32, 32], of skin that is so light, with blue eyes."""
    images = torch.tensor([-0.8, -0.6, 0.8])[None, :, None, None].repeat(len(tones), 1, 32, 32)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    face = ((x - 16) / 8).square() + ((y - 17) / 11).square() < 1
    for image, tone in zip(images, tones, strict=True):
        image[:, face] = (torch.tensor([0.9, 0.65, 0.5]) * 2 * tone - 1)[:, None]
    images[:, :, 13:15, 10:13] = images[:, :, :1, :1]
    return images


def test_lightness_is_that_of_the_cie() -> None:
    greys = torch.tensor([-1.0, 119 / 127.5 - 1, 1.0])[:, None, None, None].expand(3, 3, 1, 1)
    assert lightness(greys).flatten().tolist() == pytest.approx([0.0, 50.03, 100.0], abs=0.05)


def test_skin_is_found_whatever_its_tone() -> None:
    images = people([0.25, 0.5, 0.9])
    where = skin(images)
    assert where[:, 20, 16].all()
    assert not where[:, 2, 2].any(), "the ground is none"
    assert not where[:, 13, 11].any(), "nor is an eye"
    tone = skin_lightness(images)
    assert (tone.diff() > 15).all()
    darker = skin_lightness(images * 0.9 - 0.1, where) - tone
    assert (darker < -1).all()


def test_fifths_of_skin_divide_people() -> None:
    fifths = fifths_of_skin(people([0.3, 0.9, 0.5, 0.7, 0.6, 0.35, 0.95, 0.55, 0.75, 0.65]))
    assert list(fifths) == [f"skin: {name} fifth" for name in ("darkest", "second", "third", "fourth", "lightest")]
    assert torch.stack([*fifths.values()]).sum(0).eq(1).all()
    assert fifths["skin: darkest fifth"].nonzero().flatten().tolist() == [0, 5]
    assert fifths["skin: lightest fifth"].nonzero().flatten().tolist() == [1, 6]
