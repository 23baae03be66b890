"""Fields: the equation, what they explain, how they scale and add up, and a picture of any size with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from attrimorph.data.drawn import faces
from attrimorph.data.images import Frame
from attrimorph.errors import AttrimorphError
from attrimorph.photographs.fields import Fields, apply, changed, composed, explain, load_fields

FRAMES = {
    "inside": Frame((1.5, 0, 40, 0, 1.5, 30), 64),
    "turned": Frame((1.4, 0.5, 30, -0.5, 1.4, 70), 64),
    "half outside": Frame((2, 0, -20.5, 0, 2, 90), 64),
    "upside down": Frame((-1.5, 0, 150, 0, -1.5, 140), 64),
    "smaller than the square": Frame((0.6, 0.1, 90, -0.1, 0.6, 90), 64),
}


def pixels(kind: type = np.uint8, channels: int = 3) -> np.ndarray:
    top = np.iinfo(kind).max
    return np.random.default_rng(0).integers(0, top, (180, 200, channels), dtype=kind)


def smooth(channels: int, seed: int = 0) -> Tensor:
    small = torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    return 0.2 * F.interpolate(small, size=64, mode="bicubic")


def some_fields(seed: int = 0) -> Fields:
    values = smooth(10, seed)
    return Fields(None, values[:, :3], values[:, 3:6], values[:, 6:7].clamp(0, 1), values[:, 7:])


def test_the_equation_by_hand() -> None:
    one = torch.ones(1, 1, 4, 4)
    x = torch.full((1, 3, 4, 4), 0.5)
    fields = Fields(None, 0.2 * one.expand(-1, 3, -1, -1), 0.1 * one.expand(-1, 3, -1, -1), 0.25 * one,
                    -one.expand(-1, 3, -1, -1))  # fmt: skip
    torch.testing.assert_close(changed(x, fields), torch.full_like(x, 0.75 * (1.2 * 0.5 + 0.1) - 0.25))


def test_flow_takes_pixels_from_where_it_points() -> None:
    x = smooth(3).clamp(-1, 1)
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0], flow[:, 1] = 3 / 64, -2 / 64
    moved = changed(x, Fields(flow))
    torch.testing.assert_close(moved[..., 5:60, 5:60], x[..., 3:58, 8:63])


def test_what_moves_by_part_of_a_pixel_keeps_its_grain() -> None:
    """A bilinear warp took a fifth of the sharpness of all skin that moved."""
    grain = np.random.default_rng(0).integers(90, 166, (64, 64, 3), dtype=np.uint8)
    around = np.asarray(Image.fromarray(grain).resize((128, 128), Image.Resampling.LANCZOS))  # as a lens draws it
    fields = Fields(flow=torch.full((1, 2, 32, 32), 0.5 / 128))
    moved = apply(around, Frame((4, 0, 0, 0, 4, 0), 32), fields)
    before, after = (np.abs(np.diff(each.astype(float), 2, axis=1))[32:96, 32:96].mean() for each in (around, moved))
    assert 0.9 < after / before < 1.15


def test_half_of_a_field_and_two_of_them() -> None:
    x, one, other = smooth(3, 5), some_fields(1), some_fields(2)
    half = changed(x, Fields(shift=one.shift) * 0.5)
    torch.testing.assert_close(half, x + one.shift / 2)
    torch.testing.assert_close(changed(x, one + other), changed(changed(x, one), other))
    assert torch.equal(changed(x, one * 0), x)
    assert torch.equal(changed(x, Fields()), x)


def test_fields_explain_an_edit_and_leave_what_it_leaves() -> None:
    images = faces.render(faces.sample_factors(2, torch.Generator().manual_seed(0)), 64)
    before = F.avg_pool2d(images, 3, 1, 1)
    after = before.clone()
    after[:, :, 20:40, 20:40] = before[:, :, 20:40, 20:40] * 0.7 + 0.3
    fields = explain(before, after)
    a, b = fields.affine()
    assert not a[:, :, :15].any()
    assert not b[:, :, :15].any()
    found = composed(images, before, after)
    assert torch.equal(found[:, :, :15], images[:, :, :15])
    # A change of colour is one of the picture's own pixels.
    inside = slice(24, 36)
    expected = images[:, :, inside, inside] * 0.7 + 0.3
    assert (found[:, :, inside, inside] - expected).abs().mean() < 0.02
    assert torch.equal(composed(images, before, before), images)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_outside_its_frame_a_picture_is_the_same_and_no_rim_shows(name: str, kind: type) -> None:
    frame, top = FRAMES[name], np.iinfo(kind).max
    grey = np.full((180, 200, 4), top // 3, kind)
    found = apply(grey, frame, Fields(shift=torch.ones(1, 3, 64, 64)))
    a, b, c, d, e, f = frame.inverse
    y, x = np.mgrid[:180, :200] + 0.5
    u, v = a * x + b * y + c, d * x + e * y + f
    outside = (u < 0) | (v < 0) | (u > 64) | (v > 64)
    assert np.array_equal(found[outside], grey[outside])
    assert np.array_equal(found[..., 3], grey[..., 3])
    assert not np.array_equal(found, grey)
    difference = (found.astype(float) - grey)[..., 0] * 255 / top
    for axis in (0, 1):
        at_the_rim = np.diff(outside, axis=axis)
        assert np.abs(np.diff(difference, axis=axis))[at_the_rim].max() <= (1 if kind == np.uint8 else 0.5)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("fields", [some_fields(), Fields(flow=0.3 * smooth(2))], ids=["colours", "flow"])
def test_a_part_at_a_time_is_the_whole(frame: Frame, fields: Fields, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = apply(pixels(), frame, fields)
    monkeypatch.setattr("attrimorph.photographs.fields.AT_ONCE", 700)
    assert np.abs(apply(pixels(), frame, fields).astype(int) - whole).max() <= 1


def test_an_enlarged_field_lies_where_a_picture_enlarged_alike_has_it() -> None:
    small, fields = smooth(3).clamp(-1, 1), Fields(shift=smooth(3, 1))
    large = F.interpolate(small, scale_factor=4, mode="bicubic")
    expected = large + F.interpolate(fields.shift, scale_factor=4, mode="bicubic")
    levels = ((large[0].permute(1, 2, 0).numpy() + 1) * 32767.5).round().astype(np.uint16)
    for turned in (0.0, 1e-9):  # the second goes the way of frames that do not stand upright
        found = apply(levels, Frame((4, turned, 0, -turned, 4, 0), 64), fields)
        difference = found / 32767.5 - 1 - expected[0].permute(1, 2, 0).numpy()
        assert np.abs(difference).mean() < 0.005


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_grey_pictures_and_those_with_an_alpha(channels: int) -> None:
    found = apply(pixels(channels=channels), FRAMES["inside"], some_fields())
    assert found.shape == (180, 200, channels)
    assert (channels in (1, 3)) or np.array_equal(found[..., -1], pixels(channels=channels)[..., -1])


def test_the_models_own_square_is_changed_whole() -> None:
    small = pixels()[:64, :64]
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = ((changed(x, some_fields())[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    assert np.abs(apply(small, Frame((1, 0, 0, 0, 1, 0), 64), some_fields()).astype(int) - expected).max() <= 1


def test_fields_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "fields.safetensors"
    some_fields().save(path, FRAMES["turned"], changes={"Smiling": 1.0})
    fields, frame = load_fields(path)
    assert frame == FRAMES["turned"]
    assert np.array_equal(apply(pixels(), frame, fields), apply(pixels(), frame, some_fields()))
    path.write_bytes(b"something else")
    with pytest.raises(AttrimorphError, match="holds no fields that can be read"):
        load_fields(path)
    with pytest.raises(AttrimorphError, match=r"none\.safetensors"):
        load_fields(tmp_path / "none.safetensors")
