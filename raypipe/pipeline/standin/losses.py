"""How far a reconstruction is from its picture, with most weight on the middle, where the face is. N pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

COARSEST = 8
FACE_CENTRE = (0.5, 0.55)
FACE_RADIUS = 0.22
FACE_WEIGHT = 4.0


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean weighed absolute error of the pixels at all scales down to 8 px, and of the differences to neighbours."""
    difference = made - wanted
    loss = gradient_error(difference) + weigh(difference).abs().mean()
    while difference.shape[-1] > COARSEST:
        difference = F.avg_pool2d(difference, 2)
        loss = loss + weigh(difference).abs().mean()
    return loss


def gradient_error(difference: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels of the weighed difference, along both axes."""
    weighed = weigh(difference)
    return weighed.diff(dim=2).abs().mean() + weighed.diff(dim=3).abs().mean()


def weigh(pictures: Tensor) -> Tensor:
    """[N,3,s,s], each pixel times its weight: high in the middle of the face, low at the border, mean 1."""
    size = pictures.shape[-1]
    along = (torch.arange(size) + 0.5) / size
    column = torch.exp(-((along - FACE_CENTRE[0]) ** 2) / (2 * FACE_RADIUS**2))
    row = torch.exp(-((along - FACE_CENTRE[1]) ** 2) / (2 * FACE_RADIUS**2))
    weight = 1 + FACE_WEIGHT * torch.outer(row, column)
    return pictures * (weight / weight.mean())
