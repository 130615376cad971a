"""What StarGAN v2 minimises. N faces, D the width of styles; every loss is a mean over faces.

Source: Choi et al., StarGAN v2 (CVPR 2020), equations 1 to 4; R1 of Mescheder et al. 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stargan2.domains import of_domain
from raypipe.backbones.stargan2.drawer import Drawer
from raypipe.backbones.stargan2.readers import Discriminator, StyleEncoder
from raypipe.backbones.stylegan2.losses import discriminator_loss, generator_loss, r1_penalties


@dataclass(frozen=True)
class Networks:
    """Those that losses look at."""

    draw: Drawer
    style_encoder: StyleEncoder
    discriminator: Discriminator


@dataclass(frozen=True)
class Task:
    """Pictures [n,3,s,s] that are to be drawn in ``styles`` [n,D]; ``sources`` and ``targets``: the domains that they
    are of and that the styles are of, int64 [n]."""

    images: Tensor
    styles: Tensor
    sources: Tensor
    targets: Tensor


def discriminator_losses(networks: Networks, task: Task, *, r1: bool) -> dict[str, Tensor]:
    """``d_loss`` (equation 1), ``mismatch``, and ``r1``, the squared gradient at real pictures."""
    with torch.no_grad():
        fakes = networks.draw(task.images, task.styles)
    reals = task.images.detach().requires_grad_(r1)
    logits_NK = networks.discriminator(reals)
    real_logits = of_domain(logits_NK, task.sources)
    fake_logits = of_domain(networks.discriminator(fakes), task.targets)
    losses = {
        "d_loss": discriminator_loss(real_logits.float(), fake_logits.float()),
        "mismatch": mismatch(logits_NK.float(), task.sources),
    }
    return losses | ({"r1": r1_penalties(real_logits, reals).mean()} if r1 else {})


def classifier_losses(discriminator: Discriminator, images: Tensor, domains_N: Tensor) -> dict[str, Tensor]:
    """What a discriminator can learn of real faces alone: ``d_loss`` of those, and ``mismatch``."""
    logits_NK = discriminator(images).float()
    return {
        "d_loss": F.softplus(-of_domain(logits_NK, domains_N)).mean(),
        "mismatch": mismatch(logits_NK, domains_N),
    }


def mismatch(logits_NK: Tensor, domains_N: Tensor) -> Tensor:
    """Real faces called fake by the branches of the K - 1 domains that they are not of: a mean over faces and branches.

    Source: Reed et al. 2016 (generative adversarial text to image synthesis), the matching-aware discriminator.
    """
    is_other_NK = 1 - F.one_hot(domains_N, logits_NK.shape[1]).to(logits_NK)
    return (F.softplus(logits_NK) * is_other_NK).sum() / is_other_NK.sum()


def generator_losses(
    networks: Networks, task: Task, other_styles_ND: Tensor, is_comparable_N: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """``adversarial``, ``style`` (equation 2), ``diversity`` (equation 3) and ``cycle`` (equation 4), and the pictures.

    Args:
        other_styles_ND: of the same domain, whose pictures are to differ.
        is_comparable_N: 1 where they are of the same domain, else 0: those have no part in ``diversity``.
    """
    draw = networks.draw.of(task.images)
    made = draw(task.styles)
    logits = of_domain(networks.discriminator(made), task.targets)
    seen_ND = of_domain(networks.style_encoder(made), task.targets)
    with torch.no_grad():
        others = draw(other_styles_ND)
    own_ND = of_domain(networks.style_encoder(task.images), task.sources)
    back = networks.draw(made, own_ND)
    differences_N = (made - others).abs().float().mean((1, 2, 3))
    losses = {
        "adversarial": generator_loss(logits.float()),
        "style": F.l1_loss(seen_ND.float(), task.styles.float()),
        "diversity": (differences_N * is_comparable_N).mean(),
        "cycle": F.l1_loss(back.float(), task.images.float()),
    }
    return losses, made


def reconstruction_loss(networks: Networks, images: Tensor, domains_N: Tensor) -> Tensor:
    """How far faces drawn in their own style are from themselves. StarGAN v2 has no such loss."""
    own_ND = of_domain(networks.style_encoder(images), domains_N)
    return F.l1_loss(networks.draw(images, own_ND).float(), images.float())
