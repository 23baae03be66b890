"""What StarGAN, AttGAN and STGAN share."""

import torch
from torch import Tensor


def joined(h: Tensor, a: Tensor) -> Tensor:
    """Return features [B, C, S, S] with attributes [B, W] as W more channels, each the same everywhere."""
    return torch.cat([h, a[:, :, None, None].expand(-1, -1, *h.shape[2:]).to(h.dtype)], 1)
