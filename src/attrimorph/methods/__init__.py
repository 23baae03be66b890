"""METHODS: every method by name, and where its parts stand. A new one is a folder beside these and one row here.

Recipes need no torch. What does is imported when a method is used: who trains or loads one pays for no other.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.methods.cvae_gan.recipe import METHODS as FAMILY
from attrimorph.recipe import build

if TYPE_CHECKING:
    from torch import nn

    from attrimorph.data import Schema
    from attrimorph.methods.base import Algorithm
    from attrimorph.models import Header
    from attrimorph.models.model import Model
    from attrimorph.recipe import AnyRecipe


class Recipes(NamedTuple):
    """A method's recipes.

    Attributes:
        kind: what a whole run of it is.
        named: those that come with the package.
    """

    kind: "type[AnyRecipe]"
    named: "Mapping[str, Callable[[], AnyRecipe]]"


class Trained(NamedTuple):
    """How a method's models come out of their files.

    Attributes:
        networks: (recipe, schema, names of the networks in a file) -> fresh networks that a model file must hold.
        model: (networks, header, device, digest) -> the model.
    """

    networks: "Callable[[Any, Schema, Collection[str]], dict[str, nn.Module]]"
    model: "Callable[[Mapping[str, nn.Module], Header, str, str], Model]"


@dataclass(frozen=True)
class MethodEntry:
    """One row; each part is imported when it is called.

    Attributes:
        recipes: what can be set.
        step: how it learns.
        trained: what it can do afterwards.
    """

    recipes: Callable[[], Recipes]
    step: "Callable[[], type[Algorithm]]"
    trained: Callable[[], Trained]


def cvae_gan_recipes() -> Recipes:
    from attrimorph.methods.cvae_gan.recipe import RECIPES, Recipe

    return Recipes(Recipe, RECIPES)


def cvae_gan_step() -> "type[Algorithm]":
    from attrimorph.methods.cvae_gan.step import CVAEGAN

    return CVAEGAN


def cvae_gan_trained() -> Trained:
    from attrimorph.methods.cvae_gan.model import family_model
    from attrimorph.methods.cvae_gan.networks import kept_networks

    return Trained(kept_networks, family_model)


def attribute2image_recipes() -> Recipes:
    from attrimorph.methods.attribute2image.recipe import RECIPES, LayerRecipe

    return Recipes(LayerRecipe, RECIPES)


def cvae_step() -> "type[Algorithm]":
    from attrimorph.methods.attribute2image.step import CVAE

    return CVAE


def cvae_trained() -> Trained:
    from attrimorph.methods.attribute2image.model import CVAEModel
    from attrimorph.methods.attribute2image.networks import kept_networks

    return Trained(kept_networks, CVAEModel)


def discvae_step() -> "type[Algorithm]":
    from attrimorph.methods.attribute2image.step import DisCVAE

    return DisCVAE


def discvae_trained() -> Trained:
    from attrimorph.methods.attribute2image.model import LayeredModel
    from attrimorph.methods.attribute2image.networks import kept_networks

    return Trained(kept_networks, LayeredModel)


def translation_recipes() -> Recipes:
    from attrimorph.methods.translation.recipe import RECIPES, TranslationRecipe

    return Recipes(TranslationRecipe, RECIPES)


def cyclegan_step() -> "type[Algorithm]":
    from attrimorph.methods.translation.step import CycleGAN

    return CycleGAN


def cyclegan_trained() -> Trained:
    from attrimorph.methods.translation.model import CycleGANModel
    from attrimorph.methods.translation.networks import kept_networks

    return Trained(kept_networks, CycleGANModel)


def pix2pix_step() -> "type[Algorithm]":
    from attrimorph.methods.translation.step import Pix2Pix

    return Pix2Pix


def pix2pix_trained() -> Trained:
    from attrimorph.methods.translation.model import Pix2PixModel
    from attrimorph.methods.translation.networks import kept_networks

    return Trained(kept_networks, Pix2PixModel)


def homointerp_recipes() -> Recipes:
    from attrimorph.methods.homointerp.recipe import RECIPES, InterpolationRecipe

    return Recipes(InterpolationRecipe, RECIPES)


def homointerp_step() -> "type[Algorithm]":
    from attrimorph.methods.homointerp.step import HomoInterp

    return HomoInterp


def homointerp_trained() -> Trained:
    from attrimorph.methods.homointerp.model import InterpolationModel
    from attrimorph.methods.homointerp.networks import kept_networks

    return Trained(kept_networks, InterpolationModel)


def pggan_recipes() -> Recipes:
    from attrimorph.methods.pggan.recipe import RECIPES, ProgressiveRecipe

    return Recipes(ProgressiveRecipe, RECIPES)


def pggan_step() -> "type[Algorithm]":
    from attrimorph.methods.pggan.step import PGGAN

    return PGGAN


def pggan_trained() -> Trained:
    from attrimorph.methods.pggan.model import ProgressiveModel
    from attrimorph.methods.pggan.networks import kept_networks

    return Trained(kept_networks, ProgressiveModel)


def retouch_recipes() -> Recipes:
    from attrimorph.methods.retouch.recipe import RECIPES, RetouchRecipe

    return Recipes(RetouchRecipe, RECIPES)


def retouch_step() -> "type[Algorithm]":
    from attrimorph.methods.retouch.step import Retouch

    return Retouch


def retouch_trained() -> Trained:
    from attrimorph.methods.retouch.model import RetouchModel
    from attrimorph.methods.retouch.networks import kept_networks

    return Trained(kept_networks, RetouchModel)


def stargan_recipes() -> Recipes:
    from attrimorph.methods.attribute_editing.recipe import STARGAN, StarGANRecipe

    return Recipes(StarGANRecipe, STARGAN)


def stargan_step() -> "type[Algorithm]":
    from attrimorph.methods.attribute_editing.step import StarGAN

    return StarGAN


def attgan_recipes() -> Recipes:
    from attrimorph.methods.attribute_editing.recipe import ATTGAN, AttGANRecipe

    return Recipes(AttGANRecipe, ATTGAN)


def attgan_trained() -> Trained:
    from attrimorph.methods.attribute_editing.model import AttGANModel
    from attrimorph.methods.attribute_editing.networks import kept_networks

    return Trained(kept_networks, AttGANModel)


def stgan_recipes() -> Recipes:
    from attrimorph.methods.attribute_editing.recipe import STGAN, STGANRecipe

    return Recipes(STGANRecipe, STGAN)


def attribute_editing_step() -> "type[Algorithm]":
    from attrimorph.methods.attribute_editing.step import AttributeEditing

    return AttributeEditing


def attribute_editing_trained() -> Trained:
    from attrimorph.methods.attribute_editing.model import AttributeEditor
    from attrimorph.methods.attribute_editing.networks import kept_networks

    return Trained(kept_networks, AttributeEditor)


METHODS: dict[str, MethodEntry] = {
    **dict.fromkeys(FAMILY, MethodEntry(cvae_gan_recipes, cvae_gan_step, cvae_gan_trained)),
    "attribute2image-cvae": MethodEntry(attribute2image_recipes, cvae_step, cvae_trained),
    "attribute2image-discvae": MethodEntry(attribute2image_recipes, discvae_step, discvae_trained),
    "cyclegan": MethodEntry(translation_recipes, cyclegan_step, cyclegan_trained),
    "pix2pix": MethodEntry(translation_recipes, pix2pix_step, pix2pix_trained),
    "homointerp": MethodEntry(homointerp_recipes, homointerp_step, homointerp_trained),
    "pggan": MethodEntry(pggan_recipes, pggan_step, pggan_trained),
    "retouch": MethodEntry(retouch_recipes, retouch_step, retouch_trained),
    "stargan": MethodEntry(stargan_recipes, stargan_step, attribute_editing_trained),
    "attgan": MethodEntry(attgan_recipes, attribute_editing_step, attgan_trained),
    "stgan": MethodEntry(stgan_recipes, attribute_editing_step, attribute_editing_trained),
}


def read_recipe(value: Any) -> "AnyRecipe":
    """Read a whole recipe from plain values.

    Raises:
        AttrimorphError: an unknown method or field or a value that does not fit, in one sentence.
    """
    if not isinstance(value, dict):
        raise AttrimorphError(
            f"a recipe must be a mapping of fields; got {type(value).__name__}; see `attrimorph recipes`"
        )
    method = value.get("method", "cvae-gan")
    if not isinstance(method, str) or method not in METHODS:
        near = suggestion(method if isinstance(method, str) else "", METHODS)
        raise AttrimorphError(f"there is no method {shown(method)}; {near}")
    return build(METHODS[method].recipes().kind, value)
