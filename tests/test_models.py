"""One contract for the models of every method; and what a model file promises."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attrimorph.applications.calibrate import write_calibrated
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load, read_header
from attrimorph.methods.cvae_gan.model import Autoencoder, Editor, Sampler
from attrimorph.methods.cvae_gan.recipe import METHODS
from attrimorph.models import Strengths, shipped
from attrimorph.models.model import Code, Decodes, Edits, Encodes
from tests.tiny_models import tiny_model

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
LABELS = (torch.rand(3, faces.SCHEMA.width, generator=torch.Generator().manual_seed(4)) > 0.5).float()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_model_that_keeps_the_contract(method: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method=method)
    trained = set(METHODS[method].networks)
    assert isinstance(model, Decodes)
    assert isinstance(model, Encodes) == ("encoder" in trained)
    assert isinstance(model, Edits) == ("encoder" in trained and METHODS[method].conditional)

    codes = model.sample_codes(4, torch.Generator().manual_seed(1))
    images = model.decode(codes)
    assert images.shape == (4, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    # An image depends on its own code alone.
    torch.testing.assert_close(model.decode(Code(codes.z[:1], codes.attributes[:1])), images[:1], atol=1e-5, rtol=0)
    # The same generator draws the same codes.
    again = model.sample_codes(4, torch.Generator().manual_seed(1))
    assert torch.equal(again.z, codes.z)
    assert torch.equal(again.attributes, codes.attributes)

    flipped = model.decode(Code(codes.z, 1 - codes.attributes))
    assert torch.equal(flipped, images) == (not METHODS[method].conditional)

    if isinstance(model, Autoencoder):
        code = model.encode(IMAGES, LABELS)
        assert code.z.shape == (3, 8)
        torch.testing.assert_close(model.encode(IMAGES[1:2], LABELS[1:2]).z, code.z[1:2], atol=1e-5, rtol=0)
    if isinstance(model, Editor):
        reconstruction = model.decode(model.encode(IMAGES, LABELS))
        assert torch.equal(model.edit(IMAGES, {}, LABELS), reconstruction)
        assert torch.equal(model.edit(IMAGES, {"Smiling": 0.0}, LABELS), reconstruction)
        assert not torch.equal(model.edit(IMAGES, {"Smiling": 1.0}, 0 * LABELS), model.edit(IMAGES, {}, 0 * LABELS))


def test_a_model_without_classifier_cannot_guess_and_says_so(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method="cvae")
    assert isinstance(model, Editor)
    with pytest.raises(AttrimorphError, match="no classifier to guess attributes"):
        model.encode(IMAGES)
    assert model.encode(IMAGES, LABELS).z.shape == (3, 8)


def test_missing_attributes_are_blanked_not_spread(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert isinstance(model, Editor)
    unknown = LABELS.clone()
    unknown[:, 0] = torch.nan
    halves = LABELS.clone()
    halves[:, 0] = 0.5
    assert torch.equal(model.decode(model.encode(IMAGES, unknown)), model.decode(model.encode(IMAGES, halves)))


def test_the_file_alone_is_the_model(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "a")
    (tmp_path / "b.safetensors").write_bytes(model.to_bytes())
    other = load(tmp_path / "b.safetensors")
    assert other.schema == faces.SCHEMA
    assert other.recipe == model.recipe
    assert other.hash == model.hash
    code = model.sample_codes(2, torch.Generator().manual_seed(0))
    assert torch.equal(other.decode(code), model.decode(code))


def test_half_precision_weights_load_as_float32(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    weights = {name: value.half() for name, value in load_file(tmp_path / "model.safetensors").items()}
    header = {key: value for key, value in model.header.items() if key != "crc32"}
    save_file(weights, tmp_path / "half.safetensors", {"attrimorph": json.dumps(header)})
    half = load(tmp_path / "half.safetensors")
    code = model.sample_codes(2, torch.Generator().manual_seed(0))
    assert half.decode(code).dtype == torch.float32
    torch.testing.assert_close(half.decode(code), model.decode(code), atol=2e-2, rtol=0)


def test_a_run_folder_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    old = tiny_model(tmp_path / "run" / "checkpoints" / "000000100", seed=1)
    new = tiny_model(tmp_path / "run" / "checkpoints" / "000002000", seed=2)
    assert load(tmp_path / "run").hash == new.hash != old.hash


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda header: None, "was not written by attrimorph"),
        (lambda header: {**header, "format": 99}, "has format 99"),
        (lambda header: {k: v for k, v in header.items() if k != "schema"}, "no 'schema' in its header"),
        (lambda header: {**header, "recipe": {**header["recipe"], "mehtod": 1}}, "no field 'mehtod'"),
        (lambda header: {**header, "schema": {"attributes": 3}}, "no attribute schema"),
    ],
)
def test_a_foreign_or_damaged_header_is_told(change, sentence: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = tiny_model(tmp_path)
    header = change(model.header)
    path = tmp_path / "other.safetensors"
    save_file(
        load_file(tmp_path / "model.safetensors"), path, {"attrimorph": json.dumps(header)} if header else {"by": "x"}
    )
    with pytest.raises(AttrimorphError, match=sentence):
        load(path)


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_turned_bit_of_a_weight_is_told(calibrated: bool, tmp_path: Path) -> None:
    tiny_model(tmp_path)
    path = tmp_path / "model.safetensors"
    if calibrated:  # which writes another header before the same weights
        write_calibrated(path, Strengths({"Smiling": {"set": (0.4,)}}))
    load(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(AttrimorphError, match="does not hold the weights that were written"):
        load(path)


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["generator.last.bias"] = torch.zeros(7)
    save_file(weights, tmp_path / "other.safetensors", {"attrimorph": json.dumps(model.header)})
    with pytest.raises(AttrimorphError, match="do not fit its recipe"):
        load(tmp_path / "other.safetensors")


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(AttrimorphError, match="no readable model file"):
        read_header(tmp_path / "cut.safetensors")


def test_an_unknown_source_is_told() -> None:
    with pytest.raises(AttrimorphError, match="no run folder, model file or shipped model 'nowhere'"):
        load("nowhere")


def test_a_plain_model_is_no_editor(tmp_path: Path) -> None:
    assert type(tiny_model(tmp_path, method="gan")) is Sampler


EMPTY = """
import sys, torch
from attrimorph.data.drawn.faces import SCHEMA
from attrimorph.methods import METHODS
from attrimorph.methods.recipes import RECIPES
from attrimorph.models.model import Unfilled
for name, make in RECIPES.items():
    recipe = make()
    if name in ("cyclegan", "cyclegan-64"):
        recipe = recipe.with_changes({"domains.attribute": "Smiling"})
    with torch.device("meta"), Unfilled():
        networks = METHODS[recipe.method].trained().networks(recipe, SCHEMA, {"prior"})
    assert all(value.is_meta for network in networks.values() for value in network.state_dict().values()), name
    slow = [module for module in ("torch._dynamo", "sympy") if module in sys.modules]
    assert not slow, (name, slow)
