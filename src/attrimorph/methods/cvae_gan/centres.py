"""Moving averages of feature centres, one for each class or attribute value (CVAE-GAN, eqs. 2 and 3)."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from attrimorph.methods.base import world


class Centres:
    """Real and generated centres, [V, F] each: centre <- m centre + (1 - m) batch mean, where the batch has the value.

    A batch holds few samples of a class, so the averages stand in for the expectations of the equations. The generated
    centre's gradient is that of the batch mean, not shrunk by (1 - m): the weight of the loss then means the same at
    every momentum. A value's first batch sets its centre.

    Args:
        momentum: m in [0, 1).
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.real: Tensor | None = None
        self.generated: Tensor | None = None
        self.real_seen: Tensor | None = None
        self.generated_seen: Tensor | None = None

    def update(
        self, real: Tensor, real_member: Tensor, generated: Tensor, generated_member: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move the averages by one batch.

        Args:
            real, generated: features [B, F]; real_member, generated_member: [B, V] in {0, 1}.

        Returns:
            The real and the generated centres, [V', F], of the values this batch generated and that have a real
            centre; gradient flows into `generated` alone.
        """
        if self.real is None or self.generated is None or self.real_seen is None or self.generated_seen is None:
            shape = (real_member.shape[1], real.shape[1])
            self.real, self.generated = real.new_zeros(shape), real.new_zeros(shape)
            self.real_seen = torch.zeros(shape[0], dtype=torch.bool, device=real.device)
            self.generated_seen = self.real_seen.clone()
        # A checkpoint is read to the CPU.
        self.real, self.generated = self.real.to(real.device), self.generated.to(real.device)
        self.real_seen, self.generated_seen = self.real_seen.to(real.device), self.generated_seen.to(real.device)
        with torch.no_grad():
            self.real, self.real_seen, _, _ = self._moved(self.real, self.real_seen, real, real_member)
            self.generated, self.generated_seen, count, present = self._moved(
                self.generated, self.generated_seen, generated, generated_member
            )
        own = _sums(generated_member, generated) * (world() / count.clamp_min(1))
        use = present & self.real_seen
        # The value of the moving average with the gradient of the batch mean; the mean of the processes' gradients
        # is then the gradient of the joint batch.
        through = self.generated + (own - own.detach())
        return self.real[use], through[use]

    def _moved(
        self, centre: Tensor, seen: Tensor, features: Tensor, member: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total, count = _sums(member, features.detach()), member.sum(0)[:, None]
        if dist.is_initialized():
            both = torch.cat([total, count], dim=1)
            dist.all_reduce(both)
            total, count = both[:, :-1], both[:, -1:]
        present = count[:, 0] > 0
        momentum = torch.where(seen, self.momentum, 0.0)[:, None]
        moved = momentum * centre + (1 - momentum) * total / count.clamp_min(1)
        return torch.where(present[:, None], moved, centre), seen | present, count, present

    def state(self) -> dict[str, Any]:
        """Plain tensors for a checkpoint; empty before the first batch."""
        if self.real is None:
            return {}
        return {
            "real": self.real,
            "generated": self.generated,
            "real_seen": self.real_seen,
            "generated_seen": self.generated_seen,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.real, self.generated = state.get("real"), state.get("generated")
        self.real_seen, self.generated_seen = state.get("real_seen"), state.get("generated_seen")


def _sums(member: Tensor, features: Tensor) -> Tensor:
    """Return the sum of the features of each value's rows, [V, F], in float32 under autocast too.

    The loss is a difference of centres that are close: the three digits of bf16 would leave little but noise.
    """
    with torch.autocast(features.device.type, enabled=False):
        return member.float().T @ features.float()
