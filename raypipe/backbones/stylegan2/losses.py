"""What StyleGAN2 minimises. N images; every loss is a mean over them, so workers' gradients can be averaged.

Sources: Goodfellow et al. 2014, section 3 (non-saturating loss); Mescheder et al. 2018, eq. 9 (R1); Karras et al. 2020
(StyleGAN2), section 3.2 (path lengths) and appendix B (regularisers with steps of their own).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits_N1: Tensor, fake_logits_N1: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)), with D the sigmoid of the logit."""
    return F.softplus(-real_logits_N1).mean() + F.softplus(fake_logits_N1).mean()


def generator_loss(fake_logits_N1: Tensor) -> Tensor:
    """-log D(fake)."""
    return F.softplus(-fake_logits_N1).mean()


def r1_penalties(logits_N1: Tensor, images: Tensor) -> Tensor:
    """Squared length of each logit's gradient with respect to its image, [n]; differentiable once more."""
    (gradient,) = torch.autograd.grad(logits_N1.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def lazy_r1_weight(gamma: float | None, *, size: int, batch: int, interval: int) -> float:
    """Of the mean of ``r1_penalties`` in a step of its own after every ``interval`` steps: interval * gamma / 2.

    ``gamma`` None = 0.0002 * size^2 / batch (Karras et al. 2020, ADA, appendix C).
    """
    if gamma is None:
        gamma = 0.0002 * size**2 / batch
    return 0.5 * gamma * interval


def path_lengths(images: Tensor, w_plus_NLD: Tensor, noise: Tensor) -> Tensor:
    """How far an image moves along random directions when its w moves, [n]; differentiable once more.

    Args:
        images: [n, 3, s, s], computed from ``w_plus_NLD``.
        noise: [n, 3, s, s] of N(0, 1): the directions.

    Returns:
        the root of the mean over layers of the gradient's squared length.
    """
    scaled = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * scaled).sum(), w_plus_NLD, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths_N: Tensor, mean: Tensor) -> Tensor:
    """Mean squared deviation from the running mean of lengths, a 0-d tensor."""
    return (lengths_N - mean).square().mean()
