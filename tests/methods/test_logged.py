"""Every figure that a method logs is explained, and none that it does not."""

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.recipe import METHODS
from attrimorph.methods.logged import FAMILY, FIGURES, OTHERS, explanation, in_words, logged
from attrimorph.methods.recipes import RECIPES, recipe_named
from attrimorph.training.trainer import build
from tests.methods.cvae_gan.small_family import NAMES, batch, make
from tests.small_models import NARROW, PLAIN

REST = {
    # Everything on that a recipe can have, as far as one run can.
    "attribute2image-cvae": {"losses.hide": 1.0},
    "attribute2image-discvae": {"losses.hide": 1.0, "losses.roughness": 1.0},
    "cyclegan-64": {"losses.identity": 0.5},
    "pix2pix-64": {"domains.source": "grey"},
    "homointerp-drawn-64": NARROW["homointerp-drawn-64"]
    | {
        "losses.perceptual_network": "attributes", "losses.generator_every": 1, "losses.judged_image": 1.0,
        "losses.warmup_images": 8,
    },
    "retouch-64": {},
    "stargan-64": {},
    "attgan-64": {},
    "stgan-64": {},
    "pggan-drawn-64": {"networks.conditional": True},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_family_logs_what_is_explained(method: str) -> None:
    algorithm, found = make(method), set()
    for step in range(algorithm.method.critic_steps):
        found |= set(algorithm.step(Batch(*batch()), torch.Generator().manual_seed(step)))
    assert found == set(logged(method))


@pytest.mark.parametrize("name", REST)
def test_other_methods_log_what_is_explained(name: str) -> None:
    recipe = recipe_named(name).with_changes(NARROW.get(name, {}) | REST[name])
    algorithm = build(recipe, faces.SCHEMA, PLAIN)
    drawn = next(iter(faces.draw(8, recipe.data.image_size, 0)))
    images = drawn.images.permute(0, 3, 1, 2).float() / 127.5 - 1
    labels, masks = faces.attributes(drawn.factors), drawn.masks[:, None].float() / 255
    found: set[str] = set()
    for step in range(4):
        given = Batch(images, labels, masks, images_seen=8 * step)
        found |= set(algorithm.step(given, torch.Generator().manual_seed(step)))
    assert found == set(logged(recipe.method))


def test_who_learns_is_what_the_methods_say() -> None:
    letters = {network: letter for letter, network in NAMES.items()}
    for loss in {term.loss for method in METHODS.values() for term in method.terms}:
        learn = {
            letters[name] for row in METHODS.values() for term in row.terms if term.loss == loss for name in term.learns
        }
        assert learn <= set(FIGURES[loss].learns.split(", ")), loss
    assert all(not FIGURES[name].learns for name in FAMILY)


def test_every_method_has_words_of_its_own_the_most_telling_first() -> None:
    assert {*METHODS, *OTHERS} == {make_recipe().method for make_recipe in RECIPES.values()}
    for method in (*METHODS, *OTHERS):
        words = [figure.words for figure in logged(method).values()]
        assert len(set(words)) == len(words), method
    values = dict.fromkeys(sorted(logged("cvae-gan")), 1.0)
    assert list(in_words(values))[:6] == [
        "reconstruction", "KL", "D right on real", "D right on samples", "variety", "attributes right",
    ]  # fmt: skip


def test_the_explanation_keeps_to_eighty_columns() -> None:
    text = explanation(FIGURES)
    assert max(map(len, text.splitlines())) < 80
    assert all(f"(in the log: {name};" in " ".join(text.split()) for name in FIGURES)
