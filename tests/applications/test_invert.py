"""Inversion: codes that a generator made are found again; known pixels, smaller images, what a network sees."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from attrimorph.applications import Search
from attrimorph.applications.inversion import (
    CodeSearch,
    Downsampled,
    Perceptual,
    Pixels,
    convolution_maps,
    distance_to,
    inversion,
    known_alone,
    perceptual_maps,
    rate_factor,
)
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import parse_header
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Code, Model
from attrimorph.networks.convolutional import FittedPrior
from attrimorph.pictures import to_pil
from attrimorph.requests.generating import Invert
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_layers, tiny_model


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("editor"))


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("gan"), method="gan")


def made(model: Model, count: int = 3, seed: int = 5) -> tuple[Tensor, Code]:
    """Pictures of the model's own, and their codes."""
    code = model.sample_codes(count, torch.Generator().manual_seed(seed))
    return model.decode(code), code


def test_what_a_gan_made_is_found_again(gan: Model) -> None:
    images, code = made(gan)
    found = inversion(gan, images, search=Search(300, prior=0.0, starts=2))
    assert psnr(gan.decode(found.code), images).min() > 30
    assert bool((found.after < found.before).all())
    torch.testing.assert_close(found.code.z, code.z, rtol=0, atol=0.3)


def test_with_an_encoder_it_starts_there_and_ends_nearer(editor: Model) -> None:
    images, code = made(editor)
    found = inversion(editor, images, code.attributes, search=Search(40, prior=0.0))
    start = editor.encode(images, code.attributes)  # type: ignore[attr-defined]
    torch.testing.assert_close(found.start.z, start.z)
    assert torch.equal(found.code.attributes, code.attributes)
    better, first = psnr(editor.decode(found.code), images), psnr(editor.decode(start), images)
    assert bool((better > first).all())
    assert inversion(editor, images, code.attributes, search=Search(2)).code.z.shape == code.z.shape


def test_no_step_is_the_start_and_the_best_step_is_kept(editor: Model) -> None:
    images, code = made(editor)
    start = inversion(editor, images, code.attributes, search=Search(0))
    torch.testing.assert_close(start.code.z, start.start.z, rtol=0, atol=0)
    # A rate that throws the code about: what is returned is no worse than the start all the same.
    wild = inversion(editor, images, code.attributes, search=Search(5, rate=100.0, prior=0.0))
    assert bool((wild.after <= wild.before).all())


