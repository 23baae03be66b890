"""Morphs at an even perceptual speed."""

from pathlib import Path

import torch

from attrimorph.applications.morph import morph, pixel_distance, step_length
from attrimorph.applications.paths import linear, spherical
from attrimorph.data.drawn import faces
from attrimorph.loading import load
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.metrics.responses import unevenness
from attrimorph.pictures import to_pil
from attrimorph.requests.morph import Morph
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model


def test_the_steps_of_a_uniform_morph_look_alike() -> None:
    model = load("drawn-faces-64")
    assert isinstance(model, Editor)
    images = faces.render(faces.sample_factors(2, torch.Generator().manual_seed(8)), 64)
    look = step_length(model)
    found = {}
    for path in ("linear", "uniform"):
        made = morph(model, images[:1], images[1:], 6, path=path)
        assert made.code is not None
        found[path] = unevenness(look(made.images[:-1], made.images[1:]).double()[None])
        assert torch.equal(made.images[0], model.decode(model.encode(images[:1]))[0])
        assert torch.equal(made.images[-1], model.decode(model.encode(images[1:]))[0])
        assert torch.equal(made.code.attributes[-1], model.encode(images[1:]).attributes[0])
    assert found["uniform"] < 0.6 * found["linear"]


def test_lines_and_arcs_at_given_positions() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    for way in (linear, spherical):
        every = way(a, b, 11)
        some = way(a, b, torch.tensor([0.0, 0.3, 1.0]))
        assert torch.allclose(some, every[[0, 3, 10]], atol=1e-6)
        assert torch.equal(some[0], a)
        assert torch.equal(some[-1], b)


def test_a_uniform_morph_is_made_again_from_its_receipt(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")  # 16 px: no judge ships, pixels are compared
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    pictures = to_pil(faces.render(faces.sample_factors(2, torch.Generator().manual_seed(1)), 16))
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    written = Morph(model=tmp_path / "run", images=paths, steps=5, path="uniform").write(tmp_path / "m.png", model)
    assert replay(written.receipt).identical
    plain = Morph(model=tmp_path / "run", images=paths, steps=5).write(tmp_path / "p.png", model)
    assert plain.pictures[0].read_bytes() != written.pictures[0].read_bytes()


def test_the_pixel_distance_by_hand() -> None:
    a, b = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    b[:, :, ::2] = 1  # stripes: gone at half size but for their mean
    assert torch.allclose(pixel_distance(a, b), torch.tensor([(0.5 + 0.25 + 0.25) / 3]))
