"""What CycleGAN remembers between steps: made images for D, and real ones of both domains."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """The last made images (Shrivastava et al. 2017): D sees old ones too, and does not follow every whim of G.

    Until it is full an image is kept and returned. Then, with probability 1/2, a stored one is returned and the new one
    takes its place.

    Args:
        size: 50 as published; 0 returns what it is given.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Exchange a batch [B, 3, S, S], without gradient; chance comes from the CPU generator."""
        images = images.detach()
        if not self.size:
            return images
        if self.images and self.images[0].device != images.device:
            # A checkpoint is read to the CPU.
            self.images = [image.to(images.device) for image in self.images]
        # Drawn for every image, kept or not: what follows does not depend on how full the pool is.
        coins = torch.rand(len(images), 2, generator=generator).tolist()
        returned = []
        for image, (coin, place) in zip(images, coins, strict=True):
            if len(self.images) < self.size:
                self.images.append(image.clone())
                returned.append(image)
            elif coin < 0.5:
                returned.append(self.images[int(place * self.size)])
                self.images[int(place * self.size)] = image.clone()
            else:
                returned.append(image)
        return torch.stack(returned)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"images": torch.stack(self.images) if self.images else torch.zeros(0)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.images = [image.clone() for image in state["images"]]


class DomainBank:
    """The newest real images of one domain, from which every step draws as many as it needs.

    A labelled batch of two holds two images with glasses, or none: drawn from here, every step has both domains in
    equal numbers, and a rare one is seen as often as the other. No value is read off the device.

    Args:
        size: images kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: Tensor | None = None
        self.count = torch.zeros((), dtype=torch.int64)

    def add(self, images: Tensor, member: Tensor) -> None:
        """Take those of the images [B, 3, S, S] that belong to the domain: member, bool [B]; B is at most `size`."""
        if self.images is None:
            # One more place, where what does not belong goes.
            self.images = torch.zeros(self.size + 1, *images.shape[1:], device=images.device)
        # A checkpoint is read to the CPU.
        self.images, self.count = self.images.to(images.device), self.count.to(images.device)
        places = (self.count + member.long().cumsum(0) - 1) % self.size
        self.images[torch.where(member, places, self.size)] = images
        self.count = self.count + member.sum()

    def draw(self, chance: Tensor) -> Tensor:
        """Return images [n, 3, S, S] chosen by uniform numbers [n]; black ones while there are none."""
        assert self.images is not None
        filled = self.count.clamp(max=self.size)
        chosen = (chance * filled).long().minimum((filled - 1).clamp_min(0))
        return self.images[chosen]

    @property
    def ready(self) -> Tensor:
        """1 where there is an image, else 0: a scalar to multiply losses by."""
        return (self.count > 0).float()

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"images": torch.zeros(0) if self.images is None else self.images.clone(), "count": self.count.clone()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.images = state["images"].clone() if state["images"].numel() else None
        self.count = state["count"].clone()
