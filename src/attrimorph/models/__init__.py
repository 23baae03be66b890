"""A trained thing and what it can do: decode, encode, edit.

Each name is loaded when it is first used, so that a file's header is read without torch.
"""

from typing import TYPE_CHECKING

from attrimorph.lazy import loading

if TYPE_CHECKING:
    from attrimorph.models.codes import Chains as Chains
    from attrimorph.models.codes import Code as Code
    from attrimorph.models.codes import Composes as Composes
    from attrimorph.models.codes import Decodes as Decodes
    from attrimorph.models.codes import Edits as Edits
    from attrimorph.models.codes import Encodes as Encodes
    from attrimorph.models.family import NETWORKS as NETWORKS
    from attrimorph.models.family import Autoencoder as Autoencoder
    from attrimorph.models.family import Editor as Editor
    from attrimorph.models.family import Sampler as Sampler
    from attrimorph.models.family import networks_of as networks_of
    from attrimorph.models.files import assemble as assemble
    from attrimorph.models.files import load as load
    from attrimorph.models.finding import find as find
    from attrimorph.models.finding import named_parts as named_parts
    from attrimorph.models.finding import shipped as shipped
    from attrimorph.models.header import LARGEST_FILE as LARGEST_FILE
    from attrimorph.models.header import Header as Header
    from attrimorph.models.header import model_bytes as model_bytes
    from attrimorph.models.header import read_header as read_header
    from attrimorph.models.header import with_header as with_header
    from attrimorph.models.model import Model as Model
    from attrimorph.models.model import Moves as Moves
    from attrimorph.models.model import decided as decided
    from attrimorph.models.pictures import Pictures as Pictures
    from attrimorph.models.pictures import Source as Source
    from attrimorph.models.pictures import crop_for as crop_for
    from attrimorph.models.pictures import pixels_of as pixels_of

_HOMES = {
    name: f"attrimorph.models.{home}"
    for home, names in {
        "codes": ("Chains", "Code", "Composes", "Decodes", "Edits", "Encodes"),
        "family": ("NETWORKS", "Autoencoder", "Editor", "Sampler", "networks_of"),
        "files": ("assemble", "load"),
        "finding": ("find", "named_parts", "shipped"),
        "header": ("LARGEST_FILE", "Header", "model_bytes", "read_header", "with_header"),
        "model": ("Model", "Moves", "decided"),
        "pictures": ("Pictures", "Source", "crop_for", "pixels_of"),
    }.items()
    for name in names
}

__all__ = [*_HOMES]
__getattr__ = loading(__name__, _HOMES)
