"""Recipes of CycleGAN, pix2pix, HomoInterpGAN, Retouch, StarGAN, AttGAN and STGAN: they build, step, stop and go on."""

import re
from pathlib import Path

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.loader import Batch
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.attribute_editing.recipe import ATTGAN, STARGAN, STGAN
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.methods.homointerp.recipe import CELEBA_GROUPS
from attrimorph.methods.homointerp.recipe import RECIPES as INTERPOLATION
from attrimorph.methods.homointerp.step import HomoInterp
from attrimorph.methods.recipes import recipe_named
from attrimorph.methods.retouch.recipe import RECIPES as RETOUCH
from attrimorph.methods.translation.recipe import RECIPES as TRANSLATION
from attrimorph.networks.pretrained import Vgg19
from attrimorph.training import FastPath
from attrimorph.training.folder import checkpoint_folders, load_state, tensors_in
from attrimorph.training.trainer import build, train
from tests.small_models import NARROW, narrow, pictures

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = FastPath("float32", "contiguous", {})
WIDTHS = {
    "cyclegan": NARROW["cyclegan-64"],
    "pix2pix": NARROW["pix2pix-64"] | {"domains.attribute": "Smiling"},
    # The published shape at a quarter of the size; VGG-19 itself cannot be narrower.
    "homointerp": {
        "data.image_size": 64,
        "networks.interpolator_width": 4,
        "networks.critic_width": 8,
        "losses.warmup_images": 0,
    },
    "homointerp-64": NARROW["homointerp-drawn-64"],
    "retouch-128": NARROW["retouch-64"],
    "portraits-128": NARROW["retouch-64"],
    "stargan-128": NARROW["stargan-64"],
    "attgan-128": NARROW["attgan-64"],
    "stgan-128": NARROW["stgan-64"],
}


@pytest.mark.parametrize("name", [*INTERPOLATION, *TRANSLATION, *RETOUCH, *STARGAN, *ATTGAN, *STGAN])
def test_every_recipe_builds_and_takes_two_steps(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.name == name
    assert recipe.about
    recipe = recipe.with_changes(NARROW.get(name, WIDTHS.get(name, {})))
    if isinstance(build(recipe, faces.SCHEMA, PLAIN), HomoInterp):
        recipe = recipe.with_changes({"losses.generator_every": 1, "losses.perceptual_network": "attributes"})
    algorithm = build(recipe, faces.SCHEMA, PLAIN)
    labels = torch.zeros(4, faces.SCHEMA.width)
    labels[::2] = 1
    batch = Batch(pictures(4, recipe.data.image_size), labels)
    before = {n: [p.clone() for p in net.parameters()] for n, net in algorithm.networks.items()}
    for step in range(2):
        values = algorithm.step(batch, torch.Generator().manual_seed(step))
    assert all(torch.isfinite(value) for value in values.values())
    for n, network in algorithm.networks.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[n], network.parameters(), strict=True)), n


# What AttGAN remembers STGAN does.
ENDED = ["homointerp-drawn-64", "cyclegan-64", "pix2pix-64", "retouch-64", "stargan-64", "attgan-64"]


@pytest.mark.parametrize("name", ENDED)
def test_a_stopped_run_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=24, size=NARROW[name]["data.image_size"])
    run = {
        "training.images": 24,
        "training.batch_size": 4,
        "training.log_images": 8,
        "training.checkpoint_images": 8,
        "training.sample_images": 12,
        "training.precision": "float32",
        "training.memory_format": "contiguous",
    }
    own = {"homo": {"losses.warmup_images": 8}, "cycl": {"losses.pool": 2}}.get(name[:4], {})
    recipe = narrow(name, run | own)

    class Stop(Exception):
        pass

    def stop(progress: object) -> None:
        raise Stop

    train(recipe, data, tmp_path / "whole", device="cpu")
    for _ in range(2):
        with pytest.raises(Stop):
            train(recipe, data, tmp_path / "stopped", device="cpu", progress=stop)
    train(recipe, data, tmp_path / "stopped", device="cpu")
    ended = [checkpoint_folders(tmp_path / name)[-1] for name in ("whole", "stopped")]
    models = [(folder / "model.safetensors").read_bytes() for folder in ended]
    assert models[0] == models[1]
    states = [load_state(folder)["algorithm"] for folder in ended]
    whole, stopped = (dict(tensors_in(state)) for state in states)
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(value, stopped[name]) for name, value in whole.items())
    sheets = [sorted(path.read_bytes() for path in (tmp_path / n / "samples").iterdir()) for n in ("whole", "stopped")]
    assert sheets[0] == sheets[1]
    assert load(tmp_path / "whole").recipe == recipe


