"""Faces drawn in other styles, by a generator that may have a high-pass filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raypipe.backbones.stargan2.landmarks import Landmarks


class Drawer:
    """A generator and, where it has a high-pass filter, what finds the parts of a face that the filter is limited to.

    Args:
        generator: ``Generator``, or what takes the same.
        landmarks: without them the filter is not used.
    """

    def __init__(self, generator: Callable[..., Tensor], landmarks: Landmarks | None) -> None:
        self._generator, self._landmarks = generator, landmarks

    def __call__(self, images: Tensor, style_ND: Tensor) -> Tensor:
        """[n, 3, s, s] nominally in [-1, 1], [n, style_dim] -> [n, 3, s, s], not limited."""
        return self.of(images)(style_ND)

    def of(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Draws the same faces in one style after another: their landmarks are looked for once."""
        masks = self._masks(images)
        return lambda style_ND: self._generator(images, style_ND, masks)

    @torch.no_grad()
    def _masks(self, images: Tensor) -> Sequence[Tensor]:
        if self._landmarks is None:
            return ()
        with torch.autocast(images.device.type, enabled=False):
            return self._landmarks.masks(images.to(next(self._landmarks.parameters())))
