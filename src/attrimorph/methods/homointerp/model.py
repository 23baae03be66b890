"""A trained HomoInterpGAN: features of images, moved group by group towards references or by sliders."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attrimorph.data import Changes
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods.homointerp.groups import REST, grouping, membership
from attrimorph.methods.homointerp.networks import MeanPrototypes, feature_side
from attrimorph.methods.homointerp.recipe import InterpolationRecipe
from attrimorph.models import Header
from attrimorph.models.model import Code, Model, any_source
from attrimorph.pictures import Pictures, Source

STRONGEST = 2.0


class InterpolationModel(Model):
    """A trained HomoInterpGAN: it encodes, decodes and edits, by attribute and by reference. It does not sample.

    A code's z is F, flattened, followed by the attributes that the image had. `decode` moves F by the difference
    between the code's attributes and those, so that all that works with codes works here.

    Attributes:
        groups: name -> attributes that change together.
    """

    recipe: InterpolationRecipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        recipe = self.recipe
        self.groups = grouping(recipe, self.schema)
        self.members = membership(self.groups, self.schema).to(device)
        self.straight = self.schema.width
        self.shape = (recipe.networks.channels, feature_side(recipe), feature_side(recipe))

    @property
    def changeable(self) -> tuple[str, ...]:
        """The attributes that one of the groups moves."""
        known = {name for group in self.groups.values() for name in group}
        return tuple(name for name in self.schema.names if name in known)

    @torch.no_grad()
    def features(self, images: Source) -> Tensor:
        """Return F [B, C, h, w] of images [B, 3, S, S] in [-1, 1]."""
        images = self.prepared(images)
        features: Tensor = self.networks["encoder"](images.to(self.device)).float()
        return features

    @torch.no_grad()
    def render(self, features: Tensor) -> Tensor:
        """Return the images [B, 3, S, S] in [-1, 1] of features [B, C, h, w]."""
        images: Tensor = self.networks["decoder"](features).float().clamp(-1, 1)
        return images.contiguous()

    @torch.no_grad()
    def moves(self, face: Tensor, difference: Tensor, v: Tensor) -> Tensor:
        """Return how far features move towards those of another face, F_int - F_a, [B, C, h, w].

        Args:
            face: F_a; difference: F_b - F_a; both [B, C, h, w].
            v: strength of each group, [B, groups + 1], the last the rest.
        """
        prototypes, start, other, where = self.networks["prototypes"], face, face + difference, None
        mean = isinstance(prototypes, MeanPrototypes)
        if not mean or self.strengths.positions:
            own, goal = (self.guess_attributes(self.render(each)) for each in (face, other))
            v = self.positions(goal - own, v)
            if not mean:
                # The other's attributes first, in this face's own shape, then what the other has beside them.
                change = (goal - own) * (v @ self.members.to(v.dtype))
                start = self._slide(face, own, change)
                moving = v.any(0).nonzero().flatten().tolist()
                where = prototypes.where(self.members, (start, own + change), (other, goal), only=moving)
        moved: Tensor = self.networks["interpolator"](start, other - start, v, where)
        return moved - face

    def positions(self, change: Tensor, v: Tensor) -> Tensor:
        """Return how far each group is to go for its strength, [B, groups + 1].

        A group is calibrated as the sliders of those of its attributes that change; where these disagree, the mean.

        Args:
            change: of the attributes, [B, W].
            v: strengths, [B, groups + 1], the last the rest's, which stays.
        """
        if not self.strengths.positions:
            return v
        asked, each = torch.unique(v, return_inverse=True)
        names, place = self.schema.column_names, self.strengths.position
        # [2, strengths, W]: where the sliders stand that set, and those that take away.
        stands = torch.tensor([[[abs(place(n, s * sign)) for n in names] for s in asked.tolist()] for sign in (1, -1)])
        set_, taken_away = stands.to(v)[:, each]
        sliders = torch.where(change[:, None] > 0, set_, taken_away)
        weights = change.abs()[:, None] * self.members
        total = weights.sum(2)
        return torch.where(total > 0, (weights * sliders).sum(2) / total.clamp_min(1e-6), v)

    @torch.no_grad()
    def _slide(self, face: Tensor, own: Tensor, change: Tensor) -> Tensor:
        """Move features [B, C, h, w] of attributes `own` [B, W] by a change of these [B, W], by prototypes."""
        # Trained with whole changes and v in 0..1: half a change is a whole one, gone half of the way.
        v = (change.abs()[:, None, :] * self.members).amax(2)
        if not bool(v.any()):
            return face
        along = v @ self.members.to(v.dtype)
        # An attribute in no group does not move.
        whole = torch.where(along > 0, change / along.clamp_min(1e-6), 0.0)
        prototypes, interpolator = self.networks["prototypes"], self.networks["interpolator"]
        d = prototypes(face, own, whole)
        if isinstance(prototypes, MeanPrototypes):
            return interpolator(face, d, v)  # type: ignore[no-any-return]
        # All that is asked together goes as far as the least of it; beyond that each group goes by itself.
        v, groups = self.recipe.networks.reach * v, v.any(0).nonzero().flatten().tolist()
        least = torch.where(v > 0, v, v.amax(1, keepdim=True)).amin(1)
        asked = least[:, None, None, None] * d
        for group in groups if bool((v > least[:, None]).any()) else ():
            further = (v[:, group] - least).clamp_min(0)[:, None, None, None]
            asked = asked + further * prototypes(face, own, whole * self.members[group])
        return interpolator(face, d, v, asked=asked)  # type: ignore[no-any-return]

    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        """Return F and y as one vector [B, C h w + W], and y.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; what is None or NaN is guessed by the classifier.
        """
        images = self.prepared(images)
        features = self.features(images)
        if attributes is None:
            y = self.guess_attributes(images)
        else:
            y = attributes.to(self.device)
            # A program that is exported cannot look into its tensors.
            if torch.compiler.is_exporting() or bool(y.isnan().any()):
                y = torch.where(y.isnan(), self.guess_attributes(images), y)
        return Code(torch.cat([features.flatten(1), y], dim=1), y)

    def decode(self, code: Code) -> Pictures:
        """Return Dec(F moved by what the code's attributes are other than the image's own), [B, 3, S, S] in [-1, 1]."""
        face, own = self._parts(code.z)
        return self.render(self._slide(face, own, self.known(code.attributes) - own)).as_subclass(Pictures)

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return F [B, C, h, w] and the image's own attributes [B, W] of a code's z."""
        z, width = z.to(self.device), self.schema.width
        return z[:, :-width].reshape(-1, *self.shape), z[:, -width:]

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Refuse: there is no prior of features.

        Raises:
            AttrimorphError: always.
        """
        raise AttrimorphError(
            f"sampling needs a model with a prior; {self.recipe.name!r} ({self.recipe.method}) changes given images; "
            "use a CVAE-GAN, for example drawn-faces-64"
        )

    @any_source
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Change attributes, each group by its own branch.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away; at most 2.
            attributes: [B, W]; what is None or NaN is guessed by the classifier.

        Returns:
            [B, 3, S, S] in [-1, 1].

        Raises:
            AttrimorphError: an attribute is in no group, or a strength is out of range.
        """
        images = self.prepared(images)
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.moved(code.attributes, changes)))

    def moved(self, attributes: Tensor, changes: Changes) -> Tensor:
        """Return attributes [B, W] moved by calibrated strengths.

        Raises:
            AttrimorphError: an attribute is in no group, or a strength is out of range.
        """
        changes = self.changes(changes)
        for key, strength in changes.items():
            self.group_of(self.schema.find(key)[0].name)
            if not abs(strength) <= STRONGEST:
                raise AttrimorphError(f"a strength must lie in -2..2; {key} got {strength:g}; try 1")
        return super().moved(attributes, changes)

    def changes(self, changes: Changes) -> dict[str, float]:
        """Return changes as `Model.changes` does; a group is refused with what to do."""
        for key in changes:
            if key in self.groups and key not in self.schema.names:
                raise AttrimorphError(
                    f"{key!r} is a group of attributes, which another face changes; add --like FACE, or change one of "
                    f"{', '.join(self.groups[key])}"
                )
        return super().changes(changes)

    def follow(self, images: Source, references: Source, strengths: Mapping[str, float]) -> Pictures:
        """Return F_a + sum of v_g T_g(F_b - F_a), decoded: "like this face's hair colour".

        Args:
            images: [B, 3, S, S] in [-1, 1].
            references: [B or 1, 3, S, S].
            strengths: group (or an attribute of it) -> v in 0..2.

        Raises:
            AttrimorphError: there is no such group, or a strength is out of range.
        """
        v = torch.zeros(len(self.members), device=self.device)
        names = [*self.groups, REST]
        for name, strength in strengths.items():
            if not 0 <= strength <= STRONGEST:
                raise AttrimorphError(f"a group's strength must lie in 0..2; {name} got {strength:g}; try 1")
            group = names.index(self.group_of(name))
            if float(v[group]):
                raise AttrimorphError(f"the group {names[group]!r} stands twice; name it, or one attribute of it, once")
            v[group] = strength
        images = self.prepared(images)
        face, other = self.features(images), self.features(references)
        difference = other.expand_as(face) - face
        moved = face + self.moves(face, difference, v.expand(len(face), -1))
        return self.render(moved).as_subclass(Pictures)

    def group_of(self, name: str) -> str:
        """Return the group of that name, or the group that an attribute belongs to.

        Raises:
            AttrimorphError: there is none.
        """
        if name in self.groups or name == REST:
            return name
        for group, attributes in self.groups.items():
            if name in attributes:
                return group
        if name in self.schema.names:
            raise AttrimorphError(
                f"the attribute {name!r} is in none of the groups that {self.recipe.name!r} was trained with "
                f"({', '.join(self.groups)}); train with --networks.others own to change it"
            )
        raise AttrimorphError(
            f"there is no group or attribute {name!r}; {suggestion(name, [*self.groups, *self.schema.names])}"
        )

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return what a sample sheet shows of held-out images: themselves, reconstructed, and an edit of each group."""
        rows = [images, self.decode(self.encode(images, attributes)).cpu()]
        # Mean prototypes are found when a checkpoint is written: until then there is nothing to edit with.
        names = [group[0] for group in self.groups.values()] if "prototypes" in self.networks else []
        for name in names:
            attribute = self.schema.attribute(name)
            key = f"{name}={attribute.values[0]}" if attribute.values else name
            rows.append(self.edit(images, {key: 1.0}, attributes).cpu())
        return rows
