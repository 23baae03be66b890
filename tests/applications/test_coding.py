"""Verbs that look for codes: any generator will do, the result is nearer, and a receipt repeats it exactly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attrimorph.applications import Search
from attrimorph.applications.edit import edit
from attrimorph.applications.filling import averaged, inpaint, superresolve
from attrimorph.applications.generating import reconstruct
from attrimorph.applications.inversion import Downsampled, Pixels, inversion
from attrimorph.applications.morph import morph, square
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Code, Encodes, Model
from attrimorph.pictures import to_pil
from attrimorph.requests.edit import Edit
from attrimorph.requests.generating import Inpaint, Invert, Reconstruct, Superresolve
from attrimorph.requests.morph import Morph
from attrimorph.requests.receipt import Written
from attrimorph.requests.replay import replay
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model

Make = Callable[[Path], Model]
KINDS: dict[str, Make] = {
    "gan": lambda folder: tiny_model(folder, method="gan"),
    "cvae-gan": tiny_model,
    "discvae": tiny_layers,
    "pggan": lambda folder: small_model(folder, "pggan-drawn-64"),
}
BRIEF = Search(8, candidates=8)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return KINDS[request.param](tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("gan"), method="gan")


@pytest.fixture(scope="module")
def cgan(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("cgan"), method="cgan")


def drawn(model: Model, count: int = 3) -> Tensor:
    return faces.render(faces.sample_factors(count, torch.Generator().manual_seed(4)), model.image_size)


def hole(model: Model) -> Tensor:
    side = model.image_size
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : side // 2, side // 4 : side // 4 * 3] = 1
    return mask


def test_what_is_found_is_nearer_than_where_it_began(model: Model) -> None:
    images = drawn(model)
    result = reconstruct(model, images, invert=Search(25, candidates=8, prior=0.0))
    assert result.inversion is not None
    assert bool((result.inversion.after <= result.inversion.before).all())
    assert result.inversion.after.sum() < 0.98 * result.inversion.before.sum()
    torch.testing.assert_close(result.reconstructions, model.decode(result.code), rtol=0, atol=0)
    if isinstance(model, Encodes):
        plain = reconstruct(model, images)
        assert plain.inversion is None
        assert bool((psnr(result.reconstructions, images) > psnr(plain.reconstructions, images)).all())


def test_a_morph_goes_between_what_was_found(model: Model) -> None:
    images = drawn(model, 2)
    result = morph(model, images[:1], images[1:], 4, invert=BRIEF)
    found = inversion(model, images, search=BRIEF).code
    torch.testing.assert_close(result.images[:1], model.decode(Code(found.z[:1], found.attributes[:1])))
    torch.testing.assert_close(result.images[-1:], model.decode(Code(found.z[1:], found.attributes[1:])))
    assert result.code is not None
    torch.testing.assert_close(result.code.z[1], (2 * found.z[0] + found.z[1]) / 3)
    with pytest.raises(AttrimorphError, match="the path pixel goes through none"):
        morph(model, images[:1], images[1:], 4, path="pixel", invert=BRIEF)


def test_a_square_lies_between_what_was_found(model: Model) -> None:
    images = drawn(model, 4)
    result = square(model, images, 3, invert=BRIEF)
    found = inversion(model, images, search=BRIEF).code
    assert result.code is not None
    assert result.inversion is not None
    torch.testing.assert_close(result.code.z[[0, 2, 6, 8]], found.z)
    # Nine pictures at once and four at once are rounded otherwise.
    corners = result.images[[0, 0, 2, 2], [0, 2, 0, 2]]
    torch.testing.assert_close(corners, model.decode(found), atol=1e-4, rtol=0)


@pytest.mark.parametrize("feather", [0, 2])
def test_known_pixels_stay_to_the_last_bit_and_hidden_ones_play_no_part(model: Model, feather: int) -> None:
    images, mask = drawn(model), hole(model)
    result = inpaint(model, images, mask, feather=feather, invert=BRIEF)
    known = (mask == 0).expand_as(images)
    assert torch.equal(result.inpainted[known], images[known])
    assert len(result.steps) == 2
    other = inpaint(model, torch.where(mask > 0, -images, images), mask, feather=feather, invert=BRIEF)
    assert torch.equal(result.inpainted, other.inpainted)
    found = inversion(model, result.steps[0], distance=Pixels(images, 1 - mask), search=BRIEF)
    if not feather:
        inside = (mask > 0).expand_as(images)
        torch.testing.assert_close(result.inpainted[inside], model.decode(found.code)[inside])


def test_a_small_image_is_looked_for_by_its_means(model: Model) -> None:
    low = averaged(drawn(model), model.image_size // 4)
    result = superresolve(model, low, invert=BRIEF)
    assert (averaged(result.images, low.shape[-1]) - low).abs().max() <= 0.1 * 2 / 255
    found = inversion(model, result.bicubic, distance=Downsampled(low), search=BRIEF)
    assert result.inversion is not None
    torch.testing.assert_close(result.inversion.after, found.after)


def test_an_edit_moves_the_attributes_of_what_was_found(cgan: Model) -> None:
    images = drawn(cgan)
    changes = {"Smiling": 1.0, "Male": -0.5}
    result = edit(cgan, images, changes, known={"Male": 1}, invert=BRIEF, composition="whole face")
    names = faces.SCHEMA.names
    assert result.before[:, names.index("Male")].eq(1).all()
    assert result.after[:, names.index("Male")].eq(0.5).all()
    assert result.after[:, names.index("Smiling")].eq(1).all()
    assert result.inversion is not None
    code = result.inversion.code
    torch.testing.assert_close(result.edited, cgan.decode(Code(code.z, result.after)))
    torch.testing.assert_close(result.reconstructions, cgan.decode(code))


def test_an_edit_starts_from_the_encoder_and_reaches_nearer(tmp_path: Path) -> None:
    editor = tiny_model(tmp_path)
    images = drawn(editor)
    plain, found = (edit(editor, images, {"Smiling": 1.0}, invert=search) for search in (None, Search(25, prior=0.0)))
    assert plain.reconstructions is not None
    assert found.reconstructions is not None
    assert bool((psnr(found.reconstructions, images) > psnr(plain.reconstructions, images)).all())


def test_refusals_name_the_remedy(gan: Model, cgan: Model) -> None:
    image = drawn(gan, 1)
    for verb, call in (
        ("reconstruct", lambda: reconstruct(gan, image)),
        ("morph", lambda: morph(gan, image, image)),
        ("inpaint", lambda: inpaint(gan, image, hole(gan))),
        ("superresolve", lambda: superresolve(gan, averaged(image, 4))),
        ("edit", lambda: edit(cgan, image, {"Smiling": 1.0})),
    ):
        with pytest.raises(AttrimorphError, match=f"^{verb} needs a model that .*; add --invert to look for the code"):
            call()
    with pytest.raises(AttrimorphError, match=r"whose images depend on attributes; those of 'tiny' \(gan\) do not"):
        edit(gan, image, {"Smiling": 1.0}, invert=BRIEF)
    with pytest.raises(AttrimorphError, match="did you mean 'Smiling'"):
        edit(cgan, image, {"Smilling": 1.0}, invert=Search(100_000))


# --- receipts


Verb = Callable[[Model, list[Path], Path, Search], Written]
VERBS: dict[str, Verb] = {
    "reconstruct": lambda m, p, out, s: Reconstruct(model=out.parent / "run", images=p, invert=s).write(out, m),
    "morph": lambda m, p, out, s: Morph(model=out.parent / "run", images=p, steps=3, invert=s).write(out, m),
    "inpaint": lambda m, p, out, s: Inpaint(model=out.parent / "run", image=p[0], hole=(4, 4, 20, 12), invert=s).write(
        out, m
    ),
    "superresolve": lambda m, p, out, s: Superresolve(
        model=out.parent / "run", image=p[0], times_larger=4, invert=s
    ).write(out, m),
    "edit": lambda m, p, out, s: Edit(
        model=out.parent / "run", images=p, changes={"Smiling": 1.0}, known={"Male": 1}, invert=s
    ).write(out, m),
}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    images = faces.render(faces.sample_factors(2, torch.Generator().manual_seed(1)), 32)
    found = [tmp_path / "a.png", tmp_path / "b.png"]
    for image, path in zip(to_pil(images), found, strict=True):
        image.save(path)
    return found


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["cgan", "cvae-gan-edit"])
def test_what_time_ended_is_repeated_to_the_last_pixel(
    verb: str, method: str, paths: list[Path], tmp_path: Path
) -> None:
    model = tiny_model(tmp_path / "run", method=method)
    written = VERBS[verb](model, paths, tmp_path / "out.png", Search(10_000, candidates=8, seconds=0.1, rate=0.15))
    told = json.loads(written.receipt.read_text())["arguments"]["invert"]
    assert 0 < told["steps"] < told["of"] == 10_000
    assert told["rate"] == 0.15
    assert replay(written.receipt).identical


@pytest.mark.parametrize("path", ["linear", "slerp", "uniform", "bilinear"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_morph_between_found_codes_is_repeated_to_the_last_pixel(
    kind: str, path: str, paths: list[Path], tmp_path: Path
) -> None:
    model = KINDS[kind](tmp_path / "run")
    inputs = [*paths, *paths[::-1]] if path == "bilinear" else paths
    search, progress = Search(10_000, candidates=8, seconds=0.1), []
    written = Morph(model=tmp_path / "run", images=inputs, path=path, steps=3, invert=search).write(
        tmp_path / "out.png", model, progress=lambda done, steps: progress.append((done, steps))
    )
    words = json.loads(written.receipt.read_text())["arguments"]
    assert words["path"] == path
    assert words["invert"]["steps"] == progress[-1][0]
    assert len(progress) == progress[-1][0] + 1  # the strip and the animation share one search
    assert replay(written.receipt).identical


def test_a_damaged_receipt_gets_a_sentence(paths: list[Path], tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    written = VERBS["reconstruct"](model, paths, tmp_path / "out.png", BRIEF)
    told = json.loads(written.receipt.read_text())
    for wrong in ({}, {**told["arguments"]["invert"], "steps": "many"}, 3):
        told["arguments"]["invert"] = wrong
        written.receipt.write_text(json.dumps(told))
        with pytest.raises(AttrimorphError, match="its argument 'invert' is wrong"):
            replay(written.receipt)


def test_without_an_inversion_a_receipt_is_as_it_was(paths: list[Path], tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    written = Reconstruct(model=tmp_path / "run", images=paths).write(tmp_path / "out.png", model)
    assert json.loads(written.receipt.read_text())["arguments"] == {"known": {}}


def test_many_images_get_as_many_steps_as_the_first_have_time_for(
    gan: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attrimorph.applications.inversion.AT_ONCE", 2)
    images = drawn(gan, 5)
    found = inversion(gan, images, search=Search(10_000, candidates=8, seconds=0.3))
    assert 0 < found.steps < 10_000
    again = inversion(gan, images, search=Search(10_000, candidates=8, stop=found.steps))
    torch.testing.assert_close(again.code.z, found.code.z, rtol=0, atol=0)


def test_receipts_of_invert_from_before_rates_were_told(paths: list[Path], tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    written = Invert(model=tmp_path / "run", images=paths, steps=3).write(tmp_path / "out.png", model)
    told = json.loads(written.receipt.read_text())
    for name in ("rate", "label_rate"):
        told["arguments"].pop(name)
    written.receipt.write_text(json.dumps(told))
    assert replay(written.receipt).identical
    assert model.prepared([written.pictures[1]]).shape == (1, 3, 16, 16)
