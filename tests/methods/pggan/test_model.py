"""A trained progressively grown GAN as a model: its file, codes, applications; a run that is killed in a fade."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from attrimorph.applications.axes.space import Space
from attrimorph.applications.edit import edit
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import open_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.pggan.model import ProgressiveModel
from attrimorph.methods.pggan.recipe import RECIPES, ProgressiveRecipe
from attrimorph.models.model import Code, Encodes
from attrimorph.requests.generating import Sample
from attrimorph.training.folder import checkpoint_folders
from attrimorph.training.trainer import train

FIELDS: dict[str, Any] = {
    "data.image_size": 16,
    "networks.latent": 6,
    "networks.width": 4,
    "networks.most": 8,
    "growth.start": 4,
    "growth.fixed_images": [16, 24],
    "growth.fading_images": [32, 32],
    "growth.batch_sizes": [8, 4],
    "training.batch_size": 8,
    "training.images": 96,
    "training.log_images": 24,
    "training.checkpoint_images": 32,
    "training.sample_images": 40,
    "training.precision": "float32",
    "training.memory_format": "contiguous",
    "training.ema_images": 50,
    "training.keep": 9,
}


def tiny(**changes: Any) -> ProgressiveRecipe:
    return RECIPES["pggan-drawn-64"]().with_changes(
        FIELDS | {key.replace("__", "."): value for key, value in changes.items()}
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "faces"
    write_faces(folder, count=60, size=16)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(tiny(), open_prepared(data), tmp_path_factory.mktemp("runs") / "grown")
    finally:
        torch.set_num_threads(threads)


def test_checkpoints_are_models_of_every_size_shown_at_one(run: Path) -> None:
    levels = []
    for folder in checkpoint_folders(run):
        model = load(folder / "model.safetensors")
        assert isinstance(model, ProgressiveModel)
        images = model.decode(model.sample_codes(4, torch.Generator().manual_seed(0)))
        assert images.shape == (4, 3, 16, 16)
        assert images.abs().max() <= 1
        levels.append(model.level)
        if model.level <= 1:
            # Enlarged: pairs of pixels are alike.
            assert torch.equal(images[..., ::2, ::2], images[..., 1::2, 1::2])
    assert levels[0] < levels[1] < levels[-1]
    assert len(list((run / "samples").glob("*.png"))) >= 2


def test_a_run_cut_off_inside_a_fade_ends_with_the_same_bits(run: Path, data: Path, tmp_path: Path) -> None:
    again = tmp_path / "grown"
    shutil.copytree(run, again)
    folders = checkpoint_folders(again)
    inside = [folder for folder in folders if 0 < load(folder / "model.safetensors").level % 1 < 1]
    assert inside
    for folder in folders:
        if int(folder.name) > int(inside[0].name):
            shutil.rmtree(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(tiny(), open_prepared(data), again)
    finally:
        torch.set_num_threads(threads)
    for mine, theirs in zip(checkpoint_folders(again), folders, strict=True):
        assert mine.name == theirs.name
        assert (mine / "model.safetensors").read_bytes() == (
            run / "checkpoints" / mine.name / "model.safetensors"
        ).read_bytes()


def test_it_samples_and_has_axes_but_does_not_encode_or_edit(run: Path, tmp_path: Path) -> None:
    model = load(run)
    written = Sample(model=run, count=4).write(tmp_path / "sample.png", model)
    assert written.pictures[0].exists()
    assert not isinstance(model, Encodes)
    assert Space.of(model).size == 6
    with pytest.raises(AttrimorphError, match="needs a model that edits"):
        edit(model, torch.zeros(1, 3, 16, 16), {"Smiling": 1.0})


def test_gradients_pass_through_generate_and_it_is_decode(run: Path) -> None:
    model = load(run)
    assert isinstance(model, ProgressiveModel)
    code = model.sample_codes(2, torch.Generator().manual_seed(0))
    z = code.z.clone().requires_grad_()
    images = model.generate(z, code.attributes)
    assert torch.equal(images.detach(), model.decode(code))
    (gradient,) = torch.autograd.grad(images.sum(), z)
    assert bool(gradient.any())


def test_a_conditional_one_is_given_its_attributes(data: Path, tmp_path: Path) -> None:
    path = train(tiny(networks__conditional=True, training__images=32), open_prepared(data), tmp_path / "run")
    model = load(path)
    assert model.conditional
    code = model.sample_codes(3, torch.Generator().manual_seed(0))
    other = model.decode(Code(code.z, 1 - code.attributes))
    assert not torch.allclose(other, model.decode(code))
    assert Space.of(model).size > 6
