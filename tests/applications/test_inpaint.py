"""Inpainting: what is known stays, what the hole hid plays no part, and a hole comes to be filled."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.filling import feathered, hole_mask, inpaint, mask_for, spread
from attrimorph.applications.inputs import attributes_of
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Model
from attrimorph.pictures import to_pil
from attrimorph.requests.generating import Inpaint
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return faces.render(faces.sample_factors(3, torch.Generator().manual_seed(4)), 16)


def box(left: int, top: int, right: int, bottom: int, size: int = 16) -> Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., top:bottom, left:right] = 1
    return mask


MASK = box(4, 6, 11, 12)


@pytest.mark.parametrize("feather", [0, 3])
@pytest.mark.parametrize("fill", ["border", "mean"])
def test_known_pixels_stay_to_the_last_bit(model: Model, images: Tensor, fill: str, feather: int) -> None:
    result = inpaint(model, images, MASK, times=3, fill=fill, feather=feather)
    known = (MASK == 0).expand_as(images)
    for step in result.steps:
        assert torch.equal(step[known], images[known])
    hole = (MASK == 1).expand_as(images)
    assert (result.inpainted[hole] - images[hole]).abs().max() > 0.01


@pytest.mark.parametrize("feather", [0, 3])
def test_what_the_hole_hides_plays_no_part(model: Model, images: Tensor, feather: int) -> None:
    other = torch.where(MASK > 0, -images, images)
    first, second = (inpaint(model, each, MASK, times=2, feather=feather).inpainted for each in (images, other))
    assert torch.equal(first, second)


def test_every_step_is_the_reconstruction_of_the_one_before(model: Model, images: Tensor) -> None:
    y = attributes_of(model, images)
    result = inpaint(model, images, MASK, y, times=2)
    for before, after in zip(result.steps[:-1], result.steps[1:], strict=True):
        expected = torch.where(MASK > 0, model.decode(model.encode(before, y)), images)
        torch.testing.assert_close(after, expected)


def test_known_attributes_are_put_over_the_guess(model: Model, images: Tensor) -> None:
    result = inpaint(model, images, MASK, times=1, known={"Smiling": 1})
    assert result.attributes[:, faces.SCHEMA.names.index("Smiling")].eq(1).all()


def test_spreading_keeps_a_plain_colour_and_a_slope_nearly() -> None:
    plain = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(spread(plain, box(8, 8, 20, 24, 32)), plain)
    slope = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32).clone()
    filled = spread(torch.where(box(12, 12, 20, 20, 32) > 0, 9.0, slope), box(12, 12, 20, 20, 32))
    assert (filled - slope).abs().max() < 0.15


def test_feathering_takes_a_constant_difference_away_at_the_border_and_leaves_the_middle() -> None:
    image, mask = torch.zeros(1, 3, 32, 32), box(6, 6, 26, 26, 32)
    proposal = torch.full_like(image, 0.5)
    result = feathered(image, proposal, mask, 4)
    assert float(result[0, 0, 16, 16]) == 0.5
    column = result[0, 0, 16, 6:12]
    torch.testing.assert_close(column, 0.5 * torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0, 1.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("mask", "arguments", "sentence"),
    [
        (torch.zeros(1, 1, 16, 16), {}, "this one is nothing"),
        (torch.ones(1, 1, 16, 16), {}, "this one is everything"),
        (torch.ones(1, 1, 8, 8), {}, "must have the shape"),
        (MASK, {"times": 0}, "times must lie in"),
        (MASK, {"fill": "snow"}, "fill must be border or mean"),
        (MASK, {"feather": -1}, "feather must lie in"),
    ],
)
def test_bad_arguments_are_refused(
    model: Model, images: Tensor, mask: Tensor, arguments: dict[str, object], sentence: str
) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        inpaint(model, images, mask, **arguments)  # type: ignore[arg-type]


def test_a_model_without_an_encoder_is_refused(tmp_path: Path, images: Tensor) -> None:
    with pytest.raises(AttrimorphError, match=r"^inpaint needs a model that encodes"):
        inpaint(tiny_model(tmp_path, method="gan"), images, MASK)


def test_a_mask_goes_where_its_picture_goes(model: Model, tmp_path: Path) -> None:
    # A white square on black, in a picture that is cropped and shrunk to a quarter.
    picture = Image.new("RGB", (96, 64), "black")
    picture.paste("white", (32, 16, 64, 40))
    picture.save(tmp_path / "a.png")
    picture.convert("L").save(tmp_path / "mask.png")
    from_file = mask_for(model, tmp_path / "a.png", tmp_path / "mask.png")
    assert torch.equal(from_file, mask_for(model, tmp_path / "a.png", (32, 16, 64, 40)))
    seen = model.prepared([tmp_path / "a.png"])[:, :1]
    assert from_file[seen > -0.8].eq(1).all()
    assert from_file.sum() < 1.9 * (seen > 0).sum()


def test_a_mask_of_the_models_size_is_taken_as_it_is(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert torch.equal(mask_for(model, tmp_path / "a.png", (4, 6, 11, 12)), MASK)
    Image.new("L", (16, 17)).save(tmp_path / "mask.png")
    with pytest.raises(AttrimorphError, match="must have the picture's 16x16 pixels"):
        mask_for(model, tmp_path / "a.png", tmp_path / "mask.png")


def test_a_photograph_with_something_rubbed_out_is_a_mask(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "white").save(tmp_path / "a.png")
    hole = (4, 6, 11, 12)
    rubbed = Image.effect_noise((16, 16), 200).convert("RGBA")
    rubbed.paste((255, 255, 255, 0), hole)
    rubbed.save(tmp_path / "rubbed.png")
    assert torch.equal(mask_for(model, tmp_path / "a.png", tmp_path / "rubbed.png"), MASK)
    rubbed.save(tmp_path / "rubbed.webp", lossless=True)
    assert torch.equal(mask_for(model, tmp_path / "a.png", tmp_path / "rubbed.webp"), MASK)
    # Turned by the camera: the mask turns as its photograph does.
    turned = Image.Exif()
    turned[0x0112] = 6
    rubbed.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=turned)
    assert torch.equal(mask_for(model, tmp_path / "a.png", tmp_path / "turned.png"), MASK)
    opaque = Image.new("RGBA", (16, 16), (0, 0, 0, 255))
    opaque.paste((255, 255, 255, 255), hole)
    opaque.save(tmp_path / "opaque.png")
    assert torch.equal(mask_for(model, tmp_path / "a.png", tmp_path / "opaque.png"), MASK)
    strokes = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    strokes.paste((255, 255, 255, 255), hole)
    strokes.save(tmp_path / "strokes.png")
    with pytest.raises(AttrimorphError, match=r"strokes.png is white strokes .* fill the ground with black"):
        mask_for(model, tmp_path / "a.png", tmp_path / "strokes.png")


@pytest.mark.parametrize("hole", [(4, 4, 4, 8), (0, 0, 17, 4), (-1, 0, 3, 3)])
def test_a_hole_must_lie_inside(hole: tuple[int, int, int, int]) -> None:
    with pytest.raises(AttrimorphError, match="must lie inside the picture of 16x16"):
        hole_mask((16, 16), hole)


def test_the_result_alone_has_the_inputs_pixels_outside_the_hole(model: Model, images: Tensor, tmp_path: Path) -> None:
    to_pil(images)[0].save(tmp_path / "a.png")
    written = Inpaint(model="tiny", image=tmp_path / "a.png", hole=(4, 6, 11, 12), times=2).write(
        tmp_path / "out.png", model
    )
    before = model.prepared([tmp_path / "a.png"])
    after = model.prepared([written.pictures[1]])
    known = (MASK == 0).expand_as(before)
    assert torch.equal(before[known], after[known])
    assert not torch.equal(before, after)


def test_the_shipped_model_fills_eyes_and_mouths_better_than_their_border_does() -> None:
    shipped = load("drawn-faces-64")
    factors = faces.sample_factors(12, torch.Generator().manual_seed(5))
    images = faces.render(factors, 64)
    for hole in ((14, 24, 50, 36), (20, 42, 44, 54)):
        mask = box(*hole, size=64).expand(12, -1, -1, -1)
        result = inpaint(shipped, images, mask, times=2)
        filled = psnr(result.inpainted, images, mask).mean()
        assert filled > psnr(result.steps[0], images, mask).mean() + 0.3
