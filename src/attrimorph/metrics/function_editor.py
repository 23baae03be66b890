"""Anybody's editor, as one that can be measured: a plain function, the attributes it knows, and a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError


@dataclass(frozen=True)
class FunctionEditor:
    """An editor made of a function.

        def edit(images, changes):                     # [B, 3, 64, 64] in [-1, 1], {"Smiling": 1.0}
            return peer(images, changes)               # [B, 3, 64, 64] in [-1, 1]

        editor = FunctionEditor(edit, schema, 64, "their model")

    Strengths mean what they mean here: 0 = unchanged, 1 = set, -1 = taken away. The function may be asked for no change
    at all, and for several at once.

    Attributes:
        function: images [B, 3, S, S] in [-1, 1] and strengths by attribute -> images of the same shape.
        schema: the attributes that it knows.
        image_size: S.
        name: how it stands in the names of figures.
    """

    function: Callable[[Tensor, Mapping[str, float]], Tensor]
    schema: Schema
    image_size: int
    name: str

    @torch.no_grad()
    def edit(self, images: Tensor, changes: Mapping[str, float], attributes: Tensor | None = None) -> Tensor:
        """Return the function's images; the attributes of the input are not passed on.

        Raises:
            AttrimorphError: an attribute that it does not know, images of another size, or an answer of another form.
        """
        changes = self.schema.changes(changes)
        shape = (len(images), 3, self.image_size, self.image_size)
        if tuple(images.shape) != shape:
            raise AttrimorphError(f"{self.name} takes images {list(shape)}; got {list(images.shape)}; resize them")
        made = self.function(images, dict(changes))
        if not isinstance(made, Tensor) or tuple(made.shape) != shape or not bool(made.isfinite().all()):
            form = f"{list(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise AttrimorphError(
                f"the function of {self.name} must return finite images {list(shape)} in -1..1; got {form}; mend it"
            )
        return made.detach().float().cpu().clamp(-1, 1)
