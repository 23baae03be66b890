"""Trained CycleGANs and pix2pix: one attribute each, all or nothing; several in a chain."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from attrimorph.data import Changes, Schema
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods.translation.domains import edited_attribute, source_of
from attrimorph.methods.translation.networks import GENERATORS
from attrimorph.methods.translation.recipe import TranslationRecipe
from attrimorph.models import Header, Strengths, hash_of_chain
from attrimorph.models.model import Model, any_source
from attrimorph.pictures import Pictures, Source


class CycleGANModel(Model):
    """A trained CycleGAN: it sets one attribute or takes it away. It knows no strength and no in-between.

    Attributes:
        attribute: which.
    """

    conditional = False
    knows_strengths = False
    recipe: TranslationRecipe

    def __init__(self, networks: Mapping[str, nn.Module], header: Header, device: str, digest: str) -> None:
        super().__init__(networks, header, device, digest)
        self.attribute = edited_attribute(self.recipe, self.schema)

    @property
    def changeable(self) -> tuple[str, ...]:
        """The one attribute."""
        return (self.attribute,)

    @any_source
    @torch.no_grad()
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Set the attribute (strength 1) or take it away (-1).

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: the attribute -> 1, -1, or 0 for nothing.
            attributes: [B, W]; images that are known to be as wished stay as they are. None or NaN: all change.

        Returns:
            [B, 3, S, S] in [-1, 1].

        Raises:
            AttrimorphError: another attribute, or a strength between.
        """
        edited = self.prepared(images).to(self.device)
        for name, strength in self.changes(changes).items():
            self._check(name, strength)
            if strength == 0:
                continue
            made = self.networks[GENERATORS[0 if strength > 0 else 1]](edited).float()
            if attributes is not None:
                known = attributes[:, self.schema.columns(name).start].to(edited.device)
                made = torch.where((known == float(strength > 0))[:, None, None, None], edited, made)
            edited = made.contiguous()
        return edited.as_subclass(Pictures)

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return what a sample sheet shows of held-out images: themselves, and the attribute set and taken away."""
        return [images, *(self.edit(images, {self.attribute: strength}).cpu() for strength in (1.0, -1.0))]

    def _check(self, name: str, strength: float) -> None:
        if name != self.attribute:
            self.schema.attribute(name)
            raise AttrimorphError(
                f"this CycleGAN changes {self.attribute} alone; got {name}; name a model for each, with commas"
            )
        if strength not in (-1, 0, 1):
            raise AttrimorphError(
                f"a CycleGAN knows no strength but 1 (set) and -1 (taken away); {name} got {strength:g}; "
                "use HomoInterpGAN or CVAE-GAN for what lies between"
            )


class Chain(Model):
    """Several CycleGANs, one attribute each, as one model: (man, dark hair, not young) -> (woman, blond, young).

    Args:
        models: of one image size and on one device, each with an attribute of its own.

    Raises:
        AttrimorphError: they do not go together.
    """

    conditional = False
    knows_strengths = False

    def __init__(self, models: Sequence[Model]) -> None:
        links = [model for model in models if isinstance(model, CycleGANModel)]
        if not links or len(links) != len(models):
            raise AttrimorphError(f"a chain must be made of CycleGANs; got {len(models) - len(links)} other models")
        if len({model.image_size for model in links}) != 1:
            sizes = ", ".join(str(model.image_size) for model in links)
            raise AttrimorphError(f"the models of a chain must have one image size; got {sizes}; train them alike")
        self.links = {model.attribute: model for model in links}
        if len(self.links) != len(links):
            names = ", ".join(model.attribute for model in links)
            raise AttrimorphError(f"each model of a chain must change another attribute; got {names}; leave one out")
        joined = hash_of_chain(model.hash for model in links)
        schema = links[0].schema
        if any(model.schema != schema for model in links):
            # Of different data: the chain knows what its models change, and no more.
            schema = Schema(tuple(model.schema.attribute(model.attribute) for model in links))
        header = Header(links[0].header | {"schema": schema.to_json()}, links[0].recipe, schema, Strengths())
        super().__init__({}, header, links[0].device, joined)

    @property
    def changeable(self) -> tuple[str, ...]:
        """One attribute for each link."""
        return tuple(self.links)

    @any_source
    def edit(self, images: Tensor, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Change several attributes, one after another in the order of `changes`; as of `CycleGANModel.edit`."""
        return self.stages(images, changes, attributes)[-1].as_subclass(Pictures)

    def stages(self, images: Source, changes: Changes, attributes: Tensor | None = None) -> list[Tensor]:
        """Return the images before, between and after the changes, a list of [B, 3, S, S]."""
        found = [self.prepared(images).to(self.device)]
        for name, strength in self.changes(changes).items():
            if name not in self.links:
                raise AttrimorphError(f"no model of this chain changes {name!r}; {suggestion(name, self.links)}")
            link = self.links[name]
            known = None
            if attributes is not None:
                known = torch.full((len(found[0]), link.schema.width), torch.nan)
                known[:, link.schema.columns(name).start] = attributes[:, self.schema.columns(name).start].cpu()
            found.append(link.edit(found[-1], {name: strength}, known))
        return found


class Pix2PixModel(Model):
    """A trained pix2pix: from a source image to the image that belongs to it."""

    conditional = False
    recipe: TranslationRecipe

    @property
    def can(self) -> tuple[str, ...]:
        """What it does, as verbs."""
        return ("translate",)

    @torch.no_grad()
    def translate(self, sources: Source, seed: int = 0) -> Pictures:
        """Make the images that belong to sources.

        Args:
            sources: [B, 3, S, S] in [-1, 1], as `domains.source_of` makes them, or of pairs.
            seed: of the dropout, the generator's only noise; one draw for all sources, so that an image does not depend
                on its neighbours.

        Returns:
            [B, 3, S, S] in [-1, 1].
        """
        made = []
        with torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []):
            for source in self.prepared(sources).to(self.device).split(1):  # type: ignore[no-untyped-call]
                torch.manual_seed(seed)
                made.append(self.networks["generator"](source).float())
        return torch.cat(made).contiguous().as_subclass(Pictures)

    def sheet_rows(self, images: Tensor, attributes: Tensor, masks: Tensor | None = None) -> list[Tensor]:
        """Return what a sample sheet shows of held-out images: themselves, sources made of them, and translations.

        Of pairs: themselves, and the sources among them translated.
        """
        from attrimorph.data.loader import Batch

        word = self.recipe.domains.source
        if word == "pairs":
            column = self.schema.columns(edited_attribute(self.recipe, self.schema)).start
            source = (attributes[:, column] < 0.5)[:, None, None, None]
            return [images, torch.where(source, self.translate(images).cpu(), images)]
        sources = source_of(Batch(images, attributes, masks), word)
        return [images, sources, self.translate(sources).cpu()]
