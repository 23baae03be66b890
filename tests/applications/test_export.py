"""Exported programs do what the model does, as other runtimes read them."""

import json
from pathlib import Path

import pytest
import torch

from attrimorph.applications.axes.choosing import OutsideGenerator
from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.hub import Part, export
from attrimorph.loading import load
from attrimorph.models.model import Code
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model


def onnx_output(path: Path, *inputs: torch.Tensor) -> torch.Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    names = [each.name for each in session.get_inputs()]
    return torch.from_numpy(
        session.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})[0]
    )


def pt2_output(path: Path, *inputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.export.load(path).module()(*inputs)
    return found


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("part", ["generator", "encoder", "classifier"])
def test_a_program_does_what_the_model_does(part: Part, suffix: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    written = export(model, tmp_path / f"program{suffix}", part=part)
    assert written.difference < 1e-4
    code = model.sample_codes(5, torch.Generator().manual_seed(1))
    images = model.decode(code)
    y = code.attributes.clone()
    y[:, 3] = torch.nan
    wanted = {
        "generator": ((code.z, y), model.decode(Code(code.z, y))),
        "encoder": ((images, y), model.encode(images, y).z),  # type: ignore[attr-defined]
        "classifier": ((images,), model.classify(images)),
    }
    inputs, expected = wanted[part]
    output = (pt2_output if suffix == ".pt2" else onnx_output)(written.path, *inputs)
    assert torch.allclose(output, expected, atol=1e-4)
    assert list(written.inputs) == {"generator": ["z", "attributes"], "encoder": ["images", "attributes"]}.get(
        part, ["images"]
    )


def test_an_onnx_file_tells_what_it_is(tmp_path: Path) -> None:
    import onnx

    model = tiny_model(tmp_path / "run")
    path = export(model, tmp_path / "program.onnx").path
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    told = {each.key: each.value for each in proto.metadata_props}
    assert told["attrimorph model_sha256"] == model.hash
    assert Schema.from_json(json.loads(told["attrimorph schema"])) == model.schema
    assert [each.name for each in proto.graph.input] == ["z", "attributes"]


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_an_unconditional_generator_comes_back_as_one_from_outside(suffix: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run", method="gan")
    outside = OutsideGenerator(export(model, tmp_path / f"gan{suffix}").path)
    code = model.sample_codes(3, torch.Generator().manual_seed(1))
    assert torch.allclose(outside.decode(Code(code.z, torch.zeros(3, 1))), model.decode(code), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "part"),
    [("pggan-drawn-64", "generator"), ("discvae-drawn-64", "encoder"), ("discvae-drawn-64", "generator"),
     ("homointerp-drawn-64", "encoder"), ("homointerp-drawn-64", "classifier")],
)  # fmt: skip
def test_shipped_models_are_exported_for_batches_of_any_size(name: str, part: Part, tmp_path: Path) -> None:
    written = export(load(name), tmp_path / "program.pt2", part=part)
    assert written.difference < 1e-4


def test_a_layered_model_is_exported(tmp_path: Path) -> None:
    model = tiny_layers(tmp_path / "run")
    assert export(model, tmp_path / "layers.pt2").difference < 1e-4


def test_what_cannot_be_exported_gets_a_sentence_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match=r"must be a \.pt2 or \.onnx file"):
        export(tiny_model(tmp_path / "run"), tmp_path / "it.bin")
    cycle = small_model(tmp_path / "cycle", "cyclegan-64")
    for part, words in (("generator", "generates images"), ("encoder", "that encodes")):
        with pytest.raises(AttrimorphError, match=words):
            export(cycle, tmp_path / "it.pt2", part=part)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("it.*"))


def test_a_program_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attrimorph.hub.CLOSE", -1.0)
    with pytest.raises(AttrimorphError, match="must agree with the model"):
        export(tiny_model(tmp_path / "run"), tmp_path / "it.pt2")
    assert not (tmp_path / "it.pt2").exists()
