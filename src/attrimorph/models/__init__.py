"""A trained thing and what it can do: decode, encode, edit."""

from attrimorph.models.codes import Code, Decodes, Edits, Encodes
from attrimorph.models.family import NETWORKS, Autoencoder, Editor, Sampler, networks_of
from attrimorph.models.files import assemble, find, load, named_parts, shipped
from attrimorph.models.header import LARGEST_FILE, model_bytes, read_header, with_header
from attrimorph.models.model import Model

__all__ = [
    "LARGEST_FILE",
    "NETWORKS",
    "Autoencoder",
    "Code",
    "Decodes",
    "Editor",
    "Edits",
    "Encodes",
    "Model",
    "Sampler",
    "assemble",
    "find",
    "load",
    "model_bytes",
    "named_parts",
    "networks_of",
    "read_header",
    "shipped",
    "with_header",
]
