"""Augmentation: exact geometry, masks that follow, colours that keep their meaning, flips only where labels allow."""

import pytest
import torch
from torch.nn.functional import pad

from attrimorph.data import Attribute, Schema
from attrimorph.data.loader import Augment, generator_for
from attrimorph.errors import AttrimorphError


def batch(count: int = 16, size: int = 16) -> torch.Tensor:
    images = torch.rand(count, 3, size, size, generator=generator_for(7)) * 1.6 - 0.8
    return images.contiguous(memory_format=torch.channels_last)


def test_nothing_changes_nothing() -> None:
    images = batch()
    same, masks = Augment()(images, None, generator_for(0))
    assert torch.equal(same, images)
    assert masks is None


def test_a_shift_is_a_window_of_the_mirrored_image_and_masks_follow() -> None:
    images = batch()
    shifted, masks = Augment(shift=0.2)(images, images[:, :1].clone(), generator_for(0))
    assert masks is not None
    assert torch.equal(shifted[:, :1], masks)
    mirrored = pad(images, (3, 3, 3, 3), mode="reflect")
    places = set()
    for row in range(len(images)):
        windows = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if torch.equal(shifted[row], mirrored[row, :, y : y + 16, x : x + 16])
        ]
        assert len(windows) == 1
        places.add(windows[0])
    assert len(places) > 8
    assert shifted.is_contiguous(memory_format=torch.channels_last)


def test_shifts_reach_both_ends() -> None:
    images = batch(400, 10)
    shifted, _ = Augment(shift=0.1)(images, None, generator_for(0))
    mirrored = pad(images, (1, 1, 1, 1), mode="reflect")
    counts = [
        sum(torch.equal(shifted[row], mirrored[row, :, y : y + 10, x : x + 10]) for row in range(400))
        for y in range(3)
        for x in range(3)
    ]
    assert sum(counts) == 400
    assert min(counts) > 20


def test_flips_mirror_about_half_of_the_images_and_their_masks() -> None:
    images = batch(64)
    flipped, masks = Augment(flip=0.5)(images, images[:, :1].clone(), generator_for(0))
    mirrored = [torch.equal(flipped[row], images[row].flip(2)) for row in range(64)]
    same = [torch.equal(flipped[row], images[row]) for row in range(64)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48
    assert masks is not None
    assert torch.equal(masks, flipped[:, :1])
    always, _ = Augment(flip=1.0)(images, None, generator_for(0))
    assert torch.equal(always, images.flip(3))


def test_colour_is_brightness_of_contrast_of_saturation() -> None:
    images = batch()
    tinted, masks = Augment(colour=0.4)(images, images[:, :1].clone(), generator_for(0))
    assert masks is not None
    assert torch.equal(masks, images[:, :1])
    generator = generator_for(0)
    torch.rand(16, 2, generator=generator), torch.rand(16, generator=generator)
    factors = 1 + 0.4 * (2 * torch.rand(16, 3, generator=generator) - 1)
    for row in range(16):
        brightness, contrast, saturation = factors[row].double().tolist()
        light = (images[row].double() + 1) / 2
        grey = 0.299 * light[0] + 0.587 * light[1] + 0.114 * light[2]
        light = grey + saturation * (light - grey)
        light = grey.mean() + contrast * (light - grey.mean())
        expected = (brightness * light * 2 - 1).clamp(-1, 1)
        torch.testing.assert_close(tinted[row].double(), expected, atol=1e-5, rtol=0)
    assert tinted.min() >= -1
    assert tinted.max() <= 1


def test_grey_stays_grey_and_black_stays_black() -> None:
    grey = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).expand(4, 3, 8, 8).contiguous()
    tinted, _ = Augment(colour=0.5)(grey, None, generator_for(1))
    torch.testing.assert_close(tinted[:, 0], tinted[:, 2], atol=1e-6, rtol=0)
    black, _ = Augment(colour=0.5)(torch.full((4, 3, 8, 8), -1.0), None, generator_for(1))
    torch.testing.assert_close(black, torch.full_like(black, -1.0), atol=1e-6, rtol=0)


def test_one_setting_does_not_change_the_draws_of_another() -> None:
    images = batch()
    shifted, _ = Augment(shift=0.2)(images, None, generator_for(4))
    both, _ = Augment(shift=0.2, flip=1.0)(images, None, generator_for(4))
    assert torch.equal(both, shifted.flip(3))


@pytest.mark.parametrize("name", ["Left_Handed", "looksRight", "eye left", "RIGHT", "facing=left"])
def test_flips_are_refused_where_labels_tell_sides(name: str) -> None:
    head, _, value = name.partition("=")
    attribute = Attribute(head, "categorical", (value, "other")) if value else Attribute(head)
    schema = Schema((Attribute("Smiling"), attribute))
    with pytest.raises(AttrimorphError, match="flip must be 0"):
        Augment(flip=0.5).check(schema)
    Augment(shift=0.1).check(schema)


def test_flips_are_allowed_where_words_only_look_alike() -> None:
    Augment(flip=0.5).check(Schema((Attribute("Bright_Light"), Attribute("Cleft_Chin"), Attribute("Upright"))))


@pytest.mark.parametrize(
    "options", [{"shift": 0.6}, {"shift": -0.1}, {"flip": 1.5}, {"colour": 1.0}, {"flip": float("nan")}]
)
def test_settings_out_of_range_are_told(options: dict[str, float]) -> None:
    with pytest.raises(AttrimorphError, match=f"augmentation {next(iter(options))} must be between 0 and"):
        Augment(**options)
