"""Generators from outside: a real torch.export file, what it may give, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attrimorph.applications.axes.choosing import OutsideGenerator
from attrimorph.applications.axes.editor import AxisEditor, Remembered
from attrimorph.applications.axes.fitting import fit_axes, judged_by
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code


class Foreign(nn.Module):
    """z [B, 5] -> images [B, 3, 16, 16] in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(5, 3 * 16 * 16)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).sigmoid().view(-1, 3, 16, 16)


def exported(path: Path, *, dynamic: bool = True, module: nn.Module | None = None, batch: int = 4) -> Path:
    shapes = {"z": {0: torch.export.Dim("batch", min=1, max=4096)}} if dynamic else None
    program = torch.export.export((module or Foreign()).eval(), (torch.zeros(batch, 5),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("dynamic", [True, False])
def test_it_decodes_as_the_module_does(tmp_path: Path, dynamic: bool) -> None:
    model = OutsideGenerator(exported(tmp_path / "foreign one!.pt2", dynamic=dynamic), values="0..1")
    assert model.image_size == 16
    assert model.shape == (5,)
    assert model.recipe.name == "foreign one-"
    code = model.sample_codes(70, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = Foreign()(code.z) * 2 - 1
    torch.testing.assert_close(model.decode(code), expected)


def test_axes_fit_and_edit_a_generator_from_outside(tmp_path: Path) -> None:
    model = OutsideGenerator(exported(tmp_path / "foreign.pt2"), values="0..1")

    class Red:
        name, schema = "judge red", Schema((Attribute("Red"), Attribute("Blue")))

        def __call__(self, images: Tensor) -> Tensor:
            return (20 * images[:, ::2].mean((2, 3))).sigmoid()

    pack = fit_axes(model, judged_by(model, Red(), count=1000))
    code = next(drawn_codes(model, 20, 5))
    own = Remembered(model.decode(code), code)
    editor = AxisEditor(model, pack, locks=["Blue"], invert=own)
    assert editor.schema.names == ("outside", "Red", "Blue")
    edited = editor.edit(own.images, {"Red": 1.0})
    assert ((Red()(edited)[:, 0] > 0.5).float().mean()) > 0.8


def test_what_is_no_generator_is_told(tmp_path: Path) -> None:
    for name, content, sentence in (
        ("g.pt", b"x", r"must be a \.pt2 or \.onnx file; got g\.pt"),
        ("g.pt2", b"nothing", r"must be a generator of one input saved by torch\.export\.save"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AttrimorphError, match=sentence):
            OutsideGenerator(tmp_path / name)
    with pytest.raises(AttrimorphError, match="cannot read"):
        OutsideGenerator(tmp_path / "none.pt2")
    grey = nn.Sequential(nn.Linear(5, 256), nn.Unflatten(1, (1, 16, 16)))
    program = torch.export.export(grey.eval(), (torch.zeros(4, 5),))
    torch.export.save(program, tmp_path / "grey.pt2")
    with pytest.raises(
        AttrimorphError, match=r"must give square colour images \[B, 3, S, S\]; it gives \(1, 1, 16, 16\)"
    ):
        OutsideGenerator(tmp_path / "grey.pt2")


def test_onnx_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(AttrimorphError, match=r"onnxruntime|no readable ONNX file"):
        OutsideGenerator(path)


def test_codes_have_no_attributes(tmp_path: Path) -> None:
    model = OutsideGenerator(exported(tmp_path / "foreign.pt2"))
    code = model.sample_codes(3, torch.Generator().manual_seed(0))
    assert isinstance(code, Code)
    assert not model.conditional