def test_the_published_values_are_published() -> None:
    losses = recipe_named("homointerp").losses  # type: ignore[attr-defined]
    assert (losses.generator_every, losses.gradient_penalty, losses.head_interpolated, losses.head_real) == (
        5,
        100,
        1,
        0,
    )
    optimiser = recipe_named("homointerp").optimiser
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2) == (1e-4, 0.5, 0.999)
    assert optimiser.decoder_beta1 == 0.9  # type: ignore[attr-defined]
    assert len(CELEBA_GROUPS) == 9
    cyclegan = recipe_named("cyclegan")
    assert (cyclegan.losses.cycle, cyclegan.losses.identity, cyclegan.losses.pool) == (10, 0.5, 50)  # type: ignore[attr-defined]
    assert (cyclegan.optimiser.learning_rate, cyclegan.optimiser.beta1, cyclegan.optimiser.constant_share) == (
        2e-4,
        0.5,
        0.5,
    )


def test_adam_forgets_slower_where_identity_would_be_lost() -> None:
    algorithm = build(narrow("homointerp-drawn-64"), faces.SCHEMA, PLAIN)
    betas = {name: o.param_groups[0]["betas"] for name, o in algorithm.optimisers.items()}
    fast = {"critic", "encoder", "interpolator"}
    assert {name for name, pair in betas.items() if pair == (0.5, 0.999)} == fast
    assert {name for name, pair in betas.items() if pair == (0.9, 0.999)} == betas.keys() - fast


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    """Weights of VGG-19 as the cache of torch's hub holds them, but for their values."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(Vgg19().state_dict(), folder / "vgg19-0000.pth")
    return folder / "vgg19-0000.pth"


def test_vgg_is_taken_where_it_is(vgg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_named("homointerp").with_changes(WIDTHS["homointerp"] | {"losses.warmup_images": 100})
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(vgg.parents[1]))
    found = build(recipe, faces.SCHEMA, PLAIN)
    assert isinstance(found, HomoInterp)
    assert found.perceptual_name == "VGG-19"
    # E starts from its weights, and what is for its replacement is left out.
    start = torch.load(vgg, weights_only=True)["features.28.weight"]
    assert torch.equal(found.networks["encoder"].get_parameter("features.28.weight"), start)
    assert found.warmup_images == 0
    assert "vgg" not in found.networks
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(vgg.parents[2] / "nowhere"))
    other = build(recipe, faces.SCHEMA, PLAIN)
    assert isinstance(other, HomoInterp)
    assert other.perceptual_name == "the data's own attributes"
    assert other.warmup_images == 100
    with pytest.raises(AttrimorphError, match="vgg19"):
        build(recipe.with_changes({"losses.perceptual_network": "vgg19"}), faces.SCHEMA, PLAIN)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("homointerp", {"networks.channels": 64}, "networks.channels must be 512"),
        ("homointerp-64", {"networks.groups": {"a": ["Young"], "b": ["Young"]}}, "'Young' is in two"),
        ("cyclegan", {"data.image_size": 16}, "at least 32"),
        ("cyclegan", {"domains.attribute": "Yung"}, "did you mean 'Young'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(name: str, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=re.escape(sentence)):
        build(recipe_named(name).with_changes(changes), faces.SCHEMA, PLAIN)


def test_a_trained_file_loads_as_its_kind(tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces", count=16, size=32)
    recipe = narrow(
        "homointerp-drawn-64", {"networks.prototypes": "mean", "training.images": 4, "training.batch_size": 4}
    )
    model = load(train(recipe, data, tmp_path / "run", device="cpu"))
    assert isinstance(model, InterpolationModel)
    assert model.networks["prototypes"].get_parameter("differences").any()