def test_images_are_looked_for_each_on_its_own(editor: Model) -> None:
    images, code = made(editor)
    together = inversion(editor, images, code.attributes, search=Search(10)).code.z
    alone = [
        inversion(editor, images[i : i + 1], code.attributes[i : i + 1], search=Search(10)).code.z for i in (0, 1, 2)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_unknown_attributes_are_looked_for_and_known_ones_kept(editor: Model) -> None:
    images, code = made(editor)
    y = code.attributes.clone()
    y[:, 5:] = torch.nan
    found = inversion(editor, images, y, search=Search(30)).code.attributes
    assert torch.equal(found[:, :5], y[:, :5])
    assert 0 <= found.min() <= found.max() <= 1
    guess = editor.guess_attributes(images)
    assert bool((found[:, 5:] != guess[:, 5:]).any())


def test_the_prior_keeps_codes_likely(gan: Model) -> None:
    images, _ = made(gan)
    free, held = (inversion(gan, images, search=Search(60, prior=weight)).code.z for weight in (0.0, 1e4))
    assert held.norm() < 0.3 * free.norm()


def test_unlikelihood_is_that_of_the_fitted_gaussian(editor: Model) -> None:
    prior = FittedPrior(8)
    prior.fit(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1, torch.zeros(50, 8))
    grey = torch.zeros(1, 3, 16, 16)
    codes = CodeSearch(editor, grey, None, Pixels(grey), torch.zeros(1), Search(), 0)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(codes.unlikelihood(z), 0.5 * z.square().sum(1))
    codes.prior = prior
    true = torch.distributions.MultivariateNormal(prior.mean, prior.factor @ prior.factor.T)
    log = true.log_prob(z) - true.log_prob(prior.mean)
    torch.testing.assert_close(codes.unlikelihood(z), -log, rtol=1e-4, atol=1e-4)


def test_the_best_samples_are_the_starts(gan: Model) -> None:
    images, _ = made(gan)
    search = Search(0, candidates=20, starts=2, seed=3)
    found = inversion(gan, images, search=search)
    codes = gan.sample_codes(20, torch.Generator().manual_seed(3))
    brute = torch.stack([0.5 * (gan.decode(codes) - image).square().sum((1, 2, 3)) for image in images])
    torch.testing.assert_close(found.before, brute.amin(1))
    torch.testing.assert_close(found.code.z, codes.z[brute.argmin(1)])


def test_known_attributes_go_with_every_candidate(tmp_path: Path) -> None:
    cgan = tiny_model(tmp_path, method="cgan")
    images, code = made(cgan)
    found = inversion(cgan, images, code.attributes, search=Search(0, candidates=12))
    z = cgan.sample_codes(12, torch.Generator().manual_seed(0)).z
    brute = [
        min(float(0.5 * (cgan.decode(Code(row[None], y[None])) - image).square().sum()) for row in z)
        for image, y in zip(images, code.attributes, strict=True)
    ]
    assert found.before.tolist() == pytest.approx(brute, rel=1e-4)
    assert torch.equal(found.code.attributes, code.attributes)


# --- distances


def test_distances_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    images, pictures = (torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    rows, known = torch.tensor([1, 0]), (torch.rand(1, 1, 8, 8, generator=generator) > 0.5).float()
    other = images.flip(0)
    torch.testing.assert_close(Pixels(images)(pictures, rows), 0.5 * (pictures - other).square().sum((1, 2, 3)))
    torch.testing.assert_close(
        Pixels(images, known)(pictures, rows), 0.5 * ((pictures - other).square() * known).sum((1, 2, 3))
    )
    small = torch.nn.functional.avg_pool2d(images, 4)
    coarse = 0
    for i, j in itertools.product(range(2), repeat=2):
        block = (slice(None), slice(None), slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))
        coarse = coarse + (pictures[block].mean((2, 3)) - other[block].mean((2, 3))).square().sum(1)
    torch.testing.assert_close(Downsampled(small)(pictures, rows), 0.5 * 16 * coarse)
    with pytest.raises(AttrimorphError, match="whole number of times"):
        Downsampled(torch.zeros(2, 3, 3, 3))(pictures, rows)


def test_a_hole_does_not_matter_and_is_filled(gan: Model) -> None:
    images, _ = made(gan)
    known = torch.ones(1, 1, 16, 16)
    known[..., 4:12, 4:12] = 0
    holed = images.clone()
    holed[..., 4:12, 4:12] = 1
    found = inversion(gan, holed, distance=Pixels(holed, known), search=Search(300, prior=0.0, starts=2))
    inside = (1 - known).expand(3, -1, -1, -1)
    filled, mean = (
        psnr(gan.decode(found.code), images, inside),
        psnr(images.mean((2, 3), True).expand_as(images), images, inside),
    )
    assert bool((filled > mean + 5).all())


def test_a_network_sees_differences(editor: Model) -> None:
    images, _ = made(editor)
    seen = perceptual_maps(editor)(images)
    assert len(seen) == 2
    torch.testing.assert_close(seen[0], editor.networks["classifier"].trunk.convolutions[0](images))
    distance = Perceptual(images, convolution_maps(editor.networks["classifier"]))
    rows = torch.arange(3)
    assert distance(images, rows).abs().max() < 1e-3
    moved = images.clone().requires_grad_()
    distance(moved + 0.1 * images.flip(0), rows).sum().backward()
    assert moved.grad is not None
    assert bool(moved.grad.ne(0).any())
    found = inversion(editor, images, distance=distance, search=Search(10))
    assert bool((found.after < found.before).all())


def test_words_for_distances(editor: Model) -> None:
    images = torch.zeros(1, 3, 16, 16)
    assert isinstance(distance_to(editor, images), Pixels)
    assert isinstance(distance_to(editor, images, factor=4), Downsampled)
    assert isinstance(distance_to(editor, images, "perceptual"), Perceptual)
    with pytest.raises(AttrimorphError, match="choose one"):
        distance_to(editor, images, "perceptual", factor=2)
    with pytest.raises(AttrimorphError, match="must divide"):
        distance_to(editor, images, factor=3)


# --- time, refusals, the verb


def test_a_budget_of_time_ends_the_search(editor: Model) -> None:
    images, code = made(editor)
    seen: list[tuple[int, int]] = []
    found = inversion(
        editor,
        images,
        code.attributes,
        search=Search(100_000, seconds=0.2),
        progress=lambda done, steps: seen.append((done, steps)),
    )
    assert 0 < found.steps < 100_000
    assert seen[-1] == (found.steps, 100_000)
    again = inversion(editor, images, code.attributes, search=Search(100_000, stop=found.steps))
    torch.testing.assert_close(again.code.z, found.code.z, rtol=0, atol=0)


def test_the_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[0] < 0.2
    assert max(factors) > 0.95
    assert factors[-1] < 0.001
    assert factors[20:] == sorted(factors[20:], reverse=True)


def test_refusals(editor: Model) -> None:
    with pytest.raises(AttrimorphError, match="resize them first"):
        inversion(editor, torch.zeros(1, 3, 8, 8))
    for wrong in ({"steps": -1}, {"starts": 0}, {"starts": 300}, {"seconds": 0.0}, {"prior": -1.0}, {"rate": 0.0}):
        with pytest.raises(AttrimorphError, match="must"):
            Search(**wrong)  # type: ignore[arg-type]

    class Deaf(Model):
        """A model that generates nothing."""

    deaf = Deaf({}, parse_header(editor.header), "cpu", "")
    with pytest.raises(AttrimorphError, match="generates images from codes"):
        inversion(deaf, torch.zeros(1, 3, 16, 16))


def test_known_attributes_alone() -> None:
    schema = Schema(
        (
            Attribute("Smiling"),
            Attribute("person", "categorical", ("Ada", "Grace")),
            Attribute("age", "real", (), 40.0, 10.0),
        )
    )
    y = known_alone(schema, 2, {"Smiling": 0, "person=Grace": 1, "age": 60})
    assert y.tolist() == [[0, 0, 1, 2]] * 2
    assert bool(known_alone(schema, 1, {"age": 30})[:, :3].isnan().all())
    with pytest.raises(AttrimorphError, match="0 or 1"):
        known_alone(schema, 1, {"Smiling": 0.5})


def test_the_verb_writes_a_sheet_and_can_be_repeated(tmp_path: Path) -> None:
    model = tiny_layers(tmp_path / "run")
    images = faces.render(faces.sample_factors(2, torch.Generator().manual_seed(1)), 32)
    paths = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "mask.png"]
    for image, path in zip(to_pil(images), paths, strict=False):
        image.save(path)
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 24, 24))
    mask.save(paths[2])
    for number, options in enumerate(
        ({"known": {"Male": 1}}, {"mask": paths[2]}, {"factor": 4}, {"compared": "perceptual"})
    ):
        out = tmp_path / f"{number}.png"
        written = Invert(model=tmp_path / "run", images=paths[:2], steps=6, candidates=8, **options).write(out, model)
        assert [path.name for path in written.pictures] == [
            f"{number}.png",
            *(f"{number}.found-{i}.png" for i in (1, 2)),
        ]
        assert replay(written.receipt).identical


