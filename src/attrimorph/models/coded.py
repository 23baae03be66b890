"""What models with codes share: pictures made of z and attributes, codes drawn and found, edits that keep z."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from attrimorph.data.schema import Changes
from attrimorph.models.codes import Code
from attrimorph.models.model import Model
from attrimorph.models.pictures import Pictures, Source


class CodedModel(Model, ABC):
    """A model whose pictures are made of z and attributes: it decodes and samples."""

    samples = True

    @property
    def latent(self) -> int:
        """Columns of z."""
        columns: int = self.recipe.networks.latent  # type: ignore[attr-defined]
        return columns

    def shown(self, attributes: Tensor) -> Tensor:
        """Return what the networks see of y: nothing where the model is unconditional."""
        return self.known(attributes)[:, : None if self.conditional else 0]

    @abstractmethod
    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return G(z, y) as `decode` does, with gradients towards z and y where they want any."""

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        """Return G(z, y).

        Args:
            code: z [B, Z], attributes [B, W].

        Returns:
            float32 [B, 3, S, S] in [-1, 1].
        """
        return self.generate(code.z, code.attributes).as_subclass(Pictures)

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw codes.

        z comes from the Gaussian fitted to the training images' codes, or from N(0, I) where there is none; y as given,
        or drawn from the training data's own combinations.

        Args:
            count: B.
            generator: a CPU generator.
            attributes: [B, W] or [1, W].

        Returns:
            Code of B rows.
        """
        z = torch.randn(count, self.latent, generator=generator)
        if "prior" in self.networks:
            with torch.no_grad():
                z = self.networks["prior"](z.to(self.device)).cpu()
        if attributes is None:
            attributes = self.draw_attributes(count, generator)
        return Code(z, attributes.expand(count, -1).clone())


class CodedEncoder(CodedModel):
    """One that finds the codes of pictures too."""

    @abstractmethod
    def posterior(self, images: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x, y), each [B, Z]; y without NaN, all on the model's device."""

    @torch.no_grad()
    def encode(self, images: Source, attributes: Tensor | None = None) -> Code:
        """Return the mean of q(z | x, y), and y.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            attributes: [B, W]; guessed by the classifier where None, unless they do not matter.
        """
        images = self.prepared(images)
        if attributes is None and self.conditional:
            attributes = self.guess_attributes(images)
        elif attributes is None:
            attributes = torch.full((len(images), self.schema.width), torch.nan)
        mean, _ = self.posterior(images.to(self.device), self.shown(attributes))
        return Code(mean, attributes.to(self.device))


class CodedEditor(CodedEncoder):
    """One that edits pictures by their attributes."""

    def edit(self, images: Source, changes: Changes, attributes: Tensor | None = None) -> Pictures:
        """Return G(E(x, y), y'), y' = y moved by the calibrated strengths of `changes`.

        Args:
            images: [B, 3, S, S] in [-1, 1].
            changes: attribute -> strength; 0 = unchanged, 1 = set, -1 = taken away, 0.5 = half-way as far as the model
                was calibrated.
            attributes: [B, W]; guessed by the classifier where None.

        Returns:
            [B, 3, S, S] in [-1, 1]; no changes give the reconstruction.
        """
        code = self.encode(images, attributes)
        return self.decode(Code(code.z, self.moved(code.attributes, changes)))
