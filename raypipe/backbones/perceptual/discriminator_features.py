"""A perceptual distance where no LPIPS is at hand: features of the discriminator that the generator was trained with.

It has seen nothing but such faces, so its features tell what matters in them, without weights from elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.perceptual.lpips import unit_vectors
from raypipe.backbones.stylegan2 import Discriminator


class DiscriminatorFeatures(nn.Module):
    """Squared distances of features of unit length after each residual block, averaged over positions and blocks."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Two batches [n,3,h,w] in [-1,1] -> one distance for each pair, [n] float32, in [0, 4].

        Pictures of another size than the discriminator's are brought to it, bilinearly.
        """
        pairs = zip(self._maps(images), self._maps(others), strict=True)
        return torch.stack([(ours - theirs).square().sum(1).mean((1, 2)) for ours, theirs in pairs]).mean(0)

    def _maps(self, images: Tensor) -> list[Tensor]:
        size = self.discriminator.config.size
        if images.shape[2:] != (size, size):
            images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        return [unit_vectors(x.float()) for x in self.discriminator.features(images)]
