"""Images generated and edited by attribute.

The names below are all that is promised to stay; each is loaded when it is first used, so that
`import attrimorph` stays instant.

    model = attrimorph.load("drawn-faces-64")
    smiling = model.edit("photo.jpg", {"Smiling": 1})
    smiling.save("smiling.png")
"""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from attrimorph.version import __version__

if TYPE_CHECKING:
    from attrimorph.applications import Search as Search
    from attrimorph.applications import paths as paths
    from attrimorph.applications.augment import balanced as balanced
    from attrimorph.applications.augment import more_of_each as more_of_each
    from attrimorph.applications.axes import load_pack as load_pack
    from attrimorph.applications.axes import save_pack as save_pack
    from attrimorph.applications.axes.choosing import find_pack as find_pack
    from attrimorph.applications.axes.editor import AxisEditor as AxisEditor
    from attrimorph.applications.axes.fitting import fit_axes as fit_axes
    from attrimorph.applications.axes.fitting import judged_by as judged_by
    from attrimorph.applications.axes.fitting import with_curved as with_curved
    from attrimorph.applications.axes.trajectory import effects as effects
    from attrimorph.applications.axes.trajectory import trajectory as trajectory
    from attrimorph.applications.axes.trajectory import way as way
    from attrimorph.applications.confirm import confirmation as confirmation
    from attrimorph.applications.edit import edit as edit
    from attrimorph.applications.filling import inpaint as inpaint
    from attrimorph.applications.filling import superresolve as superresolve
    from attrimorph.applications.gallery import open_gallery as open_gallery
    from attrimorph.applications.generating import edit_like as edit_like
    from attrimorph.applications.generating import homomorphic as homomorphic
    from attrimorph.applications.generating import reconstruct as reconstruct
    from attrimorph.applications.generating import sample as sample
    from attrimorph.applications.generating import transfer as transfer
    from attrimorph.applications.identities import new_identities as new_identities
    from attrimorph.applications.latent_map import latent_map as latent_map
    from attrimorph.applications.morph import morph as morph
    from attrimorph.applications.morph import square as square
    from attrimorph.applications.neighbours import compared as compared
    from attrimorph.applications.neighbours import neighbours as neighbours
    from attrimorph.applications.neighbours import retrieve as retrieve
    from attrimorph.data import Attribute as Attribute
    from attrimorph.data import Schema as Schema
    from attrimorph.data.drawn import faces as faces
    from attrimorph.data.loader import Augment as Augment
    from attrimorph.data.loader import Batch as Batch
    from attrimorph.data.loader import batches as batches
    from attrimorph.data.prepared import open_or_prepare as open_or_prepare
    from attrimorph.errors import AttrimorphError as AttrimorphError
    from attrimorph.evaluators.identity_encoder import load_identity_encoder as load_identity_encoder
    from attrimorph.evaluators.identity_encoder import load_recogniser as load_recogniser
    from attrimorph.evaluators.judge import AttributeScore as AttributeScore
    from attrimorph.evaluators.judge import Gauge as Gauge
    from attrimorph.evaluators.judge import load_judge as load_judge
    from attrimorph.hub import from_pretrained as from_pretrained
    from attrimorph.hub import push_to_hub as push_to_hub
    from attrimorph.hub import save_pretrained as save_pretrained
    from attrimorph.loading import load as load
    from attrimorph.methods import recipes as recipes
    from attrimorph.methods.cvae_gan.recipe import Recipe as Recipe
    from attrimorph.methods.translation.domains import source_of as source_of
    from attrimorph.metrics.augmentation import measure_augmentation as measure_augmentation
    from attrimorph.metrics.augmentation import measure_identities as measure_identities
    from attrimorph.metrics.edits import FunctionEditor as FunctionEditor
    from attrimorph.metrics.edits import measure_edits as measure_edits
    from attrimorph.metrics.evaluate import evaluate as evaluate
    from attrimorph.metrics.evaluation_set import drawn_images as drawn_images
    from attrimorph.metrics.responses import measure_responses as measure_responses
    from attrimorph.models import model_for as model_for
    from attrimorph.models.model import Code as Code
    from attrimorph.models.model import Model as Model
    from attrimorph.models.model import decisions as decisions
    from attrimorph.pictures import Pictures as Pictures
    from attrimorph.pictures import to_pil as to_pil
    from attrimorph.requests.replay import replay as replay
    from attrimorph.studio.client import Studio as Studio
    from attrimorph.training.trainer import train as train

# The lines above are the table, name -> where it is defined, read off them here: each name is imported when it is used.
with open(__file__, encoding="utf-8") as _file:
    _HOMES = {name: home for home, name in re.findall(r"^    from (\S+) import (\w+) as \2$", _file.read(), re.M)}
# Without the names from before, for programs that have them.
__all__ = ["__version__", *(name for name in _HOMES if name not in ("Gauge", "load_recogniser", "way"))]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    found = vars(import_module(home))
    # A home is the module that defines a name, or the package that it is a module of.
    globals()[name] = found[name] if name in found else import_module(f"{home}.{name}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
