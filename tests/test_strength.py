"""Calibrated strength: the map itself, in a model's header, and in what the model does."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.applications.edit import edit
from attrimorph.applications.generating import sample
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes
from attrimorph.loading import load, read_header
from attrimorph.methods.cvae_gan.model import Editor
from attrimorph.models import SET, TAKEN_AWAY, Strengths, with_header
from attrimorph.models.model import Code
from tests.tiny_models import tiny_model

MAPS = Strengths({"Smiling": {SET: (0.1, 0.4, 0.9), TAKEN_AWAY: (0.5,)}}, {"measured by": "nobody"})


@pytest.mark.parametrize(
    ("strength", "position"),
    [(0, 0), (0.25, 0.1), (0.5, 0.4), (0.625, 0.65), (0.75, 0.9), (1, 1), (1.5, 1.5), (-0.25, -0.25), (-0.5, -0.5)],
)
def test_a_strength_becomes_its_position(strength: float, position: float) -> None:
    assert MAPS.position("Smiling", strength) == pytest.approx(position)
    assert MAPS.position("Male", strength) == strength


def test_a_map_rises_and_meets_both_ends() -> None:
    found = [MAPS.position("Smiling", step / 100) for step in range(-200, 201)]
    assert found == sorted(found)
    assert MAPS.position("Smiling", 1 - 1e-9) == pytest.approx(1, abs=1e-6)
    assert math.isnan(MAPS.position("Smiling", float("nan")))


def test_json_and_back() -> None:
    assert Strengths.from_json(MAPS.to_json(), faces.SCHEMA) == MAPS


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([], "positions and about"),
        ({"version": 1, "positions": {}}, "positions and about"),
        ({"version": 2, "positions": {}, "about": {}}, "update attrimorph"),
        ({"version": 1, "positions": {"Smilign": {}}, "about": {}}, "did you mean 'Smiling'"),
        ({"version": 1, "positions": {"Smiling": {"up": [0.5]}}, "about": {}}, "must stand under"),
        ({"version": 1, "positions": {"Smiling": {"set": []}}, "about": {}}, "never fall"),
        ({"version": 1, "positions": {"Smiling": {"set": [0.5, 0.4]}}, "about": {}}, "never fall"),
        ({"version": 1, "positions": {"Smiling": {"set": [0.5, 1.2]}}, "about": {}}, "never fall"),
        ({"version": 1, "positions": {"Smiling": {"set": [float("nan")]}}, "about": {}}, "never fall"),
        ({"version": 1, "positions": {"Smiling": {"set": [True]}}, "about": {}}, "never fall"),
        ({"version": 1, "positions": {"Smiling": {"set": ["0.5"]}}, "about": {}}, "never fall"),
    ],
)
def test_a_bad_map_is_told_when_the_model_is_loaded(value: Any, word: str, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match=word):
        Strengths.from_json(value, faces.SCHEMA)
    model = tiny_model(tmp_path)
    path = tmp_path / "model.safetensors"
    write_bytes(path, with_header(path, {**model.header, "strength": value}))
    with pytest.raises(AttrimorphError, match=f"header.*does not fit.*{word}"):
        load(path)


def test_a_model_edits_at_the_position_of_its_file(tmp_path: Path) -> None:
    raw = tiny_model(tmp_path)
    assert isinstance(raw, Editor)
    path = tmp_path / "calibrated.safetensors"
    write_bytes(path, with_header(tmp_path / "model.safetensors", {**raw.header, "strength": MAPS.to_json()}))
    model = load(path)
    assert isinstance(model, Editor)
    assert model.hash != raw.hash
    images = faces.render(faces.sample_factors(3, torch.Generator().manual_seed(1)), 16)
    labels = torch.zeros(3, faces.SCHEMA.width)
    assert torch.equal(model.edit(images, {"Smiling": 0.5}, labels), raw.edit(images, {"Smiling": 0.4}, labels))
    assert torch.equal(model.edit(images, {"Smiling": 1.5}, labels), raw.edit(images, {"Smiling": 1.5}, labels))
    assert not torch.equal(model.edit(images, {"Smiling": 0.5}, labels), raw.edit(images, {"Smiling": 0.5}, labels))
    # The switch that turns it off, and back on again.
    plain = edit(model, images, {"Smiling": 0.5}, labels, calibrated=False, composition="whole face")
    assert torch.equal(plain.edited, raw.edit(images, {"Smiling": 0.5}, labels))
    changed = edit(model, images, {"Smiling": 0.5}, labels, composition="whole face")
    assert torch.equal(changed.edited, raw.edit(images, {"Smiling": 0.4}, labels))
    again = model.with_strengths(Strengths()).with_strengths(MAPS)
    assert again.moved(labels, {"Smiling": 0.5}).max() == torch.tensor(0.4)
    # Samples go by the same scale.
    made, code = sample(model, 2, seed=1, changes={"Smiling": 0.5}), sample(raw, 2, seed=1).code
    moved = raw.schema.edit(code.attributes, {"Smiling": 0.4})
    assert torch.equal(made.images, raw.decode(Code(code.z, moved)))


def test_another_header_keeps_every_weight(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    path = tmp_path / "model.safetensors"
    before = path.read_bytes()
    header = read_header(path).json
    assert with_header(path, header) == before
    write_bytes(path, with_header(path, {**header, "strength": MAPS.to_json()}))
    again = load(path)
    for name, network in model.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, again.networks[name].state_dict()[key]), key
