"""Super-resolution agrees with every known pixel, and knows more of drawn faces than bicubic does."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.filling import (
    averaged,
    back_projected,
    enlarged,
    small_image,
    superresolve,
)
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Model
from attrimorph.requests.generating import Superresolve
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("model"))


def drawn(count: int, size: int) -> Tensor:
    return faces.render(faces.sample_factors(count, torch.Generator().manual_seed(6)), size)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_result_averages_down_to_the_input(model: Model, factor: int) -> None:
    low = averaged(drawn(3, 16), 16 // factor)
    result = superresolve(model, low, rounds=2)
    assert result.images.shape == (3, 3, 16, 16)
    assert result.images.abs().max() <= 1
    difference = (averaged(result.images, 16 // factor) - low).abs()
    assert difference.max() <= 0.1 * 2 / 255
    torch.testing.assert_close(result.disagreement, difference.flatten(1).amax(1) * 255 / 2)


def test_back_projection_keeps_what_agrees_and_reaches_black_and_white() -> None:
    images = drawn(2, 16)
    assert torch.equal(back_projected(images, averaged(images, 4)), images)
    checks = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).repeat(2, 2)[None, None].expand(1, 3, 4, 4)
    torch.testing.assert_close(
        averaged(back_projected(torch.zeros(1, 3, 16, 16), checks), 4), checks, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("low", "rounds", "sentence"),
    [
        (torch.zeros(1, 3, 16, 16), 1, "smaller than the model's 16 pixels"),
        (torch.zeros(1, 3, 5, 5), 1, "by a whole factor; got 5x5"),
        (torch.zeros(1, 3, 4, 8), 1, "must be square"),
        (torch.zeros(1, 3, 4, 4), 0, "rounds must lie in"),
    ],
)
def test_bad_arguments_are_refused(model: Model, low: Tensor, rounds: int, sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        superresolve(model, low, rounds=rounds)


def test_a_small_picture_is_read_as_it_is_and_a_large_one_is_shrunk(model: Model, tmp_path: Path) -> None:
    Image.effect_noise((8, 8), 90).convert("RGB").save(tmp_path / "small.png")
    Image.effect_noise((40, 48), 90).convert("RGB").save(tmp_path / "large.png")
    low, truth = small_image(model, tmp_path / "small.png", None)
    assert low.shape == (1, 3, 8, 8)
    assert truth is None
    low, truth = small_image(model, tmp_path / "large.png", 4)
    assert truth is not None
    assert torch.equal(truth, model.prepared([tmp_path / "large.png"]))
    torch.testing.assert_close(low, averaged(truth, 4), atol=1.01 / 255, rtol=0)
    with pytest.raises(AttrimorphError, match="add --times-larger 4"):
        small_image(model, tmp_path / "large.png", None)
    with pytest.raises(AttrimorphError, match="divide the model's 16 pixels; got 3"):
        small_image(model, tmp_path / "large.png", 3)


def test_the_written_picture_still_agrees_within_a_level(model: Model, tmp_path: Path) -> None:
    Image.effect_noise((8, 8), 90).convert("RGB").save(tmp_path / "small.png")
    written = Superresolve(model="tiny", image=tmp_path / "small.png", rounds=1).write(tmp_path / "out.png", model)
    low, _ = small_image(model, tmp_path / "small.png", None)
    large = model.prepared([written.pictures[1]])
    assert (averaged(large, 8) - low).abs().max() <= 0.6 * 2 / 255


def test_the_shipped_model_beats_bicubic_on_drawn_faces() -> None:
    images = drawn(8, 64)
    low = averaged(images, 16)
    result = superresolve(load("drawn-faces-64"), low, rounds=2)
    plain = back_projected(enlarged(low, 64), low)
    assert psnr(result.images, images).mean() > psnr(plain, images).mean() + 0.5
