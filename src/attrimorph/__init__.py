"""Images generated and edited by attribute.

The names below are all that is promised to stay; each is loaded when it is first used, so that
`import attrimorph` stays instant.

    model = attrimorph.load("drawn-faces-64")
    code = model.encode(images, attributes)          # images [B, 3, H, W] in [-1, 1]
    smiling = model.edit(images, {"Smiling": 1})
"""

from typing import TYPE_CHECKING

from attrimorph.lazy import loading

__version__ = "0.1.0"

if TYPE_CHECKING:
    from attrimorph import recipes as recipes
    from attrimorph.applications.edit import edit as edit
    from attrimorph.applications.morph import morph as morph
    from attrimorph.applications.reconstruct import reconstruct as reconstruct
    from attrimorph.applications.replay import replay as replay
    from attrimorph.applications.sample import sample as sample
    from attrimorph.applications.transfer import transfer as transfer
    from attrimorph.data.prepare import open_or_prepare as open_or_prepare
    from attrimorph.data.schema import Attribute as Attribute
    from attrimorph.data.schema import Schema as Schema
    from attrimorph.errors import AttrimorphError as AttrimorphError
    from attrimorph.hub import from_pretrained as from_pretrained
    from attrimorph.hub import push_to_hub as push_to_hub
    from attrimorph.hub import save_pretrained as save_pretrained
    from attrimorph.models import Code as Code
    from attrimorph.models import Model as Model
    from attrimorph.models import load as load
    from attrimorph.recipes import Recipe as Recipe
    from attrimorph.training.trainer import train as train

_HOMES = {
    "Attribute": "attrimorph.data.schema",
    "AttrimorphError": "attrimorph.errors",
    "Code": "attrimorph.models.codes",
    "Model": "attrimorph.models.model",
    "Recipe": "attrimorph.recipes",
    "Schema": "attrimorph.data.schema",
    "edit": "attrimorph.applications.edit",
    "from_pretrained": "attrimorph.hub",
    "load": "attrimorph.models.files",
    "morph": "attrimorph.applications.morph",
    "open_or_prepare": "attrimorph.data.prepare",
    "push_to_hub": "attrimorph.hub",
    "recipes": "attrimorph",
    "reconstruct": "attrimorph.applications.reconstruct",
    "replay": "attrimorph.applications.replay",
    "sample": "attrimorph.applications.sample",
    "save_pretrained": "attrimorph.hub",
    "train": "attrimorph.training.trainer",
    "transfer": "attrimorph.applications.transfer",
}

__all__ = ["__version__", *_HOMES]
__getattr__ = loading(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
