"""Second stage of an inversion: the encoder's code moved by gradient descent until the generator's picture fits.

Karras et al. 2020 (StyleGAN2, appendix D) optimise one w from the average; here every row moves, from the encoder's
code, held back by its distance from where it began (the trade-off of Tov et al. 2021, section 3). N faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Generator
from raypipe.errors import WrongUsage

PerImage = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures [N,3,s,s] in [-1,1] -> one distance for each pair, [N]."""


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How far and how freely codes move. Distances between codes are mean squares over all their numbers.

    Attributes:
        steps: Adam steps; 0 changes nothing.
        learning_rate: at the first step; it falls to zero along a cosine.
        pixel_weight: of the mean squared difference of the pixels.
        perceptual_weight: of the perceptual distance, where one is given.
        start_weight: of the distance to the starting code.
        average_weight: of the distance to the generator's average w.
    """

    steps: int = 100
    learning_rate: float = 0.02
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.8
    start_weight: float = 1e-3
    average_weight: float = 0.0


@torch.enable_grad()
def refine(
    generator: Generator,
    images: Tensor,
    w_plus: Tensor,
    config: RefineConfig,
    *,
    perceptual: PerImage | None = None,
) -> Tensor:
    """Move each code so that its picture comes closer; faces do not influence each other.

    Args:
        generator: any weights; its own noise maps are used. Larger pictures than ``images`` are averaged down.
        images: float32 [N,3,s,s] in [-1,1].
        w_plus: the starting codes, [N,L,D].
        config: how far and how freely.
        perceptual: LPIPS or the like, differentiable in its first argument.

    Returns:
        [N,L,D]: for each face the code of the lowest loss on the way, so never a worse one than the start.

    Raises:
        WrongUsage: the pictures are larger than the generator's.
    """
    if images.shape[-1] > generator.config.size:
        raise WrongUsage(f"pictures of {images.shape[-1]} px; the generator makes {generator.config.size} px at most")

    def losses(codes: Tensor) -> Tensor:
        made = F.adaptive_avg_pool2d(generator.synthesis(codes), images.shape[-1])
        loss = config.pixel_weight * _mean_square(made - images)
        if perceptual is not None:
            loss = loss + config.perceptual_weight * perceptual(made, images)
        to_start = config.start_weight * _mean_square(codes - w_plus)
        return loss + to_start + config.average_weight * _mean_square(codes - generator.w_avg)

    codes = w_plus.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([codes], lr=config.learning_rate)
    best, lowest = w_plus.detach().clone(), torch.full((len(w_plus),), torch.inf, device=w_plus.device)
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        loss = losses(codes)
        best, lowest = _better(codes, loss, best, lowest)
        # The sum, not the mean: a face's gradient must not depend on how many others are in the batch.
        (codes.grad,) = torch.autograd.grad(loss.sum(), codes)
        optimiser.step()
    if config.steps:
        with torch.no_grad():
            best, _ = _better(codes, losses(codes), best, lowest)
    return best


def _better(codes: Tensor, loss: Tensor, best: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
    is_better = loss.detach() < lowest
    return torch.where(is_better[:, None, None], codes.detach(), best), torch.where(is_better, loss.detach(), lowest)


def _mean_square(differences: Tensor) -> Tensor:
    """[N,...] -> [N]."""
    return differences.square().flatten(1).mean(1)
