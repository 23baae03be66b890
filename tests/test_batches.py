"""Many images: encoded once for several edits, and shared by processes, with the same results."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

import attrimorph
from attrimorph.models.batches import RepeatedEdits
from attrimorph.models.model import CodedEncoder, Edits, Model
from tests import sharing
from tests.small_models import pictures, small_model
from tests.tiny_models import tiny_model


@pytest.mark.parametrize("name", ["tiny", "homointerp-drawn-64", "attgan-64", "retouch-64", "cyclegan-64"])
def test_repeated_edits_are_edits(name: str, tmp_path: Path) -> None:
    model: Model = tiny_model(tmp_path) if name == "tiny" else small_model(tmp_path, name)
    assert isinstance(model, Edits)
    images = pictures(5, model.image_size)
    labels = (torch.rand(5, model.schema.width, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    for attributes in (labels, None) if "classifier" in model.networks else (labels,):
        edits = RepeatedEdits(model, images, attributes)
        for changes in ({}, {"Smiling": 1.0}, {"Smiling": -0.5}) if name != "cyclegan-64" else ({"Smiling": 1.0},):
            torch.testing.assert_close(edits(changes), model.edit(images, changes, attributes), atol=1e-5, rtol=0)
        rows = torch.tensor([4, 1])
        alone = model.edit(images[rows], {"Smiling": 1.0}, None if attributes is None else attributes[rows])
        torch.testing.assert_close(edits({"Smiling": 1.0}, rows), alone, atol=1e-5, rtol=0)


def test_each_image_is_encoded_once(tmp_path: Path) -> None:
    model, images = tiny_model(tmp_path), pictures(5, 16)
    with patch.object(CodedEncoder, "encode", autospec=True, side_effect=CodedEncoder.encode) as encode:
        edits = RepeatedEdits(model, images, None)
        assert not torch.equal(edits({"Smiling": 1.0}), edits({"Smiling": -1.0}))
        assert encode.call_count == 1


def test_two_processes_share_an_evaluation_and_the_drawing_of_axes(tmp_path: Path) -> None:
    tiny_model(tmp_path, size=32)
    paths = [str(Path(attrimorph.__file__).parents[1]), str(Path(__file__).parents[1])]
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    subprocess.run(
        [
            sys.executable,
            *["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
            sharing.__file__,
            tmp_path,
        ],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=280,
    )
    alone = sharing.come_to(tmp_path / "model.safetensors")
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert alone["figures"].keys() > {"images.score", "edit.target_reached", "reconstruction.psnr"}
    for rank in ranks:
        assert rank["figures"] == alone["figures"]
        assert torch.equal(rank["said"], alone["said"])
        assert torch.equal(rank["codes"], alone["codes"])
        assert rank["refused"] == alone["refused"] == "1 is refused"
    # Each did about half of it.
    assert sum(rank["decoded"] for rank in ranks) < 1.1 * alone["decoded"]
    assert max(rank["decoded"] for rank in ranks) < 0.7 * alone["decoded"]
