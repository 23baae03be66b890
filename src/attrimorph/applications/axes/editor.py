"""Any generator with an axis pack as a model that edits: along one or several axes, with others locked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications.axes import Axis, AxisPack
from attrimorph.applications.axes.linear import on_sphere, shortest_move, untangle
from attrimorph.applications.axes.space import REACH, Space, normalises, picture_gram
from attrimorph.data import Attribute, Changes, Schema, strengths_in_range
from attrimorph.errors import AttrimorphError
from attrimorph.models import Strengths
from attrimorph.models.model import Code, Encodes, Model, any_source
from attrimorph.pictures import Pictures, Source

OPPOSITE = 0.2  # of an axis, what must be left beside the others for it to be moved on its own

Invert = Callable[[Tensor, Tensor | None], Code]
"""Images [B, 3, S, S] and their attributes or None -> codes whose pictures they are, or nearly."""


class AxisEditor(Model):
    """A generator that edits along axes.

    It is the generator in all but this: `edit` moves codes along axes, `encode` is the generator's own or an inversion,
    and the schema has the attributes that only the axes know besides.

    Args:
        model: any generator.
        pack: its axes.
        locks: attributes whose scores stay in every edit, unless they are edited themselves.
        invert: how a picture becomes a code, where the generator does not encode (or better than it does).
        gram: of photographs: how long a move is, [D, D]; see `linear.shortest_move` and `space.picture_gram`. Moves
            then go REACH times as far. None: their length in codes, as far as the strength says.
        sphere: of a generator that normalises z: move on the sphere that its codes lie on. False: straight on, which
            lengthens codes, so that normalised all scores shrink, the locked ones too.

    Raises:
        AttrimorphError: the pack belongs to another generator, or there is no axis for a lock.
    """

    def __init__(
        self,
        model: Model,
        pack: AxisPack,
        *,
        locks: Sequence[str] = (),
        invert: Invert | None = None,
        gram: Tensor | None = None,
        sphere: bool = True,
    ) -> None:
        pack.check(model)
        self.header, self.device, self.hash, self.recipe = model.header, model.device, model.hash, model.recipe
        self.image_size, self.images_seen, self.card = model.image_size, model.images_seen, model.card
        self.networks, self.conditional, self.samples = model.networks, model.conditional, model.samples
        # The model's own calibration is of attributes that G is given, not of scores.
        self.strengths = Strengths()
        known = {attribute.name for attribute in model.schema.attributes} | set(model.schema.column_names)
        more = tuple(Attribute(name) for name in pack.names if name not in known)
        self.schema = Schema((*model.schema.attributes, *more), model.schema.exclusive)
        self.model, self.pack, self.space, self.invert = model, pack, Space.of(model), invert
        self.axis_names = pack.names
        self.gram, self.reach = gram, 1.0 if gram is None else REACH
        self.sphere = sphere
        self.locks = tuple(pack.axis(name).name for name in dict.fromkeys(locks))

    @cached_property
    def for_photographs(self) -> "AxisEditor":
        """The editor whose moves keep most of a photograph; it takes seconds to find how, once."""
        gram = picture_gram(self.model)
        return AxisEditor(self.model, self.pack, locks=self.locks, invert=self.invert, gram=gram, sphere=self.sphere)

    @cached_property
    def radius(self) -> float | None:
        """Of the sphere that codes move on, sqrt(D); None: they move straight on."""
        return math.sqrt(self.space.size) if self.sphere and normalises(self.model) else None

    def with_axes(self, axes: Mapping[str, Axis], *, photographs: bool = False) -> "AxisEditor":
        """Return the editor with more axes; for photographs it moves as `for_photographs` does."""
        if photographs:
            return self.for_photographs.with_axes(axes)
        pack = replace(self.pack, axes={**self.pack.axes, **axes})
        parts: dict[str, Any] = {"locks": self.locks, "invert": self.invert, "gram": self.gram, "sphere": self.sphere}
        return AxisEditor(self.model, pack, **parts) if axes else self

    @property
    def changeable(self) -> tuple[str, ...]:
        """The attributes that have an axis."""
        return tuple(name for name in self.schema.names if name in self.pack.axes)

    @property
    def asked_of_samples(self) -> tuple[str, ...]:
        """The attributes that have an axis, where the generator draws."""
        return self.changeable if self.samples else ()

    @property
    def can(self) -> tuple[str, ...]:
        """What it does, as verbs."""
        own = tuple(verb for verb in self.model.can if verb != "edit")
        return (*own, f"edit along {len(self.pack.axes)} directions", "lock")

    def draw(self, count: int = 16, changes: Changes | None = None, *, seed: int = 0) -> Code:
        """Draw codes, moved along axes."""
        return self.move(super().draw(count, seed=seed), changes or {})

    def decode(self, code: Code) -> Pictures:
        """Return the generator's images, [B, 3, S, S] in [-1, 1]."""
        return self.model.decode(self.own(code))

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes as the generator does."""
        own = None if attributes is None else attributes[:, : self.model.schema.width]
        return self._widened(self.model.sample_codes(count, generator, own))

    def classify(self, images: Source) -> Tensor:
        """Return what the generator's own classifier says, and NaN for attributes that only axes know."""
        known = self.model.classify(images)
        return torch.cat([known, known.new_full((len(known), self.schema.width - known.shape[1]), torch.nan)], 1)

    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        """Return the images' codes.

        Raises:
            AttrimorphError: the generator does not encode, and no inversion was given.
        """
        own = None if attributes is None else attributes[:, : self.model.schema.width]
        images = self.prepared(images)
        if self.invert is not None:
            return self._widened(self.invert(images, own))
        if isinstance(self.model, Encodes):
            return self._widened(self.model.encode(images, own))
        raise AttrimorphError(
            f"to edit a photograph the model must encode it; {self.recipe.name!r} ({self.recipe.method}) does not; "
            "give an inversion, or edit its own samples"
        )

    def changes(self, changes: Changes) -> dict[str, float]:
        """Return changes as `Model.changes` does, of what has an axis; `move` looks at the strengths."""
        found = dict(
            (f"{name}={strength}", 1.0) if isinstance(strength, str) else (name, strength)
            for name, strength in changes.items()
        )
        for name in found:
            self.pack.axis(name)
        return found

    @any_source
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return images with their codes moved.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength: 0 = unchanged, 1 = set, -1 = taken away; see `move`.
            attributes: [B, W]; as the generator's own `encode` takes them.

        Returns:
            [B, 3, S, S] in [-1, 1].
        """
        return self.decode(self.move(self.encode(images, attributes), changes))

    def move(self, code: Code, changes: Changes, locks: Sequence[str] | None = None) -> Code:
        """Return codes moved the shortest way to the goals of all changes at once, the locked scores as they are.

        On a sphere (see `radius`) what is neither moved nor locked shrinks as far as the goals lie farther out.

        Strength s in 0..1 goes that share of the way from the code's own score to the axis's high goal, -s to the low
        one; a code that is beyond its goal stays. Beyond 1 it goes on.

        Args:
            code: of B rows.
            changes: attribute -> strength.
            locks: attributes that stay; the editor's own when None. What is edited is not locked, nor is what cannot
                hold beside an attribute that is set (the other hair colours): that is taken away by the same share.

        Raises:
            AttrimorphError: no axis of that name, a strength out of range, or axes that cannot be told apart.
        """
        asked = strengths_in_range(self.changes(changes))
        moving = {name: strength for name, strength in asked.items() if strength != 0}
        if not moving:
            return code
        locked = self.free_locks(moving, locks)
        rows = self.pack.rows(locked)
        for name, axis in zip(moving, untangle(self.pack.rows(list(moving)), rows), strict=True):
            if float(axis.norm()) < 0.5:
                raise AttrimorphError(
                    f"{name} cannot change while {', '.join(locked)} stay locked: they go together; lock fewer"
                )
        moving = self._with_rivals(moving, locked)
        here = self.space.coordinates(self.own(code), self.model.schema.fill_value)
        # Codes keep their length, which such a generator does not see: scores are those of the sphere.
        scale = 1.0 if self.radius is None else here.norm(dim=1, keepdim=True).clamp(min=1e-12) / self.radius
        here = here / scale
        wanted = torch.stack(
            [self._wanted(name, strength, here @ self.pack.axis(name).direction) for name, strength in moving.items()],
            dim=1,
        )
        there = here + shortest_move(self.pack.rows(list(moving)), rows, wanted, self.gram)
        if self.radius is not None:
            there = on_sphere(there, self.pack.rows([*moving, *locked]), self.radius) * scale
        return self._widened(self.space.code(there, self.own(code), self.model.schema.fill_value))

    def mutually_exclusive(self, name: str) -> list[str]:
        """Return the attributes with axes that cannot hold beside this one: the other hair colours."""
        return [other for other in self.schema.excluded_by(name) if other in self.pack.axes]

    def free_locks(self, changes: Mapping[str, float], locks: Sequence[str] | None = None) -> list[str]:
        """Return the locks (the editor's own when None) less what is edited, and less what must give way to it."""
        giving_way = {
            rival for name, strength in changes.items() if strength > 0 for rival in self.mutually_exclusive(name)
        }
        locks = self.locks if locks is None else locks
        return [name for name in locks if name not in changes and name not in giving_way]

    def _with_rivals(self, moving: Mapping[str, float], locked: Sequence[str]) -> dict[str, float]:
        """Return the changes, and for every attribute that is set the taking away of its rivals by the same share."""
        found = dict(moving)
        for name, strength in moving.items():
            for rival in self.mutually_exclusive(name) if strength > 0 else ():
                fixed = self.pack.rows([*found, *locked])
                # A rival that is the opposite of what is set goes away with it.
                if rival not in found and free_length(self.pack.rows([rival]), fixed) > OPPOSITE:
                    found[rival] = -min(strength, 1.0)
        return found

    def _wanted(self, name: str, strength: float, score: Tensor) -> Tensor:
        axis, far = self.pack.axis(name), self.reach * abs(strength)
        return far * ((axis.high - score).clamp(min=0) if strength > 0 else (axis.low - score).clamp(max=0))

    def own(self, code: Code) -> Code:
        """Return a code as the generator takes it: without the attributes that only axes know."""
        return Code(code.z, code.attributes[:, : self.model.schema.width])

    def _widened(self, code: Code) -> Code:
        missing = self.schema.width - code.attributes.shape[1]
        if not missing:
            return code
        unknown = code.attributes.new_full((len(code.attributes), missing), torch.nan)
        return Code(code.z, torch.cat([code.attributes, unknown], 1))


def free_length(axis: Tensor, locked: Tensor) -> float:
    """Return how much of a unit axis [1, D] is left when others are locked: 1 = all, 0 = nothing."""
    return float((axis * untangle(axis, locked)).sum()) if len(locked) else 1.0


def free_share(pack: AxisPack, name: str, locks: Sequence[str]) -> float:
    """Return how much of an attribute's axis is left when others are locked; the way grows as its inverse."""
    return free_length(pack.rows([name]), pack.rows([lock for lock in locks if lock != name]))


class Remembered:
    """The inversion of pictures whose codes are known: drawn ones, or photographs that were inverted before.

    Args:
        images: the pictures, [N, 3, S, S].
        code: N rows.
    """

    def __init__(self, images: Tensor, code: Code) -> None:
        self.images, self.code = images.cpu(), code
        self._places = {picture.numpy().tobytes(): place for place, picture in enumerate(self.images)}

    def __call__(self, images: Tensor, attributes: Tensor | None = None) -> Code:
        """Return the codes of pictures.

        Raises:
            AttrimorphError: a picture is none of them.
        """
        try:
            places = [self._places[picture.contiguous().numpy().tobytes()] for picture in images.cpu()]
        except KeyError:
            raise AttrimorphError(
                f"only {len(self.images)} pictures are remembered; got another; give an inversion for photographs"
            ) from None
        return Code(self.code.z[places], self.code.attributes[places])
