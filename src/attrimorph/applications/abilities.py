"""What a model can change, and what else it can do: for pages that show only what works."""

from dataclasses import dataclass, replace

import torch

from attrimorph.applications.edit import generator_of, has_codes, moves_codes
from attrimorph.data.schema import Kind
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Edits, Encodes, Generates, Groups, Model, Moves, PaintsLayers


@dataclass(frozen=True)
class Slider:
    """One attribute, or one value of a categorical one, that a model can change.

    Attributes:
        name: as `changes` names it.
        kind: binary, categorical or real.
        group: what it belongs to by the model's own groups; None where it has none.
        least, most, step: of its strengths.
    """

    name: str
    kind: Kind
    group: str | None = None
    least: float = -1.0
    most: float = 1.0
    step: float = 0.01


def sliders(model: Model) -> list[Slider]:
    """Return what can be changed with the model, in the order of its schema, or of its axes."""
    if isinstance(model, Moves):
        return [Slider(name, "binary") for name in model.axis_names]
    if not (isinstance(model, Edits) or moves_codes(model)):
        return []
    found = []
    for name in model.schema.column_names:
        kind = model.schema.find(name)[0].kind
        far = 3.0 if kind == "real" else 1.0
        found.append(Slider(name, kind, least=-far, most=far))
    if not model.knows_strengths:
        return [replace(each, step=1.0) for each in found if each.name in model.editable]
    if isinstance(model, Groups):
        groups = {name: group for group, names in model.groups.items() for name in names}
        pairs = [(each, groups.get(each.name.partition("=")[0])) for each in found]
        return [replace(each, group=group) for each, group in pairs if group is not None]
    return found


def can(model: Model) -> dict[str, bool]:
    """Tell what a model can do, for pages that show only what works."""
    return {
        "edit": isinstance(model, Edits) or moves_codes(model),
        "photograph": isinstance(model, Edits) or has_codes(model),
        "encode": isinstance(generator_of(model), Encodes),
        "search": has_codes(model) and not isinstance(generator_of(model), Encodes),
        "sample": samples(model),
        "lock": moves_codes(model),
        "teach": isinstance(generator_of(model), Generates),
        "layers": isinstance(model, PaintsLayers),
    }


def samples(model: Model) -> bool:
    """Tell whether the model draws pictures of its own."""
    try:
        model.sample_codes(1, torch.Generator().manual_seed(0))
    except AttrimorphError:
        return False
    return True