"""


def test_empty_networks_of_every_recipe_are_built_without_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", EMPTY], check=True)


def test_loaded_weights_are_those_of_the_file() -> None:
    for name, path in shipped().items():
        model, held = load(name), load_file(path)
        got = {
            f"{part}.{key}": value for part, net in model.networks.items() for key, value in net.state_dict().items()
        }
        assert got.keys() == held.keys()
        assert all(torch.equal(got[key].cpu(), held[key].to(got[key].dtype)) for key in held)
        assert model.hash == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("method", ["gan", "cgan", "cvae-gan-edit"])
def test_a_model_says_what_it_is_and_can(method: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method=method)
    for word in ("tiny", method, "16x16", f"{faces.SCHEMA.width} attributes", "0 images seen", model.hash[:12]):
        assert word in repr(model)
    assert model.can == (("encode", "edit", "sample") if method == "cvae-gan-edit" else ("sample",))
    facts = model.attributes["Smiling"]
    assert (facts.edits, facts.samples) == (method == "cvae-gan-edit", method != "gan")
    assert list(model.attributes) == list(faces.SCHEMA.names)


def test_attributes_are_a_table_with_what_was_measured(tmp_path: Path) -> None:
    schema = Schema((Attribute("Smiling"), Attribute("kind", "categorical", ("cat", "dog")), Attribute("age", "real")))
    model = tiny_model(tmp_path, schema=schema)
    model.card["figures"] = {"edit.reached_when_set.Smiling": 0.987}
    assert str(model.attributes).splitlines() == [
        "attribute  edits  samples  reached when set  when taken away  kind",
        "Smiling    yes    yes      98.7%             not measured     binary",
        "kind       yes    yes      not measured      not measured     one of cat, dog",
        "age        yes    yes      not measured      not measured     real",
    ]
    assert model.attributes["kind"].values == ("cat", "dog")
    with pytest.raises(KeyError, match="did you mean 'Smiling'"):
        model.attributes["Smilling"]
    assert model.attributes.get("Smilling") is None


def test_a_model_samples_with_attributes_set(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    plain, again = model.sample(3, seed=5), model.sample(3, seed=5)
    assert torch.equal(plain, again)
    assert torch.equal(plain, model.decode(model.sample_codes(3, torch.Generator().manual_seed(5))))
    column = faces.SCHEMA.names.index("Smiling")
    assert bool((model.draw(3, {"Smiling": 1}, seed=5).attributes[:, column] == 1).all())
    assert not torch.equal(model.sample(3, {"Smiling": 1}, seed=5), model.sample(3, {"Smiling": -1}, seed=5))
    with pytest.raises(AttrimorphError, match=r"count must lie in 1\.\.4096; got 0"):
        model.sample(0)
    with pytest.raises(AttrimorphError, match="do not depend on attributes"):
        tiny_model(tmp_path / "gan", method="gan").sample(1, {"Smiling": 1})
