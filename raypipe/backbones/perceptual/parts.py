"""The perceptual distance that a model's parts allow for."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from raypipe.backbones.perceptual.discriminator_features import DiscriminatorFeatures
from raypipe.backbones.perceptual.lpips import KIND, Lpips, load_lpips
from raypipe.backbones.stylegan2 import load_discriminator
from raypipe.errors import WrongUsage
from raypipe.weights import Part

LPIPS_PART, DISCRIMINATOR_PART = "perceptual", "discriminator"


def load_perceptual(parts: Mapping[str, Part], device: str | torch.device) -> Lpips | DiscriminatorFeatures:
    """LPIPS where there is one, else the discriminator's features; both are called with two batches of pictures.

    Raises:
        WrongUsage: neither is there.
        BadWeights: the part is of another kind, or its tensors do not fit.
    """
    if LPIPS_PART in parts:
        return load_lpips(parts[LPIPS_PART], device)
    if DISCRIMINATOR_PART in parts:
        return DiscriminatorFeatures(load_discriminator(parts[DISCRIMINATOR_PART], device))
    raise WrongUsage(
        f"a perceptual loss needs a part {LPIPS_PART!r} (kind {KIND!r}, from: raypipe weights import TRUNK --heads "
        f"HEADS) or {DISCRIMINATOR_PART!r} (of the StyleGAN2 training); parts: {', '.join(parts) or 'none'}"
    )
