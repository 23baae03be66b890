"""pix2pix on two folders of the same names: every batch holds true pairs, varied alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph.data.loader import Augment, Loader
from attrimorph.data.prepared import PreparedData, open_or_prepare
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.translation.domains import pairs
from attrimorph.recipe import AnyRecipe
from attrimorph.training.trainer import train, training_rows
from tests.small_models import narrow

SIZE = 32


def folders(root: Path, count: int = 12, names: str = "{}") -> PreparedData:
    """Write photographs and their negatives."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        for folder, image in (("trainA", pixels), ("trainB", 255 - pixels)):
            path = root / folder / f"{names.format(number) if folder == 'trainB' else number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return open_or_prepare(root, SIZE)


def recipe(**changes: object) -> AnyRecipe:
    return narrow("pix2pix-64", {"domains.source": "pairs"} | changes)


def test_every_batch_holds_pairs_that_are_varied_alike(tmp_path: Path) -> None:
    data = folders(tmp_path)
    rows = training_rows(recipe(), data)
    assert rows.shape == (len(data.indices("train")) // 2, 2)
    loader = Loader(data, rows, 4, seed=3, augment=Augment(shift=0.2, flip=0.5))
    seen: set[int] = set()
    for start in range(0, 2 * rows.size, 4):
        batch = loader.batch(start)
        source, image = pairs(batch, 0)
        assert batch.index is not None
        seen |= {*batch.index.tolist()}
        torch.testing.assert_close(source, -image, atol=1e-5, rtol=0)
        assert bool((batch.attributes[0::2, 0] == 0).all())
    assert seen == {*rows.flatten().tolist()}
    with pytest.raises(AttrimorphError, match="a multiple of 2"):
        Loader(data, rows, 3, seed=3)


def test_data_without_pairs_are_refused_in_a_sentence(tmp_path: Path) -> None:
    data = folders(tmp_path / "data", names="other-{}")
    with pytest.raises(AttrimorphError, match="trainA and trainB with the same file names"):
        train(recipe(), data, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_negatives_are_learned(tmp_path: Path) -> None:
    data = folders(tmp_path / "data")
    run = train(recipe(**{"training.images": 64, "training.sample_images": 32}), data, tmp_path / "run")
    assert sorted((run / "samples").iterdir())
    assert load(run).recipe.method == "pix2pix"


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("pix2pix-64", {"domains.source": "mask"}, "needs data with masks; these have none; take grey or edges"),
        ("cyclegan-64", {"domains.attribute": "B"}, "training images with B and without it; none is with it"),
    ],
)
def test_data_that_lack_what_is_learned_from_are_refused(
    tmp_path: Path, name: str, changes: dict[str, object], sentence: str
) -> None:
    data = folders(tmp_path / "data")
    if name == "cyclegan-64":
        data = replace(data, attributes=torch.zeros_like(data.attributes))
    with pytest.raises(AttrimorphError, match=sentence):
        train(narrow(name, changes), data, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_discvae_without_masks_is_refused_before_it_begins(tmp_path: Path) -> None:
    layered = recipe_named("attribute2image-discvae").with_changes({"data.image_size": SIZE})
    with pytest.raises(AttrimorphError, match="attribute2image-discvae learns from masks"):
        train(layered, folders(tmp_path / "data"), tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()
