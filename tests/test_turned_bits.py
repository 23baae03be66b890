"""Every file of weights or axes tells at once when a bit of it has turned over; older files, which cannot, are read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from attrimorph import load
from attrimorph.applications.axes import load_pack, save_pack
from attrimorph.data.images import Frame
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import SHIPPED
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import Judge
from attrimorph.photographs.fields import Fields, load_fields
from tests.tiny_models import tiny_model


def write_model(path: Path) -> None:
    path.write_bytes(tiny_model(path.parent / "tiny").to_bytes())


def write_fields(path: Path) -> None:
    Fields(gain=torch.rand(1, 3, 8, 8)).save(path, Frame((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 8))


WRITTEN: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "model": (write_model, load),
    "judge": (lambda path: Judge.load("drawn-faces-32").save(path), Judge.load),
    "identity encoder": (lambda path: IdentityEncoder.load("drawn-faces-32").save(path), IdentityEncoder.load),
    "axes": (lambda path: save_pack(load_pack(SHIPPED / "axes-pggan-drawn-64.safetensors"), path), load_pack),
    "fields": (write_fields, load_fields),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_turned_bit_is_told(kind: str, tmp_path: Path) -> None:
    write, read = WRITTEN[kind]
    path = tmp_path / "written.safetensors"
    write(path)
    read(path)
    with safe_open(path, framework="pt") as file:
        assert list(file.metadata()) == ["attrimorph"]  # the order of several entries would change with every writing
    content = path.read_bytes()
    write(path)
    assert path.read_bytes() == content or kind == "fields"  # these are drawn
    damaged = bytearray(content)
    damaged[-4] ^= 1  # of a number that stays finite
    path.write_bytes(damaged)
    with pytest.raises(AttrimorphError, match="that were written"):
        read(path)
