"""How far a reconstruction is from its picture, and how far a code from where codes should be.

Richardson et al., Encoding in Style (CVPR 2021), equations 1 to 4; Tov et al., Designing an Encoder for StyleGAN Image
Manipulation (2021), equation 5. N faces, L rows of the code, D its width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raypipe.backbones.identity import load_identity
from raypipe.backbones.identity.parts import FaceEmbedder
from raypipe.backbones.perceptual import DiscriminatorFeatures, Lpips, load_perceptual
from raypipe.backbones.psp.beginning import IDENTITY_PART
from raypipe.backbones.psp.training_config import InversionConfig
from raypipe.contract import Site
from raypipe.errors import WrongUsage


class PictureLosses:
    """Those with a weight above 0: ``pixel``, ``perceptual`` and ``identity``."""

    def __init__(self, config: InversionConfig, site: Site) -> None:
        """Raises:
        WrongUsage: a loss has a weight and the model lacks the network for it.
        """
        self._perceptual = _perceptual(site) if config.perceptual_weight else None
        self._identity = _identity(site) if config.identity_weight else None

    def __call__(self, made: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Two batches [N,3,s,s] in [-1,1] -> each loss [N], differentiable in the first."""
        losses = {"pixel": (made - images).square().mean((1, 2, 3))}
        if self._perceptual is not None:
            losses["perceptual"] = self._perceptual(made, images)
        if self._identity is not None:
            with torch.no_grad():
                person = self._identity.embed(images)
            losses["identity"] = 1 - (self._identity.embed(made) * person).sum(1)
        return losses


def delta_length(codes_NLD: Tensor) -> Tensor:
    """e4e's regularisation: Euclidean length of every row's offset from the first, summed over rows; mean over faces.

    For codes whose average has equal rows, as that of a generator's w has. The gradient of a zero offset is zero.
    """
    deltas = codes_NLD[:, 1:] - codes_NLD[:, :1]
    lengths: Tensor = torch.linalg.vector_norm(deltas, dim=2)
    return lengths.sum(1).mean()


def first_rows(codes_NLD: Tensor, count: int) -> Tensor:
    """Rows from ``count`` on become the first row: their offsets are not in use yet, and learn nothing."""
    unused = codes_NLD.shape[1] - count
    return torch.cat([codes_NLD[:, :count], codes_NLD[:, :1].expand(-1, unused, -1)], dim=1)


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The loss that is descended."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def _perceptual(site: Site) -> Lpips | DiscriminatorFeatures:
    try:
        return load_perceptual(site.parts, site.device)
    except WrongUsage as error:
        raise WrongUsage(f"{error}. Give one, or set perceptual_weight=0") from error


def _identity(site: Site) -> FaceEmbedder:
    if IDENTITY_PART not in site.parts:
        raise WrongUsage(
            f"the identity loss needs a model with a part {IDENTITY_PART!r}; parts: {', '.join(site.parts) or 'none'}. "
            "Give one, or set identity_weight=0"
        )
    return load_identity(site.parts[IDENTITY_PART], site.device)