def test_a_mask_is_white_where_the_hole_is_and_as_large_as_the_images(tmp_path: Path) -> None:
    model = tiny_layers(tmp_path / "run")
    Image.new("RGB", (16, 16), "grey").save(tmp_path / "a.png")
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 12))
    mask.save(tmp_path / "mask.png")
    ImageOps.invert(mask).save(tmp_path / "known.png")
    words = {"model": tmp_path / "run", "images": [tmp_path / "a.png"], "steps": 2, "candidates": 8}
    written = [
        Invert(**words, **mask).write(tmp_path / f"{place}.png", model)
        for place, mask in enumerate(
            ({"mask": tmp_path / "mask.png"}, {"mask": tmp_path / "known.png", "white": "known"})
        )
    ]
    found = [np.asarray(Image.open(each.pictures[1])) for each in written]
    assert np.array_equal(*found)
    # A receipt of before says nothing of what is white: the known was.
    told = json.loads(written[1].receipt.read_text())
    del told["arguments"]["white"]
    written[1].receipt.write_text(json.dumps(told))
    assert replay(written[1].receipt).identical
    Image.new("L", (20, 16)).save(tmp_path / "wide.png")
    with pytest.raises(AttrimorphError, match="must have the picture's 16x16 pixels"):
        Invert(**words, mask=tmp_path / "wide.png").write(tmp_path / "c.png", model)


def test_codes_stay_as_short_as_drawn_ones_when_asked(gan: Model, editor: Model) -> None:
    images, _ = made(gan)
    far = inversion(gan, images, search=Search(60, rate=2.0, prior=0.0)).code.z
    near = inversion(gan, images, search=Search(60, rate=2.0, prior=0.0, within=1.0)).code.z
    # The start may be longer: only what is found on the way is drawn in.
    assert near.norm(dim=1).max() < far.norm(dim=1).max()
    prior = FittedPrior(8)
    prior.fit(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1, torch.zeros(50, 8))
    grey = torch.zeros(1, 3, 16, 16)
    codes = CodeSearch(editor, grey, None, Pixels(grey), torch.zeros(1), Search(), 0)
    codes.prior = prior
    z = 20 * torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    short = torch.cat([z, prior.mean[None]])
    codes.draw_in(short, 0.5)
    torch.testing.assert_close(codes.whitened(short[:4]).norm(dim=1), torch.full((4,), 0.5 * 8**0.5))
    torch.testing.assert_close(short[4], prior.mean)
    with pytest.raises(AttrimorphError, match="within must be above 0"):
        Search(within=0.0)
